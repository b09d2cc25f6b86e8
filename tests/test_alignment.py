"""Filter, warping and token times, against openai/whisper's own functions, by brute force and by hand."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np
import pytest

from distilcli.alignment import median_filter, smoothed, token_times, warp
from distilcli.types import Span


def _cheapest(cost: np.ndarray) -> float:
    """The cost of the cheapest path, by its definition."""

    @cache
    def to(row: int, position: int) -> float:
        if row == position == 0:
            return float(cost[0, 0])
        before = [
            to(row - down, position - right)
            for down, right in ((1, 1), (1, 0), (0, 1))
            if row >= down and position >= right
        ]
        return float(cost[row, position]) + min(before)

    return to(cost.shape[0] - 1, cost.shape[1] - 1)


@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (6, 1), (4, 9), (9, 4), (12, 30)])
def test_the_path_is_the_cheapest_and_steps_to_neighbours(shape: tuple[int, int]) -> None:
    cost = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    path = warp(cost)
    assert path[0] == (0, 0)
    assert path[-1] == (shape[0] - 1, shape[1] - 1)
    steps = {(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(path)}
    assert steps <= {(1, 1), (1, 0), (0, 1)}
    assert sum(float(cost[at]) for at in path) == pytest.approx(_cheapest(cost), abs=1e-4)


def test_ties_and_all_fall_as_in_openai_whisper(monkeypatch: pytest.MonkeyPatch) -> None:
    timing = pytest.importorskip("whisper.timing")
    monkeypatch.setattr(timing, "backtrace", timing.backtrace.py_func)  # compiling would take seconds
    draw = np.random.default_rng(2)
    for shape in ((5, 7), (7, 5), (8, 40), (3, 3)):
        for cost in (np.zeros(shape), draw.integers(-1, 2, shape), draw.standard_normal(shape)):
            rows, positions = timing.dtw_cpu.py_func(cost.astype(np.float32).astype(np.float64))
            assert warp(cost.astype(np.float32)) == list(zip(rows.tolist(), positions.tolist(), strict=True))


@pytest.mark.parametrize("positions", [1, 3, 4, 50])
def test_the_median_filter_equals_openai_whispers(positions: int) -> None:
    timing, torch = pytest.importorskip("whisper.timing"), pytest.importorskip("torch")
    rows = np.random.default_rng(3).standard_normal((6, positions)).astype(np.float32)
    assert median_filter(rows, 7).tolist() == timing.median_filter(torch.from_numpy(rows), 7).tolist()


def test_heads_are_standardised_before_they_are_averaged() -> None:
    # One head is a hundred times as sure as the other; both count alike.
    draw = np.random.default_rng(4)
    quiet = draw.random((5, 3), dtype=np.float32)
    loud = 100 * draw.random((5, 3), dtype=np.float32)
    expected = np.mean([(one - one.mean(axis=0)) / one.std(axis=0) for one in (quiet, loud)], axis=0)
    assert smoothed([quiet, loud]) == pytest.approx(expected, abs=1e-5)
    flat = np.ones((5, 3), dtype=np.float32)
    assert not smoothed([flat]).any()


def test_a_token_lasts_until_the_next_one_begins() -> None:
    path = [(0, 0), (0, 1), (1, 2), (1, 3), (1, 4), (2, 10), (2, 11)]
    first, second = token_times([7, 8], path, [0.5, 0.25])
    assert (first.span, first.probability, first.tokens) == (Span(0.0, 0.04), 0.5, (7,))
    assert (second.span, second.probability, second.tokens) == (Span(0.04, 0.2), 0.25, (8,))


def test_tokens_without_a_row_come_at_the_end() -> None:
    times = token_times([7, 8, 9], [(0, 0), (1, 5)], [0.5])
    assert [one.span for one in times] == [Span(0.0, 0.1), Span(0.1, 0.1), Span(0.1, 0.1)]
    assert [one.probability for one in times] == [0.5, 0.0, 0.0]
    assert token_times([7], [], [])[0].span == Span(0.0, 0.0)
