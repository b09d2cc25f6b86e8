"""A clean stand-in for a checkpoint's folder: the same weights, JSON files that converters can trust.

Converters copy what a checkpoint says without checking it; they are given this folder instead. Knows no
target format.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from distilcli.converters.checkpoint import Checkpoint
from distilcli.model_folder import weight_files, write_json

_END = "<|endoftext|>"
_AS_THEY_ARE = ("tokenizer.json", "model.safetensors.index.json")


def stage(checkpoint: Checkpoint, target: Path) -> None:
    """Fill the empty folder `target`; weights are linked, not copied."""
    source = checkpoint.folder
    for path in (*weight_files(source), *(source / name for name in _AS_THEY_ARE)):
        if path.is_file():
            _link(path.resolve(), target / path.name)
    config = dict(checkpoint.config)
    # The weights' own number format, whatever config.json says of it: converters read them in the one named.
    config.pop("torch_dtype", None)
    config["dtype"] = checkpoint.dtype
    for name, content in {
        "config.json": config,
        "generation_config.json": checkpoint.generation,
        "preprocessor_config.json": checkpoint.feature_extractor,
        "tokenizer_config.json": {
            "tokenizer_class": "WhisperTokenizer",
            **dict.fromkeys(("bos_token", "eos_token", "pad_token", "unk_token"), _END),
        },
    }.items():
        write_json(target / name, content)


def _link(source: Path, target: Path) -> None:
    try:
        os.symlink(source, target)
    except OSError:  # file systems and accounts without links
        shutil.copyfile(source, target)
