"""Exponential moving averages of weights (Polyak and Juditsky 1992).

It knows tensors and their names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor


class Averages:
    """An average of each weight over the latest steps, float32."""

    def __init__(self, weights: Mapping[str, Tensor], decay: float) -> None:
        self._weights = dict(weights)
        self._decay = decay
        self._values = {name: weight.detach().float().clone() for name, weight in self._weights.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Moves the averages towards the weights after step `step` (from 1).

        The decay rises from 2/11 to its final value, ``(1 + step) / (10 + step)``, so that the first weights
        do not linger (TensorFlow's `ExponentialMovingAverage`).
        """
        decay = min(self._decay, (1 + step) / (10 + step))
        for name, weight in self._weights.items():
            self._values[name].lerp_(weight.float(), 1.0 - decay)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The weights are their averages inside, and themselves again afterwards."""
        own = {name: weight.detach().clone() for name, weight in self._weights.items()}
        self._fill(self._values)
        try:
            yield
        finally:
            self._fill(own)

    def state(self) -> dict[str, Tensor]:
        """The averages by name."""
        return self._values

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Goes on from `state()`."""
        for name, value in self._values.items():
            value.copy_(state[name])

    @torch.no_grad()
    def _fill(self, values: Mapping[str, Tensor]) -> None:
        for name, weight in self._weights.items():
            weight.copy_(values[name])
