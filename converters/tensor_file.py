"""Writes a safetensors file one tensor at a time: memory does not grow with the model. Knows no names.

The library's own writer wants all tensors at once, and makes files that only their owner can read.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

_CODES = {"float32": ("F32", 4), "float16": ("F16", 2), "bfloat16": ("BF16", 2), "int32": ("I32", 4)} | {
    "uint32": ("U32", 4)
}
_ALIGNMENT = 8  # of the first tensor, as the library's own writer has it


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
        file.write(struct.pack("<Q", len(raw)) + raw)
        for name, entry in tensors.items():
            tensor = entry.read().to(getattr(torch, entry.dtype)).contiguous()
            assert tuple(tensor.shape) == entry.shape, f"{name}: {tuple(tensor.shape)}, not {entry.shape}"
            file.write(tensor.view(-1).view(torch.uint8).numpy().data)
