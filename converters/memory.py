"""New memory for tensors, in large pages where the system has them. Knows no format.

numpy asks for large pages and torch does not; for hundreds of megabytes they are five times as fast to fill.
"""

from __future__ import annotations

from math import prod

import numpy as np
import torch
from torch import Tensor


def converted(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """The tensor in another number format; itself where it has that already."""
    return tensor if tensor.dtype == dtype else _new(tuple(tensor.shape), dtype).copy_(tensor)


def joined(tensors: list[Tensor], dtype: torch.dtype) -> Tensor:
    """A new tensor: `tensors`, which differ in their first dimension only, behind one another."""
    rows = [len(tensor) for tensor in tensors]
    memory = _new((sum(rows), *tensors[0].shape[1:]), dtype)
    for part, tensor in zip(memory.split(rows), tensors, strict=True):
        part.copy_(tensor)
    return memory


def _new(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    raw = np.empty(prod(shape) * dtype.itemsize, np.uint8)
    return torch.from_numpy(raw).view(dtype).reshape(shape)
