"""Trains only the vocabulary rows that occur; all others are one shared vector, and the softmax stays exact.

It knows token ids and embedding matrices; it does not know audio, labels or optimisers.

With U unused rows that all equal one vector, the full softmax has U equal logits z, whose exponentials add up
to exp(z + log U). One row with that offset therefore gives the same normaliser, the same probabilities of the
used rows and the same gradients as the full matrix with tied rows, at a fraction of the cost.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from distilcli.errors import UsageError


class CompactVocabulary:
    """Maps full token ids to the rows that are trained: the kept ids, then one row for all others."""

    def __init__(self, kept: Iterable[int], size: int) -> None:
        """Keeps the ids `kept` of a vocabulary of `size` tokens.

        Raises:
            UsageError: an id outside the vocabulary, or nothing kept.
        """
        self.kept = tuple(sorted(set(kept)))
        self.size = size
        if not self.kept or self.kept[0] < 0 or self.kept[-1] >= size:
            raise UsageError(
                f"expected kept token ids in 0..{size - 1}, found {self.kept[:1]} .. {self.kept[-1:]}"
            )
        self._rows = torch.full((size,), len(self.kept), dtype=torch.long)
        self._rows[list(self.kept)] = torch.arange(len(self.kept))

    @property
    def rows(self) -> int:
        """Number of trained rows: the kept ids and, where any id is left over, the shared row."""
        return len(self.kept) + (self.unused > 0)

    @property
    def unused(self) -> int:
        """Number of ids that share the last row."""
        return self.size - len(self.kept)

    def compress(self, ids: Tensor) -> Tensor:
        """Turns full ids into rows; negative values (positions without loss) stay. Any shape, int64."""
        return torch.where(ids < 0, ids, self._rows.to(ids.device)[ids.clamp_min(0)])

    def log_multiplicity(self) -> Tensor:
        """Offset of the logits: 0 for kept rows, log U for the shared row. (rows,) float32."""
        offset = torch.zeros(self.rows)
        if self.unused:
            offset[-1] = math.log(self.unused)
        return offset

    def expand(self, weight: Tensor) -> Tensor:
        """Turns the trained rows (rows, d) into the full matrix (size, d)."""
        return weight[self._rows.to(weight.device)]

    def adopt(self, weight: Tensor, other: CompactVocabulary) -> Tensor:
        """Turns rows of another choice of the same ids, (other.rows, d), into this one's, (rows, d).

        Every row that the other has keeps its values; ids that are new here begin as its shared row.
        """
        assert self.size == other.size
        assert set(other.kept) <= set(self.kept), "rows would be lost"
        shared = [len(other.kept)] * (self.unused > 0)
        return weight[[*other.compress(torch.tensor(self.kept)).tolist(), *shared]]
