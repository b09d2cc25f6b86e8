"""Medians and ratios of measurements with bootstrap intervals. Knows numbers, not what they measure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_DRAWS = 2000


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with the ends of its confidence interval."""

    value: float
    low: float
    high: float


def between(value: float, drawn: NDArray[np.float64], level: float = 0.95) -> Interval:
    """`value` with the ends between which the middle `level` of the draws lie; no draws, no width."""
    if not drawn.size:
        return Interval(value, value, value)
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high))


def median(values: Sequence[float], *, draws: int = _DRAWS, seed: int = 0) -> Interval:
    """The median of at least one number, with its bootstrap interval."""
    drawn = np.random.default_rng(seed).choice(np.asarray(values, float), size=(draws, len(values)))
    return between(float(np.median(values)), np.median(drawn, axis=1))


def median_ratio(over: Sequence[float], under: Sequence[float]) -> Interval:
    """The median of ``over / under``, taken pair by pair: whatever slows both runs of a pair cancels out.

    Both lists have one length, and `under` holds no zero.
    """
    return median([one / other for one, other in zip(over, under, strict=True)])


def percentile(values: Sequence[float], percent: float) -> float:
    """The value under which `percent` per cent of at least one number lie, interpolated."""
    return float(np.percentile(np.asarray(values, float), percent))
