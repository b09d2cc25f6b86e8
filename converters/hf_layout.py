"""Transformers: a canonical model folder that old and new versions read, from a checkpoint or another format.

Transformers 5 leaves out files that its predecessors, faster-whisper, Transformers.js and whisper.cpp need,
and writes others in a form that they refuse; here every file is there, in the form that all of them read.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from distilcli.converters.checkpoint import FEATURE_EXTRACTOR, Checkpoint, open_checkpoint
from distilcli.converters.compared import Compared, compare
from distilcli.converters.generation import generation_keys
from distilcli.converters.halves import need_range
from distilcli.converters.imported import Imported
from distilcli.converters.naming import expected_shapes, hf_name
from distilcli.converters.space import BYTES, parameters
from distilcli.converters.tensor_file import Entry, write_safetensors
from distilcli.converters.tokenizer_files import (
    rank_bytes,
    readable_by_all,
    whisper_tokenizer,
    write_tokenizer,
)
from distilcli.errors import ModelError
from distilcli.model_folder import read_json, write_json

_FORMS_OF_A_TOKENIZER = 1.38  # bytes of tokenizer.json, vocab.json and merges.txt over those of the first
_OTHER_FILES = 70_000  # bytes
_SUPPRESSED = ("suppress_tokens", "begin_suppress_tokens")


def predict(checkpoint: Checkpoint, kind: str) -> int:
    """Bytes of the folder."""
    tokenizer = (checkpoint.folder / "tokenizer.json").stat().st_size
    weights = parameters(checkpoint.dims) * BYTES[kind]
    return weights + round(_FORMS_OF_A_TOKENIZER * tokenizer) + _OTHER_FILES


def warnings(checkpoint: Checkpoint, kind: str) -> tuple[str, ...]:
    """What is lost."""
    if kind == checkpoint.dtype or kind == "float32":
        return ()
    return (f"the weights are {checkpoint.dtype}; {kind} rounds them",)


def write(checkpoint: Checkpoint, kind: str, target: Path) -> None:
    """Make the folder `target`: weights in `kind`, every file that any version of Transformers reads."""
    target.mkdir()
    shapes = expected_shapes(checkpoint.dims)
    weights = {
        hf_name(name): Entry(shape, kind, _reader(checkpoint, name, kind)) for name, shape in shapes.items()
    }
    write_safetensors(target / "model.safetensors", weights)
    config = {key: value for key, value in checkpoint.config.items() if key != "_name_or_path"}
    _write_configs(target, _config(config, kind, checkpoint.generation), checkpoint.generation)
    _write_extractor(target, checkpoint.feature_extractor)
    _copy_tokenizer(checkpoint.folder, target)


def read_back(target: Path, checkpoint: Checkpoint, kind: str) -> Iterator[Compared]:
    """Every tensor of the folder against the checkpoint's, rounded to `kind`: equal bits."""
    written = open_checkpoint(target, values=False)
    for name in expected_shapes(checkpoint.dims):
        rounded = checkpoint.openai_tensor(name).to(getattr(torch, kind))
        yield compare(hf_name(name), rounded, written.openai_tensor(name), 0.0)


