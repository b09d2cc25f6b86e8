"""Speech that a strategy left without words is decoded once more, alone: a flow around a flow.

Knows no strategy and no backend.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace

from distilcli.config import QualityOptions
from distilcli.longform.base import Flow, Step, resumed
from distilcli.quality import Known, uncovered
from distilcli.spans import intersection, outside, union
from distilcli.types import Hypothesis, Segment, Span

FILLED = "gap filled"
"""What `Segment.tried` says of a segment that was found this way."""

Listen = Callable[[Sequence[Span]], Flow]
"""A flow over a few stretches of the recording."""


def filled(
    flow: Flow,
    listen: Listen,
    known: Known,
    options: QualityOptions,
    within: Sequence[Span] | None = None,
) -> Flow:
    """The steps of `flow`, with what `listen` hears in its gaps put between its segments in order of time.

    A gap is speech that `uncovered` reports, outside of every segment. It is decoded as soon as a segment
    behind it is final. `within` are the stretches to look at (None: all).
    """
    audit = _Audit(known, options, within)
    position = 0.0
    step: Step | None = next(flow, None)
    while step is not None:
        gaps = audit.gaps(step.ready, max((one.span.start for one in step.ready), default=0.0))
        found = (yield from _heard(listen(gaps), position)) if gaps else []
        position = step.position
        if found:
            in_order = sorted([*step.ready, *found], key=lambda one: one.span.start)
            step = replace(step, ready=tuple(in_order))
        step = resumed(flow, (yield step))
    gaps = audit.gaps((), math.inf)
    if gaps:
        found = yield from _heard(listen(gaps), position)
        yield Step(tuple(found), (), position)


class _Audit:
    """Finds the gaps of a flow while its segments come."""

    def __init__(self, known: Known, options: QualityOptions, within: Sequence[Span] | None) -> None:
        self._known, self._options, self._within = known, options, within
        self._reach: list[Segment] = []  # segments that reach beyond what is checked
        self._checked = 0.0

    def gaps(self, ready: Sequence[Segment], frontier: float) -> tuple[Span, ...]:
        """The gaps before second `frontier` that no earlier call gave, with `ready` the next segments.

        Each is as much wider than the speech in it as a detected stretch is, where no segment is in the way.
        """
        self._reach += [replace(one, words=()) for one in ready]
        new = Span(self._checked, max(self._checked, frontier))
        within = (new,) if self._within is None else intersection((new,), self._within)
        bare = uncovered(self._reach, self._known.near(new), self._options, within)
        free = intersection(within, outside(union(one.span for one in self._reach), math.inf))
        least = self._options.flag_uncovered or 0.0
        found = [gap for gap in intersection(bare, free) if gap.duration >= least]
        self._checked = new.end
        self._reach = [one for one in self._reach if one.span.end > new.end]
        return union(_widened(gap, self._known.padding, free) for gap in found)


def _widened(gap: Span, padding: float, free: Sequence[Span]) -> Span:
    """The gap with `padding` seconds more at both ends, as far as the stretch of `free` that it lies in."""
    (room,) = (one for one in free if one.start <= gap.start and gap.end <= one.end)
    return Span(max(room.start, gap.start - padding), min(room.end, gap.end + padding))


def _heard(flow: Flow, position: float) -> Generator[Step, list[Hypothesis], list[Segment]]:
    """Have the windows of a flow decoded at a standstill; returns its segments."""
    found: list[Segment] = []
    step: Step | None = next(flow, None)
    while step is not None:
        found += [replace(one, tried=(*one.tried, FILLED)) for one in step.ready]
        step = resumed(flow, (yield Step((), step.need, position)) if step.need else [])
    return found
