"""Calculating with stretches of time: in order, apart, in seconds. Knows nothing of what happens in them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from distilcli.types import Span


def intersection(first: Sequence[Span], second: Sequence[Span]) -> tuple[Span, ...]:
    """What lies in both."""
    found: list[Span] = []
    left, right = 0, 0
    while left < len(first) and right < len(second):
        one, other = first[left], second[right]
        start, end = max(one.start, other.start), min(one.end, other.end)
        if start < end:
            found.append(Span(start, end))
        if one.end <= other.end:
            left += 1
        else:
            right += 1
    return tuple(found)


def joined(spans: Sequence[Span], gap: float) -> tuple[Span, ...]:
    """The spans, with those made one that are at most `gap` seconds apart; those given may overlap."""
    found: list[Span] = []
    for span in spans:
        if found and span.start - found[-1].end <= gap:
            found[-1] = Span(found[-1].start, max(found[-1].end, span.end))
        else:
            found.append(span)
    return tuple(found)


def union(spans: Iterable[Span]) -> tuple[Span, ...]:
    """What lies in any of the spans, which may come in any order and overlap."""
    return joined(sorted(spans, key=lambda span: span.start), 0.0)


def packed(spans: Sequence[Span], longest: float) -> tuple[Span, ...]:
    """The spans, with as many neighbours made one as fit into `longest` seconds, the first ones first.

    A span that is longer stays alone as it is.
    """
    found: list[Span] = []
    for span in spans:
        if found and span.end - found[-1].start <= longest:
            found[-1] = Span(found[-1].start, span.end)
        else:
            found.append(span)
    return tuple(found)


def outside(spans: Sequence[Span], duration: float) -> tuple[Span, ...]:
    """What is left of a recording of `duration` seconds."""
    borders = [0.0, *(at for span in spans for at in (span.start, span.end)), duration]
    return tuple(Span(start, end) for start, end in list(pairwise(borders))[::2] if start < end)


def total(spans: Sequence[Span]) -> float:
    """Seconds in all."""
    return sum(span.duration for span in spans)
