"""Medians and ratios with intervals, against arithmetic and the normal approximation."""

from __future__ import annotations

import numpy as np
import pytest

from distilcli import intervals
from distilcli.intervals import Interval


def test_the_median_of_equal_numbers_has_no_width() -> None:
    assert intervals.median([2.0] * 7) == Interval(2.0, 2.0, 2.0)
    assert intervals.median([3.0]) == Interval(3.0, 3.0, 3.0)


def test_the_interval_of_a_median_is_that_of_theory_on_average() -> None:
    """The standard error of a normal sample's median is 1.2533 times that of its mean."""
    draw = np.random.default_rng(7)
    found = [intervals.median(draw.normal(10.0, 1.0, 400).tolist(), draws=500) for _ in range(40)]
    width = np.mean([one.high - one.low for one in found]) / 2
    assert width == pytest.approx(1.96 * 1.2533 / np.sqrt(400), rel=0.1)
    assert sum(one.low <= 10.0 <= one.high for one in found) >= 34  # 38 of 40 are expected
    again = [1.0, 5.0, 2.0]
    assert intervals.median(again) == intervals.median(again)  # seeded


def test_ratios_are_taken_pair_by_pair() -> None:
    """A machine that gets slower from round to round changes both times and not one ratio."""
    slower = [1.0, 2.0, 3.0, 4.0]
    found = intervals.median_ratio([2 * one for one in slower], slower)
    assert found == Interval(2.0, 2.0, 2.0)
    with pytest.raises(ValueError, match="zip"):
        intervals.median_ratio([1.0], [1.0, 2.0])


def test_percentiles_lie_between_the_numbers() -> None:
    assert intervals.percentile([4.0, 1.0, 2.0, 3.0], 50) == 2.5
    assert intervals.percentile([5.0], 95) == 5.0
    assert intervals.percentile([float(n) for n in range(101)], 95) == 95.0


def test_no_draws_have_no_width() -> None:
    assert intervals.between(1.5, np.zeros(0)) == Interval(1.5, 1.5, 1.5)
