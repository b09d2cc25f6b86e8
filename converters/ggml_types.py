"""GGML's number formats: what each costs, and tensors to its bytes and back. Knows no file and no model.

The quantisers are those of ggml-org's `gguf` package, whose bytes equal those of ggml's C code.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from distilcli.converters.blocks import rounding_limit
from distilcli.converters.halves import need_range
from distilcli.converters.memory import converted
from distilcli.errors import EnvironmentProblem

_PIECE = 1 << 22
"""Elements that are converted at a time: 16 MB in float32."""


@dataclass(frozen=True, slots=True)
class NumberFormat:
    """One of ggml's number formats; a quantised one cuts rows into blocks that share a scale.

    Attributes:
        name: as in the names of whisper.cpp's files.
        tensor_type: its id before a tensor (`enum ggml_type`).
        file_type: its id in the header of a file (`enum ggml_ftype`); the two lists differ.
        block: elements in a block.
        block_bytes: bytes of a block, scales included.
        steps: between the ends of a block; 0: not quantised.
        symmetric: the ends of a block are its largest magnitude with either sign; False: a minimum is stored.
    """

    name: str
    tensor_type: int
    file_type: int
    block: int
    block_bytes: int
    steps: int = 0
    symmetric: bool = True

    @property
    def quantized(self) -> bool:
        """Whether elements share scales."""
        return self.steps > 0

    def size(self, elements: int) -> int:
        """Bytes of `elements` numbers, a multiple of the block."""
        return elements // self.block * self.block_bytes

    def rounded(self, tensor: Tensor) -> Tensor:
        """The tensor in the dtype that files are compared in: float16 for f16, else float32."""
        return converted(tensor, _DTYPES.get(self.name, torch.float32))

    def limit(self, rounded: Tensor) -> float:
        """The largest `Compared.rmse` that passes for rounding; 0.0 where nothing is quantised."""
        if not self.quantized:
            return 0.0
        return rounding_limit(rounded, self.block, self.steps, symmetric=self.symmetric)


F32 = NumberFormat("f32", 0, 0, 1, 4)
F16 = NumberFormat("f16", 1, 1, 1, 2)

FORMATS = {
    one.name: one
    for one in (
        F32,
        F16,
        NumberFormat("q4_0", 2, 2, 32, 18, steps=16),
        NumberFormat("q4_1", 3, 3, 32, 20, steps=15, symmetric=False),
        NumberFormat("q5_0", 6, 8, 32, 22, steps=32),
        NumberFormat("q5_1", 7, 9, 32, 24, steps=31, symmetric=False),
        NumberFormat("q8_0", 8, 7, 32, 34, steps=254),
    )
}
"""The formats of whisper.cpp's published models, by name."""

_DTYPES = {"f32": torch.float32, "f16": torch.float16}


def encode(tensor: Tensor, to: NumberFormat, name: str) -> Iterator[NDArray[np.generic]]:
    """The bytes of a tensor of any float dtype as arrays of bounded size, in the order of its rows.

    Raises:
        ModelError: a value is too large for 16 bits; the message carries `name`.
        EnvironmentProblem: the `gguf` package is not installed.
    """
    rows = tensor.reshape(-1, tensor.shape[-1])
    for piece in rows.split(max(1, _PIECE // rows.shape[1])):
        if to != F32:  # the scale of a block has 16 bits, too
            need_range(piece, name, to.name)
        numbers: NDArray[np.generic] = to.rounded(piece).contiguous().numpy()
        yield _gguf().quantize(numbers, to.tensor_type) if to.quantized else numbers


def decode(raw: NDArray[np.uint8], kind: NumberFormat, shape: tuple[int, ...]) -> Tensor:
    """A tensor of `shape` from its bytes: float16 for f16, else float32. Shares no memory with `raw`.

    Raises:
        EnvironmentProblem: the `gguf` package is not installed.
    """
    if kind.quantized:
        rows = raw.reshape(-1, kind.size(shape[-1]))
        return torch.from_numpy(_gguf().dequantize(rows, kind.tensor_type)).reshape(shape)
    numbers = torch.empty(shape, dtype=_DTYPES[kind.name])
    numbers.reshape(-1).view(torch.uint8).numpy()[:] = raw
    return numbers


def _gguf() -> ModuleType:
    try:
        from gguf import quants
    except ImportError as error:
        raise EnvironmentProblem(
            "quantised GGML files need the gguf package, not installed here", hint="pip install gguf"
        ) from error
    return quants
