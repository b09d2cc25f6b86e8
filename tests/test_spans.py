"""Calculating with stretches of time, against the same on a list of booleans."""

from __future__ import annotations

import random

import pytest

from distilcli.spans import intersection, joined, outside, packed, total
from distilcli.types import Span

LENGTH = 60


def _drawn(draw: random.Random) -> tuple[Span, ...]:
    borders = sorted(draw.sample(range(LENGTH + 1), 2 * draw.randrange(8)))
    return tuple(Span(start, end) for start, end in zip(borders[::2], borders[1::2], strict=True))


def _seconds(spans: tuple[Span, ...]) -> list[bool]:
    return [any(span.start <= second < span.end for span in spans) for second in range(LENGTH)]


@pytest.mark.parametrize("seed", range(20))
def test_they_are_operations_on_sets(seed: int) -> None:
    draw = random.Random(seed)
    first, second = _drawn(draw), _drawn(draw)
    both = intersection(first, second)
    assert _seconds(both) == [a and b for a, b in zip(_seconds(first), _seconds(second), strict=True)]
    assert _seconds(outside(first, LENGTH)) == [not one for one in _seconds(first)]
    assert total(first) == sum(_seconds(first))
    assert intersection(second, first) == both


def test_joined_closes_short_gaps() -> None:
    spans = (Span(0, 1), Span(2, 3), Span(5.5, 6), Span(6, 7))
    assert joined(spans, 1.0) == (Span(0, 3), Span(5.5, 7))
    assert joined(spans, 2.5) == (Span(0, 7),)
    assert joined((), 1.0) == ()


def test_packed_fills_windows_from_the_first_on() -> None:
    spans = (Span(1, 10), Span(12, 20), Span(21, 27), Span(30, 70), Span(71, 80))
    assert packed(spans, 25.0) == (Span(1, 20), Span(21, 27), Span(30, 70), Span(71, 80))
    assert packed(spans, 30.0) == (Span(1, 27), Span(30, 70), Span(71, 80))
