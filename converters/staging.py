"""A clean stand-in for a Hugging Face Whisper folder: the same weights, JSON files that converters can trust.

Converters copy what a checkpoint says without checking it; here it is checked and mended first. The
checkpoint itself is never changed. Knows no target format.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from distilcli.errors import ModelError
from distilcli.model_folder import TRANSFORMERS, ModelFolder, inspect, read_json, weight_files
from distilcli.tokens import Tokenizer, Vocab

_FEATURE_EXTRACTOR = {
    "feature_extractor_type": "WhisperFeatureExtractor",
    "chunk_length": 30,
    "hop_length": 160,
    "n_fft": 400,
    "n_samples": 480_000,
    "nb_max_frames": 3000,
    "padding_side": "right",
    "padding_value": 0.0,
    "processor_class": "WhisperProcessor",
    "return_attention_mask": False,
    "sampling_rate": 16_000,
}
_END = "<|endoftext|>"
_AS_THEY_ARE = ("tokenizer.json", "model.safetensors.index.json")


def stage(source: Path, target: Path) -> ModelFolder:
    """Fill the empty folder `target` from the checkpoint in `source`; weights are linked, not copied.

    Raises:
        ModelError: the checkpoint is damaged, not a Whisper model, or its tokenizer does not belong to it.
    """
    facts = inspect(source)
    if facts.format != TRANSFORMERS:
        raise ModelError(f"{source} is a CTranslate2 model; expected a Hugging Face checkpoint")
    config = read_json(source / "config.json")
    vocab = _checked_vocab(source, config)
    for path in (*weight_files(source), *(source / name for name in _AS_THEY_ARE)):
        if path.is_file():
            _link(path.resolve(), target / path.name)
    # The weights' own number format, whatever config.json says of it: converters read them in the one named.
    config.pop("torch_dtype", None)
    config["dtype"] = facts.dtype or "float32"
    for name, content in {
        "config.json": config,
        "generation_config.json": _generation_config(source, config, vocab),
        "preprocessor_config.json": _feature_extractor(source, facts.n_mels),
        "tokenizer_config.json": {
            "tokenizer_class": "WhisperTokenizer",
            **dict.fromkeys(("bos_token", "eos_token", "pad_token", "unk_token"), _END),
        },
    }.items():
        (target / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return facts


def _checked_vocab(source: Path, config: dict[str, Any]) -> Vocab:
    """The vocabulary, after checking that tokenizer and weights speak of the same one.

    A missing tokenizer is silent in CTranslate2's converter: it writes a vocabulary full of timestamps.
    """
    vocab = Tokenizer.from_folder(source).vocab
    for name, expected in (
        ("vocab_size", vocab.size),
        ("decoder_start_token_id", vocab.sot),
        ("eos_token_id", vocab.eot),
    ):
        if config.get(name, expected) != expected:
            raise ModelError(
                f"{source / 'tokenizer.json'} does not belong to this model: it expects {name} {expected}, "
                f"config.json says {config[name]}"
            )
    return vocab


def _generation_config(source: Path, config: dict[str, Any], vocab: Vocab) -> dict[str, Any]:
    path = source / "generation_config.json"
    found = read_json(path) if path.is_file() else {}
    # Transformers drops every field of its own invention from a file with this mark when it reads it back.
    found.pop("_from_model_config", None)
    for name in ("suppress_tokens", "begin_suppress_tokens"):
        if found.get(name) is None:
            found[name] = config.get(name) or []
    heads = _valid_heads(found.pop("alignment_heads", None), config)
    if heads:
        found["alignment_heads"] = heads
    found["is_multilingual"] = vocab.multilingual
    found["no_timestamps_token_id"] = vocab.no_timestamps
    if vocab.multilingual:
        found["lang_to_id"] = {f"<|{code}|>": vocab.language(code) for code in vocab.languages}
        found["task_to_id"] = {"transcribe": vocab.transcribe, "translate": vocab.translate}
    return found


def _valid_heads(heads: object, config: dict[str, Any]) -> list[list[int]]:
    """The alignment heads that the decoder has.

    A student often inherits its teacher's list; a layer that is not there makes CTranslate2 crash.
    """
    layers, per_layer = int(config["decoder_layers"]), int(config["decoder_attention_heads"])
    return [
        [layer, head]
        for layer, head in (heads if isinstance(heads, list) else [])
        if 0 <= layer < layers and 0 <= head < per_layer
    ]


def _feature_extractor(source: Path, n_mels: int) -> dict[str, Any]:
    """Content of preprocessor_config.json: runtimes that find none assume 80 mel bands.

    Transformers 5 writes processor_config.json in its place.
    """
    if (source / "preprocessor_config.json").is_file():
        return read_json(source / "preprocessor_config.json")
    if (source / "processor_config.json").is_file():
        inner = read_json(source / "processor_config.json").get("feature_extractor")
        if isinstance(inner, dict):
            return inner
    return {**_FEATURE_EXTRACTOR, "feature_size": n_mels}


def _link(source: Path, target: Path) -> None:
    try:
        os.symlink(source, target)
    except OSError:  # file systems and accounts without links
        shutil.copyfile(source, target)
