"""Safetensors files one tensor at a time: memory does not grow with the model. Knows no names.

The library's own writer wants all tensors at once, and makes files that only their owner can read. Its reader
maps a whole file, which counts as memory until the last of its tensors is dropped.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from distilcli.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor

_CODES = {"float32": ("F32", 4), "float16": ("F16", 2), "bfloat16": ("BF16", 2), "int32": ("I32", 4)} | {
    "uint32": ("U32", 4)
}
_DTYPES = {code: dtype for dtype, (code, _) in _CODES.items()}
_ALIGNMENT = 8  # of the first tensor, as the library's own writer has it
_LENGTH = "<Q"  # of the header, in front of it


@dataclass(frozen=True, slots=True)
class Stored:
    """A tensor of a file.

    Attributes:
        path: the file.
        offset: of the first byte, from the start of the file.
        shape: of the tensor.
        dtype: number format, as torch calls it; in the file's own words where `Entry` has no such format.
    """

    path: Path
    offset: int
    shape: tuple[int, ...]
    dtype: str

    def read(self) -> Tensor:
        """The tensor in a mapping of its own: whoever writes into it changes neither the file nor a copy."""
        import numpy as np
        import torch

        size = prod(self.shape) * _CODES[self.dtype][1]
        raw = np.memmap(self.path, np.uint8, mode="c", offset=self.offset, shape=(size,))
        return torch.from_numpy(raw).view(getattr(torch, self.dtype)).reshape(self.shape)


def stored_tensors(path: Path) -> dict[str, Stored]:
    """Name -> tensor, by the names of the file; the library checks its header first.

    Raises:
        ModelError: the file is damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt"), path.open("rb") as file:
            (length,) = struct.unpack(_LENGTH, file.read(struct.calcsize(_LENGTH)))
            header = json.loads(file.read(length))
            start = file.tell()
    except (OSError, SafetensorError) as error:
        raise ModelError(f"cannot read the weights {path}: {error}") from error
    header.pop("__metadata__", None)
    return {
        name: Stored(
            path,
            start + entry["data_offsets"][0],
            tuple(entry["shape"]),
            _DTYPES.get(entry["dtype"], entry["dtype"]),
        )
        for name, entry in header.items()
    }


@dataclass(frozen=True, slots=True)
class Entry:
    """A tensor to write.

    Attributes:
        shape: of what `read` returns.
        dtype: number format in the file: float32, float16, bfloat16, int32 or uint32.
        read: returns the tensor; floating point numbers are rounded to `dtype`.
    """

    shape: tuple[int, ...]
    dtype: str
    read: Callable[[], Tensor]


def write_safetensors(path: Path, tensors: Mapping[str, Entry]) -> None:
    """Writes the new file `path`; the order of `tensors` is that of the file.

    Raises:
        OSError: the file cannot be written.
    """
    import torch

    from distilcli.converters.memory import converted

    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, entry in tensors.items():
        code, size = _CODES[entry.dtype]
        end = offset + prod(entry.shape) * size
        header[name] = {"dtype": code, "shape": list(entry.shape), "data_offsets": [offset, end]}
        offset = end
    raw = json.dumps(header, separators=(",", ":")).encode()
    raw += b" " * (-len(raw) % _ALIGNMENT)
    with path.open("xb") as file:
        file.write(struct.pack(_LENGTH, len(raw)) + raw)
        for name, entry in tensors.items():
            tensor = converted(entry.read(), getattr(torch, entry.dtype)).contiguous()
            assert tuple(tensor.shape) == entry.shape, f"{name}: {tuple(tensor.shape)}, not {entry.shape}"
            file.write(tensor.view(-1).view(torch.uint8).numpy().data)
