"""How far rounding may move weights that are quantised in blocks. Knows no format."""

from __future__ import annotations

import torch
from torch import Tensor

_OF_A_STEP = 0.6
"""Rounding to the nearest of many levels is off by 0.29 steps (root mean square); this is twice that."""


def rounding_limit(expected: Tensor, block: int, steps: int, *, symmetric: bool) -> float:
    """The largest `Compared.rmse` that rounding explains.

    Args:
        expected: the weights, any shape whose last dimension is a multiple of `block`; float32.
        block: weights that share a scale.
        steps: between the smallest and the largest number that a block can express.
        symmetric: whether these are the largest magnitude with either sign, or the block's own ends.
    """
    low, high = torch.aminmax(expected.reshape(-1, block), dim=1)
    span = 2 * torch.maximum(high, -low) if symmetric else high - low
    step = (span / steps).square().mean().sqrt()
    return float(_OF_A_STEP * step / expected.std(correction=0).clamp_min(torch.finfo(torch.float32).tiny))
