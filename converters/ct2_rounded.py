"""A CTranslate2 folder of floats as one of 8-bit numbers, which loads in a third of the time or less.

CTranslate2 rounds a model that computes in 8 bits whenever it loads floats; here the same is done once.
Source: CTranslate2 4.8 `src/models/model.cc` (`set_compute_type`) and `src/ops/quantize_cpu.cc`.
"""

from __future__ import annotations

import shutil
import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from distilcli.converters.export_note import EXPORT_NOTE
from distilcli.converters.space import need_space
from distilcli.ct2_file import FORMATS, Variable, raw, read_header, values
from distilcli.folders import new_folder
from distilcli.model_folder import inspect, write_json

_VERSION = 6
"""Of the layout of ``model.bin`` that is written; files of another one are left alone."""

_WEIGHTS = "model.bin"
_WORDS = (".json", ".txt")  # of the files beside them: configuration, tokenizer, vocabulary


def can_be_rounded(folder: Path) -> bool:
    """Whether the matrices of a CTranslate2 folder are floats, in a layout that is known."""
    header = read_header(folder / _WEIGHTS)
    return header.version == _VERSION and any(map(_is_matrix, header.variables.values()))


def round_once(source: Path, target: Path) -> None:
    """Write the folder `source` as a new folder `target`, its matrices in 8 bits, a scale for each row.

    Convolutions, biases and norms stay as they are: CTranslate2 computes with them in floats. The folder
    appears whole or not at all; of two processes that want the same `target`, the second waits.

    Raises:
        EnvironmentProblem: the disk is full or cannot be written.
        ModelError: the file contradicts itself.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    need_space(target.parent, (source / _WEIGHTS).stat().st_size, f"rounding {source}")
    with new_folder(target) as scratch:
        if target.exists():
            return
        for path in source.iterdir():
            if path.is_file() and path.suffix in _WORDS:  # the folder may hold weights for others
                shutil.copyfile(path, scratch / path.name)
        _write(source / _WEIGHTS, scratch / _WEIGHTS)
        write_json(scratch / EXPORT_NOTE, {"source": str(source.resolve()), "format": "ctranslate2"})
        inspect(scratch)


def _is_matrix(variable: Variable) -> bool:
    """Whether CTranslate2 would round a variable: floats of a linear layer or of the embeddings."""
    is_float = not variable.dtype.startswith("int")
    return is_float and variable.name.endswith("/weight") and len(variable.shape) == 2


def _write(source: Path, target: Path) -> None:
    header = read_header(source)
    stored = {name: one for name, one in header.variables.items() if name == one.name}
    aliases = {name: one.name for name, one in header.variables.items() if name != one.name}
    matrices = sum(map(_is_matrix, stored.values()))
    with target.open("wb") as file:
        file.write(header.beginning)
        file.write(struct.pack("<I", len(stored) + matrices))
        for name, variable in stored.items():
            if not _is_matrix(variable):
                _put(file, name, variable.dtype, variable.shape, raw(source, variable))
                continue
            rounded, scales = _rounded(values(source, header.variables, name))
            _put(file, name, "int8", rounded.shape, rounded)
            _put(file, f"{name}_scale", "float32", scales.shape, scales)
        file.write(struct.pack("<I", len(aliases)))
        for alias, name in aliases.items():
            file.write(_text(alias) + _text(name))


def _rounded(matrix: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """A matrix, shape (rows, columns), in -127 to 127, and what its rows were multiplied with."""
    largest: NDArray[np.float32] = np.abs(matrix).max(axis=1)
    largest[largest == 0] = 127
    scales = np.divide(127, largest, dtype=np.float32)
    matrix *= scales[:, None]
    return np.rint(matrix, out=matrix).astype(np.int8), scales


def _put(file: BinaryIO, name: str, dtype: str, shape: tuple[int, ...], data: NDArray[np.generic]) -> None:
    kind = list(FORMATS).index(dtype)
    file.write(_text(name))
    file.write(struct.pack(f"<B{len(shape)}IBI", len(shape), *shape, kind, data.nbytes))
    file.write(np.ascontiguousarray(data).data.cast("B") if data.nbytes else b"")


def _text(value: str) -> bytes:
    data = value.encode("utf-8") + b"\0"
    return struct.pack("<H", len(data)) + data
