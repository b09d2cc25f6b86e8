"""How far a tensor that was read back is from the one that was written. Knows no format."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

_PIECE = 1 << 20  # values


@dataclass(frozen=True, slots=True)
class Compared:
    """One tensor of an export against the checkpoint's.

    Attributes:
        name: the tensor, as the export's format calls it.
        rmse: root of the mean squared difference over the standard deviation of the checkpoint's values.
        limit: the largest `rmse` that passes; 0.0 demands equal bits in the export's number format.
    """

    name: str
    rmse: float
    limit: float

    @property
    def passed(self) -> bool:
        """Whether the difference is within its limit; a difference that is no number is not."""
        return self.rmse <= self.limit


def compare(name: str, expected: Tensor, found: Tensor, limit: float) -> Compared:
    """Compares what a file holds with what it should.

    Args:
        name: for `Compared.name`.
        expected: the checkpoint's tensor; for `limit` 0.0 rounded to the number format of the file.
        found: the file's, dequantised where the format quantises; any shape but the expected one fails.
        limit: see `Compared`.
    """
    import torch

    if expected.shape != found.shape:
        return Compared(name, math.inf, limit)
    if limit == 0.0:
        # An infinity equals itself: float16 ends at 65504, and a larger weight must not pass as rounded.
        same = expected.dtype == found.dtype and torch.equal(expected, found) and bool(found.isfinite().all())
        return Compared(name, 0.0 if same else math.inf, limit)
    count, total, squares, error = expected.numel(), 0.0, 0.0, 0.0
    for wanted, other in zip(_pieces(expected), _pieces(found), strict=True):
        total += float(wanted.sum())
        squares += float(wanted.square().sum())
        error += float((other - wanted).square().sum())
    mean_square = squares / count
    spread = math.sqrt(max(mean_square - (total / count) ** 2, 0.0))
    # A constant tensor has no spread of its own: its differences count relative to its size.
    scale = spread if spread > 1e-6 * math.sqrt(mean_square) else math.sqrt(mean_square) or 1.0
    return Compared(name, math.sqrt(error / count) / scale, limit)


def _pieces(tensor: Tensor) -> Iterator[Tensor]:
    """The values in order, as float64, a few megabytes at a time."""
    for piece in tensor.reshape(-1).split(_PIECE):
        yield piece.double()