def write_imported(imported: Imported, target: Path, place: str) -> None:
    """Make the folder `target` of what a reader of another format found; tensors keep their number formats.

    The tokenizer is rebuilt from the size of the vocabulary, after comparing it with the file's where it has
    one.

    Args:
        imported: what was read.
        target: folder to make.
        place: the file that it comes from, for messages.

    Raises:
        ModelError: the file's vocabulary is not Whisper's.
        EnvironmentProblem: the openai-whisper package, which has the vocabulary, is not installed.
    """
    dims = imported.dims
    if imported.vocabulary is not None:
        _compare_vocabulary(imported.vocabulary, rank_bytes(dims.n_vocab), place)
    target.mkdir()
    write_safetensors(
        target / "model.safetensors",
        {
            hf_name(name): Entry(shape, imported.dtypes[name], imported.tensors[name])
            for name, shape in expected_shapes(dims).items()
        },
    )
    tokenizer = whisper_tokenizer(dims.n_vocab)
    generation = generation_keys(tokenizer, ())
    eot = tokenizer.vocab.eot
    config = {
        "architectures": ["WhisperForConditionalGeneration"],
        "model_type": "whisper",
        "activation_function": "gelu",
        "is_encoder_decoder": True,
        "scale_embedding": False,
        "tie_word_embeddings": True,
        "use_cache": True,
        **dims.config(),
        "num_hidden_layers": dims.n_audio_layer,
        "decoder_start_token_id": tokenizer.vocab.sot,
        **dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), eot),
    }
    widest = imported.dtypes["decoder.token_embedding.weight"]
    _write_configs(target, _config(config, widest, generation), generation)
    _write_extractor(target, {**FEATURE_EXTRACTOR, "feature_size": dims.n_mels})
    write_tokenizer(target, dims.n_vocab)


def _reader(checkpoint: Checkpoint, name: str, kind: str) -> Callable[[], Tensor]:
    def read() -> Tensor:
        tensor = checkpoint.openai_tensor(name)
        if kind == "float16":
            need_range(tensor, name, kind)
        return tensor

    return read


def _compare_vocabulary(found: tuple[bytes, ...], expected: tuple[bytes, ...], place: str) -> None:
    for number, (theirs, ours) in enumerate(zip(found, expected, strict=False)):
        if theirs != ours:
            raise ModelError(f"{place}: expected token {number} to be {ours!r}, found {theirs!r}")
    # Some writers add end-of-text, which whisper.cpp makes up itself.
    if not len(expected) <= len(found) <= len(expected) + 1:
        raise ModelError(f"{place}: expected {len(expected)} plain tokens, found {len(found)}")


def _config(config: Mapping[str, Any], kind: str, generation: Mapping[str, Any]) -> dict[str, Any]:
    """config.json for every reader: the number format under its old and new key, lists and not null."""
    return {**config, **{key: generation[key] for key in _SUPPRESSED}, "dtype": kind, "torch_dtype": kind}


def _write_configs(target: Path, config: Mapping[str, Any], generation: Mapping[str, Any]) -> None:
    write_json(target / "config.json", config)
    write_json(target / "generation_config.json", generation)


def _write_extractor(target: Path, extractor: Mapping[str, Any]) -> None:
    """Under the name that Transformers 5 writes, and under the one that everybody reads."""
    write_json(target / "preprocessor_config.json", extractor)
    both = {"feature_extractor": dict(extractor), "processor_class": "WhisperProcessor"}
    write_json(target / "processor_config.json", both)


def _copy_tokenizer(source: Path, target: Path) -> None:
    shutil.copyfile(source / "tokenizer.json", target / "tokenizer.json")
    if (source / "normalizer.json").is_file():
        shutil.copyfile(source / "normalizer.json", target / "normalizer.json")
    path = source / "tokenizer_config.json"
    config = read_json(path) if path.is_file() else {"tokenizer_class": "WhisperTokenizer"}
    write_json(target / "tokenizer_config.json", readable_by_all(config))
    _write_old_vocabulary(source / "tokenizer.json", target)


def _write_old_vocabulary(path: Path, target: Path) -> None:
    """vocab.json and merges.txt, which Transformers 5 no longer writes.

    Raises:
        ModelError: the tokenizer is not byte-pair encoding.
    """
    model = read_json(path).get("model") or {}
    vocab, merges = model.get("vocab"), model.get("merges")
    if not isinstance(vocab, dict) or not isinstance(merges, list):
        raise ModelError(f"{path}: expected byte-pair encoding with vocab and merges")
    write_json(target / "vocab.json", vocab)
    # A merge is a pair since tokenizers 0.20, and was a line before.
    lines = [pair if isinstance(pair, str) else " ".join(pair) for pair in merges]
    (target / "merges.txt").write_text("\n".join(["#version: 0.2", *lines, ""]), encoding="utf-8")
