"""Writes a trained network as an ordinary Hugging Face folder, and a folder as a reproducible zip.

It knows files and their conventions; it does not know how the network was trained.
"""

from __future__ import annotations

import argparse
import sys
import zipfile
from pathlib import Path

import torch
from transformers import GenerationConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration

from distilcli.converters.generation import generation_keys
from distilcli.converters.tokenizer_files import whisper_tokenizer, write_tokenizer
from distilcli.errors import DistilError, NoInputError
from distilcli.model_folder import read_json, write_json
from distilcli.tokens import Tokenizer
from distilcli.trainer import checkpoint
from distilcli.trainer.config import ModelOptions, load_recipe
from distilcli.trainer.network import Network, whisper_config
from distilcli.trainer.vocabulary import CompactVocabulary

EPOCH = (1980, 1, 1, 0, 0, 0)
"""Time of every zip member, the earliest that the format has: equal folders make equal zips."""


def generation_config(tokenizer: Tokenizer, alignment_heads: list[list[int]]) -> GenerationConfig:
    """Returns a fresh generation config with the keys of released models (openai/whisper-large-v3).

    It must not be a mutated `model.generation_config`: the library marks that one as made from the model
    config and drops every field that it does not know when it is read again.
    """
    return GenerationConfig(**generation_keys(tokenizer, alignment_heads))


def whole_model(
    network: Network, vocabulary: CompactVocabulary, options: ModelOptions, tokenizer: Tokenizer
) -> WhisperForConditionalGeneration:
    """Returns the network with its full vocabulary in float16, ready to be saved.

    Weights are rounded to bfloat16's 8 significant bits, the precision that training multiplied them in: the
    three zero bits that this leaves in each float16 make the zip a fifth smaller.
    """
    vocab = tokenizer.vocab
    config = whisper_config(options, vocabulary.size)
    config.update(
        {
            "bos_token_id": vocab.eot,
            "eos_token_id": vocab.eot,
            "pad_token_id": vocab.eot,
            "decoder_start_token_id": vocab.sot,
        }
    )
    model = WhisperForConditionalGeneration(config)
    state = {name: value.detach().float() for name, value in network.whisper.state_dict().items()}
    for name in ("model.decoder.embed_tokens.weight", "proj_out.weight"):
        state[name] = vocabulary.expand(network.rows.detach().float())
    model.load_state_dict(state)
    model.generation_config = generation_config(tokenizer, guided_heads(options))
    model.bfloat16().half()
    return model


def guided_heads(options: ModelOptions) -> list[list[int]]:
    """Returns [layer, head] of the cross-attention heads that the guided loss taught to follow the sound."""
    return [
        [layer, head] for layer in range(options.decoder_layers) for head in range(max(options.heads // 2, 1))
    ]


def write_folder(
    folder: Path, network: Network, vocabulary: CompactVocabulary, options: ModelOptions
) -> None:
    """Writes a complete model folder; existing files of the same names are replaced."""
    tokenizer = whisper_tokenizer(vocabulary.size)
    whole_model(network, vocabulary, options, tokenizer).save_pretrained(folder)
    write_tokenizer(folder, vocabulary.size)
    WhisperFeatureExtractor(feature_size=options.mels).save_pretrained(folder)
    _drop_null(folder / "config.json", ("suppress_tokens", "begin_suppress_tokens"))
    for path in folder.iterdir():  # the safetensors library makes files that only their owner can read
        path.chmod(0o644)


def _drop_null(path: Path, keys: tuple[str, ...]) -> None:
    """Drops those of `keys` whose value is null, which some readers refuse."""
    kept = {key: value for key, value in read_json(path).items() if not (key in keys and value is None)}
    write_json(path, kept)


def write_zip(folder: Path, target: Path) -> None:
    """Packs the files of a folder; equal content makes an equal zip. Replaces `target` atomically."""
    partial = target.with_suffix(".partial")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as out:
        for path in sorted(folder.iterdir()):
            info = zipfile.ZipInfo(path.name, date_time=EPOCH)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            out.writestr(info, path.read_bytes(), compresslevel=9)
    partial.replace(target)


def average(states: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Returns the mean of the weights of several checkpoints of one run."""
    return {name: torch.stack([state[name].float() for state in states]).mean(0) for name in states[0]}


def newest(run: Path, count: int, options: ModelOptions, size: int) -> tuple[Network, CompactVocabulary]:
    """Returns the network of a run's newest checkpoint, or the average of its `count` newest ones.

    Raises:
        NoInputError: the run has no checkpoint.
    """
    found = checkpoint.listed(run)[-count:]
    if not found:
        raise NoInputError(
            f"no checkpoint in {run}", hint="run distilcli.trainer.supervised with this recipe first"
        )
    states = [checkpoint.load(path) for path in found]
    vocabulary = CompactVocabulary(states[-1]["kept"], size)  # type: ignore[arg-type]  # a list of ids
    network = Network(options, vocabulary.rows)
    network.load_state_dict(average([state["network"] for state in states]))  # type: ignore[misc]
    return network, vocabulary


def main(arguments: list[str] | None = None) -> int:
    """Command line: a recipe's newest checkpoints to a folder and, when asked, a zip."""
    parser = argparse.ArgumentParser(description="Write a trained network as a Hugging Face folder.")
    parser.add_argument("--config", type=Path, required=True, help="recipe (TOML)")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--zip", type=Path, help="also pack the folder into this file")
    parser.add_argument(
        "--average", type=int, default=1, metavar="N", help="average the N newest checkpoints"
    )
    parsed = parser.parse_args(arguments)
    try:
        recipe = load_recipe(parsed.config)
        network, vocabulary = newest(
            Path(recipe.run), parsed.average, recipe.model, recipe.data.vocabulary_size
        )
        write_folder(parsed.out, network, vocabulary, recipe.model)
        if parsed.zip:
            write_zip(parsed.out, parsed.zip)
    except DistilError as error:
        sys.stderr.write(f"error: {error.message}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
