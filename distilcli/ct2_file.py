"""CTranslate2's ``model.bin``: where its variables lie, and their values in float32. Knows no model.

Source: CTranslate2 4.8 `model_spec.py` (`_serialize`, `_quantize`).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from distilcli.errors import ModelError

FORMATS = {"float32": 4, "int8": 1, "int16": 2, "int32": 4, "float16": 2, "bfloat16": 2}
"""Number format -> bytes of a value; the number of a format in the file is its place here."""


@dataclass(frozen=True, slots=True)
class Variable:
    """Where a variable lies. Of variables that are equal one is stored: `name` is the name of that one."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says of itself: the `version` of its layout, and where its variables lie.

    `beginning` holds its bytes up to the number of variables: version, specification and its revision.
    """

    version: int
    beginning: bytes
    variables: dict[str, Variable]


def variables(path: Path) -> dict[str, Variable]:
    """Every variable of a file by name, in the order of the file, those that are stored under another last.

    The file must be whole, as `model_folder.inspect` makes sure.
    """
    return read_header(path).variables


def read_header(path: Path) -> Header:
    """As `variables`, with what stands before them."""
    found: dict[str, Variable] = {}
    kinds = tuple(FORMATS)
    with path.open("rb") as file:

        def number(kind: str) -> int:
            return int(struct.unpack(f"<{kind}", file.read(struct.calcsize(kind)))[0])

        def text() -> str:
            return file.read(number("H")).rstrip(b"\0").decode("utf-8")

        version = number("I")
        text()  # name of the specification
        number("I")  # its revision
        end = file.tell()
        file.seek(0)
        beginning = file.read(end)
        for _ in range(number("I")):
            name = text()
            shape = tuple(number("I") for _ in range(number("B")))
            kind, size = number("B"), number("I")
            found[name] = Variable(name, kinds[kind], shape, file.tell())
            file.seek(size, 1)
        for _ in range(number("I")):
            alias, name = text(), text()
            found[alias] = found[name]
    return Header(version, beginning, found)


def raw(path: Path, variable: Variable) -> NDArray[np.uint8]:
    """The bytes of a variable, little-endian, shape (bytes,)."""
    return np.fromfile(
        path, np.uint8, count=prod(variable.shape) * FORMATS[variable.dtype], offset=variable.offset
    )


def values(path: Path, found: Mapping[str, Variable], name: str) -> NDArray[np.float32]:
    """A variable in float32: whole numbers divided by the scale of their row (int8) or of the tensor (int16).

    `found` is what `variables` returned for the same file.

    Raises:
        ModelError: the file has no such variable, or not the scale that belongs to it.
    """
    variable = _need(path, found, name)
    if variable.dtype == "bfloat16":  # the upper half of a float32
        halves = raw(path, variable).view("<u2").astype(np.uint32)
        return (halves << 16).view(np.float32).reshape(variable.shape)
    stored = raw(path, variable).view(np.dtype(variable.dtype).newbyteorder("<")).reshape(variable.shape)
    numbers = stored.astype(np.float32, copy=False)
    if variable.dtype.startswith("int") and variable.shape:
        scale = values(path, found, f"{variable.name}_scale")
        numbers /= scale.reshape(-1, *[1] * (numbers.ndim - 1))
    return numbers


def _need(path: Path, found: Mapping[str, Variable], name: str) -> Variable:
    if name not in found:
        raise ModelError(f"{path} has no {name}")
    return found[name]
