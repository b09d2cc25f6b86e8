"""GGML: a checkpoint as the one file that whisper.cpp loads, quantised on the way. Knows no runtime.

Tensors go from the checkpoint straight to their number format: upstream's script rounds everything to 16 bits
first and leaves quantising to a second tool.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from distilcli.converters import ggml_reader
from distilcli.converters.checkpoint import Checkpoint
from distilcli.converters.compared import Compared, compare
from distilcli.converters.ggml_layout import (
    FILE_TYPE_OF,
    FREQUENCIES,
    HEADER,
    LONGEST_TOKEN,
    MAGIC,
    stored_shape,
    tensor_format,
)
from distilcli.converters.ggml_types import F32, FORMATS, encode
from distilcli.converters.naming import expected_shapes
from distilcli.converters.tokenizer_files import token_bytes
from distilcli.errors import ModelError
from distilcli.features import mel_filters

_VOCABULARY_BYTES = 515_000
"""Lengths and bytes of the plain tokens; the two vocabularies differ by 3 %."""

_DISTIL_LAYERS = 2
_LARGE_V3_VOCABULARY = 51866


def predict(checkpoint: Checkpoint, kind: str) -> int:
    """Bytes of the file.

    Raises:
        ModelError: whisper.cpp would compute this model wrongly, or its rows cannot be cut into blocks.
    """
    checkpoint.need_plain("ggml")
    matrices = FORMATS[kind]
    width = checkpoint.dims.n_audio_state
    if width % matrices.block:
        raise ModelError(
            f"{checkpoint.folder}: {kind} needs a d_model divisible by {matrices.block}, found {width}",
            hint="choose --quantization f16",
        )
    total = 4 * (len(HEADER) + 5 + checkpoint.dims.n_mels * FREQUENCIES) + _VOCABULARY_BYTES
    for name, shape in expected_shapes(checkpoint.dims).items():
        stored = stored_shape(name, shape)
        form = tensor_format(name, shape, matrices)
        total += 4 * (3 + len(stored)) + len(name) + form.size(math.prod(shape))
    return total


def warnings(checkpoint: Checkpoint, kind: str) -> tuple[str, ...]:
    """What whisper.cpp does not do with this file."""
    found = []
    dims = checkpoint.dims
    if kind == F32.name:
        found.append("whisper.cpp before 1.9.2 crashes on f32 files; f16 runs everywhere")
    if dims.n_text_layer == _DISTIL_LAYERS and dims.n_vocab != _LARGE_V3_VOCABULARY:
        found.append(
            f"whisper.cpp gives no timestamps for models with {_DISTIL_LAYERS} decoder layers and a "
            f"vocabulary of {dims.n_vocab}; students with 3 layers or more, or of large-v3, have them"
        )
    if dims.n_text_layer < dims.n_audio_layer:
        found.append(
            "a GGML file has no place for alignment heads, and whisper.cpp's --dtw presets are those of the "
            "published models: programs set WHISPER_AHEADS_N_TOP_MOST for word times"
        )
    return tuple(found)


def write(checkpoint: Checkpoint, kind: str, target: Path) -> None:
    """Write the file; rows are converted a few megabytes at a time.

    Raises:
        ModelError: see `predict`; or the tokenizer holds a token that whisper.cpp cannot read.
    """
    predict(checkpoint, kind)
    matrices = FORMATS[kind]
    tokens = _tokens(checkpoint)
    with target.open("xb") as file:
        dims = checkpoint.dims.openai()
        _integers(file, MAGIC, *(dims[name] for name in HEADER), FILE_TYPE_OF[matrices])
        _integers(file, checkpoint.dims.n_mels, FREQUENCIES)
        file.write(mel_filters(checkpoint.dims.n_mels).astype("<f4").tobytes())
        _integers(file, len(tokens))
        for token in tokens:
            _integers(file, len(token))
            file.write(token)
        for name, shape in expected_shapes(checkpoint.dims).items():
            form = tensor_format(name, shape, matrices)
            stored = stored_shape(name, shape)
            _integers(file, len(stored), len(name), form.tensor_type, *reversed(stored))
            file.write(name.encode("ascii"))
            for piece in encode(checkpoint.openai_tensor(name), form, name):
                file.write(piece.data)


def read_back(target: Path, checkpoint: Checkpoint, kind: str) -> Iterator[Compared]:
    """Every tensor of the file against the checkpoint's; exact for what is not quantised.

    Raises:
        ModelError: the file is damaged.
    """
    found = ggml_reader.read(target)
    for name, shape in expected_shapes(checkpoint.dims).items():
        form = tensor_format(name, shape, FORMATS[kind])
        expected = form.rounded(checkpoint.openai_tensor(name))
        yield compare(name, expected, found.tensors[name](), form.limit(expected))


def _tokens(checkpoint: Checkpoint) -> list[bytes]:
    """The plain tokens in the order of their ids; whisper.cpp makes up the special ones itself."""
    tokens = token_bytes(checkpoint.folder)
    for number, token in enumerate(tokens):
        if len(token) > LONGEST_TOKEN:
            raise ModelError(
                f"{checkpoint.folder / 'tokenizer.json'}: expected tokens of at most {LONGEST_TOKEN} bytes, "
                f"found {len(token)} in token {number}"
            )
    return tokens


def _integers(file: BinaryIO, *numbers: int) -> None:
    file.write(struct.pack(f"<{len(numbers)}i", *numbers))
