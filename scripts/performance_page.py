"""The tables of docs/performance.md as Markdown, and the places of the page where they belong.

Turns values into words; measures nothing.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path

from distilcli.bench.rows import short_labels
from distilcli.bench.tables import interval, speed_of
from distilcli.bench.values import ClipSet, Machine, Report


def table(report: Report) -> str:
    """Where it was measured and how, a row per system, the A/A row, and what was not equal."""
    shared, labels = short_labels(report.cases)
    lines = [
        f"`{command_words(report.command)}`",
        "",
        f"{machine_words(report.machine)}; {report.rounds} rounds; all: {shared}.",
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


def machine_words(machine: Machine) -> str:
    """Where it was measured, and how busy that was before and after."""
    return (
        f"{machine.cpu}, {machine.usable_cores} cores ({', '.join(machine.instructions)}), "
        f"load {machine.load[0]:.1f} to {machine.load[-1]:.1f}"
    )


def command_words(command: str) -> str:
    """A command without folders and without what only concerns its files."""
    command = re.sub(r" --(resume|json|report|minutes|seed|out|page) \S+| --(force|no-page)", "", command)
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
