"""``--fail-if``: conditions on a report, or on what it is of an earlier one, that make the command fail.

Functions of reports and words. Exits nothing.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from distilcli.bench.values import Case, ClipSet, Ratio, Report, Summary
from distilcli.errors import UsageError, closest

COMPARE: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}


@dataclass(frozen=True, slots=True)
class Result:
    """What one case came to on one set, and how it compares with the first case of its report."""

    summary: Summary
    ratio: Ratio | None


MEASURES: dict[str, Callable[[Result], float | None]] = {
    "rtfx": lambda one: one.summary.rtfx.value,
    "rtfx_model": lambda one: one.summary.rtfx_model,
    "speed": lambda one: one.ratio.speed.value if one.ratio else 1.0,
    "cpu_ratio": lambda one: one.ratio.cpu.value if one.ratio else 1.0,
    "latency_p50": lambda one: one.summary.latency_p50,
    "latency_p95": lambda one: one.summary.latency_p95,
    "first_segment": lambda one: one.summary.first_segment,
    "tokens_per_second": lambda one: one.summary.tokens_per_second,
    "load": lambda one: one.summary.load,
    "cpu": lambda one: one.summary.cpu,
    "peak_rss": lambda one: one.summary.peak_rss,
    "peak_vram": lambda one: one.summary.peak_vram,
    "fallbacks_per_hour": lambda one: one.summary.fallbacks_per_hour,
    "wer": lambda one: one.summary.accuracy.wer.value if one.summary.accuracy else None,
    "cer": lambda one: one.summary.accuracy.cer.value if one.summary.accuracy else None,
}
"""What a condition can speak of. ``speed`` is that beside the first case of the same run, pair by pair, and
``cpu_ratio`` how many times as cheap in CPU time: the measures of time that mean the same on another machine,
the latter with one thread on a busy day as well."""

DIFFERENCES = ("wer", "cer")
"""Compared with a baseline by subtraction, in points; everything else by division."""

_CONDITION = re.compile(r"\s*([a-z_0-9]+)\s*(<=|>=|<|>)\s*(-?\d+(?:\.\d+)?)\s*")


@dataclass(frozen=True, slots=True)
class Condition:
    """`measure` compared with `limit` in a way that is a failure when it holds."""

    measure: str
    comparison: str
    limit: float

    def holds(self, value: float) -> bool:
        """Whether a value fails."""
        return COMPARE[self.comparison](value, self.limit)

    def __str__(self) -> str:
        return f"{self.measure}{self.comparison}{self.limit:g}"


def parse(text: str) -> Condition:
    """Read a condition such as ``rtfx<0.95``.

    Raises:
        UsageError: it is none, or speaks of something that is not measured.
    """
    found = _CONDITION.fullmatch(text)
    if found is None:
        raise UsageError(f"--fail-if must be a measure, <, <=, > or >=, and a number, not '{text}'")
    if found[1] not in MEASURES:
        raise UsageError(
            f"--fail-if knows no '{found[1]}'{closest(found[1], MEASURES)}; "
            f"expected one of {', '.join(MEASURES)}"
        )
    return Condition(found[1], found[2], float(found[3]))


def failures(report: Report, conditions: Iterable[Condition], old: Report | None) -> list[str]:
    """A sentence for each condition that holds for a case on a set; none: the gate stays open.

    With an `old` report, figures are divided by those of the same case and set there (error rates:
    subtracted).

    Raises:
        UsageError: the old report shares no case and set with this one, or one lacks the measure.
    """
    chosen = list(conditions)
    found: list[str] = []
    compared = 0
    for case, data in ((case, data) for case in report.cases if not case.repeat for data in report.data):
        result = _result(report, case, data)
        before = _same_case(old, case, data) if old else None
        if result is None or (old and before is None):
            continue
        compared += 1
        for one in chosen:
            value = _value(one.measure, result, before)
            if one.holds(value):
                found.append(
                    f"{case.label}, {data.name}: {one.measure} is {value:.4g}{_against(one, old)} "
                    f"({one} fails)"
                )
    if chosen and not compared:
        raise UsageError(
            "--baseline shares no case and recordings with this run"
            if old
            else "--fail-if: nothing was measured",
            hint="measure with the same flags and recordings as for the old report",
        )
    return found


def _result(report: Report, case: Case, data: ClipSet) -> Result | None:
    summary = report.summary(case, data)
    ratio = next((one for one in report.ratios if (one.case, one.data) == (case.key, data.key)), None)
    return Result(summary, ratio) if summary else None


def _same_case(old: Report, case: Case, data: ClipSet) -> Result | None:
    """What an old report says of the same case and recordings, wherever those lay."""
    same = next((one for one in old.data if _content(one) == _content(data)), None)
    return _result(old, case, same) if same else None


def _content(data: ClipSet) -> tuple[object, ...]:
    """A set without the folders of its recordings."""
    clips = tuple((re.split(r"[/\\]", clip.path)[-1], clip.text, clip.language) for clip in data.clips)
    return data.name, data.noise, data.snr, clips


def _value(measure: str, result: Result, before: Result | None) -> float:
    value = _measured(measure, result)
    if before is None:
        return value
    earlier = _measured(measure, before)
    if measure in DIFFERENCES:
        return value - earlier
    return value / earlier if earlier else float("inf") if value else 1.0


def _measured(measure: str, result: Result) -> float:
    value = MEASURES[measure](result)
    if value is None:
        raise UsageError(
            f"--fail-if {measure}: this was not measured here", hint="choose a measure that the table shows"
        )
    return value


def _against(condition: Condition, old: Report | None) -> str:
    if old is None:
        return ""
    return " points more" if condition.measure in DIFFERENCES else " times that of the baseline"
