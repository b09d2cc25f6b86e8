"""The tables of docs/performance.md as Markdown: a report in rows, and what the goals came to.

Turns values into words; measures nothing.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from distilcli.bench.rows import short_labels
from distilcli.bench.tables import interval, speed_of
from distilcli.bench.values import OURS, Case, ClipSet, Report


@dataclass(frozen=True, slots=True)
class Goal:
    """How many times as fast distilcli's fastest case is to be as the peer's fastest one, in a scenario."""

    text: str
    scenario: str
    peer: str
    bar: float
    instruction: str = ""
    """The goal is about processors that have this; with ``-`` before it, that lack it."""
    compute_type: str = ""
    """Of the peer; empty: any."""


GOALS = (
    Goal("one long recording, AMX", "long", "faster-whisper", 1.8, "amx_bf16"),
    Goal(
        "one long recording, no AMX, beside its better mode",
        "long-batched",
        "faster-whisper",
        1.05,
        "-amx_bf16",
    ),
    Goal("a short clip, language detected", "short", "faster-whisper", 1.6),
    Goal("fifty short files", "many", "faster-whisper", 1.7),
    Goal(
        "Transformers, beside its pipeline in float32",
        "transformers",
        "transformers-pipeline",
        2.0,
        "",
        "float32",
    ),
)


def goals_table(reports: Mapping[str, Report]) -> str:
    """A row per goal: what was asked, what was found, and whether its whole interval lies above the bar."""
    lines = ["| goal | times as fast | bar | A/A | met |", "|---|---|---|---|---|"]
    for goal in GOALS:
        found, control, met = _outcome(goal, reports.get(goal.scenario))
        lines.append(f"| {goal.text} | {found} | {goal.bar:g} | {control} | {met} |")
    return "\n".join(lines) + "\n"


def _outcome(goal: Goal, report: Report | None) -> tuple[str, str, str]:
    if report is None:
        return "not measured", "", ""
    name = goal.instruction.removeprefix("-")
    if name and (name in report.machine.instructions) == goal.instruction.startswith("-"):
        return f"cannot be measured: {'has' if goal.instruction[0] == '-' else 'lacks'} {name}", "", ""
    data = report.data[0]
    ours, theirs = _fastest(report, data, OURS), _fastest(report, data, goal.peer, goal.compute_type)
    if ours is None or theirs is None:
        return "not measured", "", ""
    speed = speed_of(report, (theirs, ours), data)
    control = speed_of(report, (report.cases[1], report.baseline), data)
    if speed is None:
        return "not measured", "", ""
    met = "yes" if speed.low >= goal.bar else "no" if speed.high < goal.bar else "not certain"
    return f"{interval(speed)}, {ours.strategy} beside {theirs.strategy}", interval(control), met


def _fastest(report: Report, data: ClipSet, system: str, compute_type: str = "") -> Case | None:
    """The case of a system with the least median time."""
    found = [
        (summary.wall.value, number)
        for number, case in enumerate(report.cases)
        if case.system == system
        and not case.repeat
        and compute_type in ("", case.compute_type)
        and (summary := report.summary(case, data))
    ]
    return report.cases[min(found)[1]] if found else None


def table(report: Report) -> str:
    """Where it was measured and how, a row per system, the A/A row, and what was not equal."""
    machine, (shared, labels) = report.machine, short_labels(report.cases)
    lines = [
        f"`{_command(report)}`",
        "",
        f"{machine.cpu}, {machine.usable_cores} cores ({', '.join(machine.instructions)}), "
        f"load {machine.load[0]:.1f} to {machine.load[-1]:.1f}; {report.rounds} rounds; all: {shared}.",
        "",
        "| system | error rate, % | RTFx | distilcli is … times as fast | p50 / p95, s | first, s | MB |",
        "|---|---|---|---|---|---|---|",
    ]
    for data in report.data:
        lines += _rows(report, data, labels)
    for key, differences in report.differences.items():
        lines += ["", f"{labels[key]}: {'; '.join(differences)}."]
    lines += [f"\nNot measured: {one.system}: {one.reason}" for one in report.missing]
    lines += [f"\nNote: {note}" for note in report.notes]
    return "\n".join(lines) + "\n"


def _command(report: Report) -> str:
    """The command of a report without folders and without what only concerns its files."""
    command = re.sub(r" --(resume|json|report|minutes|seed) \S+| --force", "", report.command)
    return re.sub(r"\S*/", "", command)


def _rows(report: Report, data: ClipSet, labels: Mapping[str, str]) -> list[str]:
    """A row per case on a set."""
    found = []
    for case in report.cases:
        summary = report.summary(case, data)
        if summary is None:
            continue
        speed = "" if case == report.baseline else interval(speed_of(report, (case, report.baseline), data))
        latency = ""
        if summary.latency_p50 is not None and summary.latency_p95 is not None:
            latency = f"{summary.latency_p50:.2f} / {summary.latency_p95:.2f}"
        cells = (
            labels[case.key],
            interval(summary.accuracy.rate, 1) if summary.accuracy else "",
            f"{summary.rtfx.value:,.1f}",
            speed,
            latency,
            f"{summary.first_segment:.2f}" if summary.first_segment is not None else "",
            f"{summary.peak_rss / 1e6:,.0f}",
        )
        found.append(f"| {' | '.join(cells)} |")
    return found


def fill(path: Path, name: str, text: str) -> None:
    """Replace what stands between the marks of a table in the page at `path`."""
    page = path.read_text(encoding="utf-8")
    marks = rf"(<!-- table: {re.escape(name)} -->\n).*?(<!-- end -->)"
    filled, count = re.subn(marks, lambda found: found[1] + text + found[2], page, flags=re.DOTALL)
    if not count:
        sys.exit(f"{path} has no marks '<!-- table: {name} -->' and '<!-- end -->'")
    path.write_text(filled, encoding="utf-8")
