"""Reads a GGML file of whisper.cpp and trusts nothing in it. Knows no other format and no checkpoint.

whisper.cpp's own loader allocates what a file asks for. Here every length is checked against the bytes that
are there before anything is made of it, and the tensors must be those that the file's dims promise.
"""

from __future__ import annotations

import math
import mmap
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from distilcli.converters.dims import Dims
from distilcli.converters.ggml_layout import (
    FILE_TYPES,
    FREQUENCIES,
    HEADER,
    LONGEST_NAME,
    MAGIC,
    stored_shape,
    tensor_format,
)
from distilcli.converters.ggml_types import F16, FORMATS, NumberFormat, decode
from distilcli.converters.imported import Imported
from distilcli.converters.naming import expected_shapes
from distilcli.errors import ModelError
from distilcli.features import mel_filters
from distilcli.tokens import Vocab

_LONGEST_TOKEN = 256
_FILTER_TOLERANCE = 1e-6
_LENGTH = struct.Struct("<i")
_TENSOR_TYPES = {one.tensor_type: one for one in FORMATS.values()}


def read(path: Path) -> Imported:
    """Read a file's numbers and vocabulary, and find its tensors; these are read when they are called.

    Calling one raises ModelError where it holds NaN or infinity.

    Raises:
        ModelError: not a GGML file, cut off, or anything in it is not as whisper.cpp has it.
    """
    cursor = _Cursor(path, _mapped(path))
    (magic,) = cursor.integers("the magic number", 1)
    if magic != MAGIC:
        raise ModelError(f"{path} is not a GGML file of whisper.cpp: expected it to start with 'lmgg'")
    *numbers, file_type = cursor.integers("the header", len(HEADER) + 1)
    dims = Dims.from_openai(dict(zip(HEADER, numbers, strict=True)), str(path))
    if file_type not in FILE_TYPES:
        known = ", ".join(one.name for one in FILE_TYPES.values())
        raise ModelError(f"{path}: expected the number format to be {known}; found file type {file_type}")
    _check_filters(cursor, dims)
    vocabulary = _vocabulary(cursor, dims)
    tensors = _tensors(cursor, dims, FILE_TYPES[file_type])
    dtypes = {
        name: "float16" if tensor_format(name, shape, FILE_TYPES[file_type]) == F16 else "float32"
        for name, shape in expected_shapes(dims).items()
    }
    return Imported(dims, tensors, dtypes, vocabulary)


@dataclass(slots=True)
class _Cursor:
    """A position in a mapped file, from which nothing can be taken that is not there."""

    path: Path
    content: mmap.mmap
    position: int = 0

    def left(self) -> int:
        """Bytes from here to the end."""
        return len(self.content) - self.position

    def skip(self, what: str, count: int) -> int:
        """Pass over `count` bytes and say where they begin."""
        if count > self.left():
            raise ModelError(
                f"{self.path} is cut off or damaged: {what} needs {count} bytes at byte {self.position}, "
                f"and {self.left()} are left"
            )
        start = self.position
        self.position += count
        return start

    def integers(self, what: str, count: int) -> tuple[int, ...]:
        """The next `count` numbers, int32."""
        return struct.unpack_from(f"<{count}i", self.content, self.skip(what, 4 * count))

    def text(self, what: str, count: int) -> bytes:
        """The next `count` bytes."""
        start = self.skip(what, count)
        return self.content[start : start + count]


def _mapped(path: Path) -> mmap.mmap:
    with path.open("rb") as file:
        if path.stat().st_size == 0:
            raise ModelError(f"{path} is empty; expected a GGML file of whisper.cpp")
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _check_filters(cursor: _Cursor, dims: Dims) -> None:
    rows, columns = cursor.integers("the mel filters", 2)
    if (rows, columns) != (dims.n_mels, FREQUENCIES):
        raise ModelError(
            f"{cursor.path}: expected {dims.n_mels} x {FREQUENCIES} mel filters, found {rows} x {columns}"
        )
    start = cursor.skip("the mel filters", 4 * rows * columns)
    found = np.frombuffer(cursor.content, "<f4", rows * columns, start).reshape(rows, columns)
    if not np.allclose(found, mel_filters(rows), rtol=0, atol=_FILTER_TOLERANCE):
        raise ModelError(f"{cursor.path}: the mel filters are not those of Whisper's features")


def _vocabulary(cursor: _Cursor, dims: Dims) -> tuple[bytes, ...]:
    """The plain tokens, and end-of-text where the writer added it, as upstream's scripts do."""
    (count,) = cursor.integers("the size of the vocabulary", 1)
    plain = Vocab(dims.n_vocab).eot
    if count not in (plain, plain + 1):
        raise ModelError(f"{cursor.path}: expected a vocabulary of {plain} tokens, found {count}")
    # Fifty thousand times: what `cursor` does, without its calls.
    content, position, tokens = cursor.content, cursor.position, []
    try:
        for number in range(count):
            (length,) = _LENGTH.unpack_from(content, position)
            if not 0 <= length <= _LONGEST_TOKEN:
                raise ModelError(
                    f"{cursor.path}: expected tokens of at most {_LONGEST_TOKEN} bytes, "
                    f"found {length} in token {number}"
                )
            position += 4 + length
            tokens.append(content[position - length : position])
    except struct.error as error:
        raise ModelError(f"{cursor.path} is cut off: it ends at token {len(tokens)} of {count}") from error
    cursor.skip("the vocabulary", position - cursor.position)
    return tuple(tokens)


def _tensors(cursor: _Cursor, dims: Dims, matrices: NumberFormat) -> dict[str, Callable[[], Tensor]]:
    """openai/whisper's name of each tensor -> function that reads it."""
    shapes = expected_shapes(dims)
    found: dict[str, Callable[[], Tensor]] = {}
    while cursor.left():
        name, stored, tensor_type = _tensor_header(cursor)
        place = f"{cursor.path}: tensor {name}"
        if name not in shapes or name in found:
            problem = "is there twice" if name in found else "does not belong to a Whisper of these dims"
            raise ModelError(f"{place} {problem}")
        if stored != stored_shape(name, shapes[name]):
            raise ModelError(f"{place}: expected the shape {shapes[name]}, found {stored}")
        form = tensor_format(name, shapes[name], matrices)
        if shapes[name][-1] % form.block:
            raise ModelError(f"{place}: {form.name} needs rows that are a multiple of {form.block}")
        if _TENSOR_TYPES.get(tensor_type) != form:
            raise ModelError(f"{place}: expected the number format {form.name}, found type {tensor_type}")
        start = cursor.skip(f"tensor {name}", form.size(math.prod(stored)))
        found[name] = partial(_read, place, cursor.content, start, form, shapes[name])
    missing = next((name for name in shapes if name not in found), None)
    if missing:
        raise ModelError(f"{cursor.path} is cut off or damaged: tensor {missing} is missing")
    return found


def _tensor_header(cursor: _Cursor) -> tuple[str, tuple[int, ...], int]:
    """Name, shape as torch has it (the file lists the last length first), and id of the number format."""
    n_dims, length, tensor_type = cursor.integers("the header of a tensor", 3)
    if not 1 <= n_dims <= 3 or not 1 <= length <= LONGEST_NAME:
        raise ModelError(
            f"{cursor.path} is damaged: expected a tensor at byte {cursor.position - 12}, "
            f"found {n_dims} dimensions and a name of {length} bytes"
        )
    lengths = cursor.integers("the shape of a tensor", n_dims)
    name = cursor.text("the name of a tensor", length).decode("ascii", "backslashreplace")
    return name, lengths[::-1], tensor_type


def _read(place: str, content: mmap.mmap, start: int, form: NumberFormat, shape: tuple[int, ...]) -> Tensor:
    raw: NDArray[np.uint8] = np.frombuffer(content, np.uint8, form.size(math.prod(shape)), start)
    tensor = decode(raw, form, shape)
    if not all(end.isfinite() for end in torch.aminmax(tensor)):  # NaN shows in both ends
        raise ModelError(f"{place} holds NaN or infinity")
    return tensor
