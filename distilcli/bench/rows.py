"""A report as rows of figures: for spreadsheets (CSV) and for the table of the command. Knows no screen."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Iterator, Sequence

from distilcli.bench.values import Case, ClipSet, Ratio, Report, Summary


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """One case on one set; `ratio` None: it is the baseline, or shares no round with it."""

    case: Case
    data: ClipSet
    summary: Summary
    ratio: Ratio | None


def rows(report: Report) -> Iterator[Row]:
    """Every measured case on every set, set by set."""
    ratios = {(one.case, one.data): one for one in report.ratios}
    for data in report.data:
        for case in report.cases:
            if summary := report.summary(case, data):
                yield Row(case, data, summary, ratios.get((case.key, data.key)))


def short_labels(cases: Sequence[Case]) -> tuple[str, dict[str, str]]:
    """What all cases share, and by key, what tells each from the others (its model, if nothing does)."""
    shared = [word for word in cases[0].words if all(word in case.words for case in cases)]
    labels = {}
    for case in cases:
        own = [word for word in case.words if word not in shared]
        labels[case.key] = " ".join(own if own and own != ["(A/A)"] else [case.model, *own])
    return " ".join(shared), labels


def to_csv(report: Report) -> str:
    """One line per row, with a head; seconds, bytes and per cent, nothing where a figure is not known."""
    lines = [dict(_columns(row)) for row in rows(report)]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(name for line in lines for name in line)))
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


def _columns(row: Row) -> Iterator[tuple[str, object]]:
    """Name and value of each column; intervals take three."""
    for name, value in dataclasses.asdict(row.case).items():
        yield name, " ".join(map(str, value)) if isinstance(value, tuple) else value
    yield from (("data", row.data.name), ("noise", row.data.noise), ("snr", row.data.snr))
    yield from (("clips", len(row.data.clips)), ("audio_seconds", row.data.seconds))
    summary = dataclasses.asdict(row.summary)
    accuracy = summary.pop("accuracy") or {}
    for table in (summary, accuracy):
        for name, value in table.items():
            if name not in ("case", "data"):
                yield from _flat(name, value)
    ratio = dataclasses.asdict(row.ratio) if row.ratio else {}
    for name in ("speed", "cpu", "points", "same_texts"):
        yield from _flat(f"ratio_{name}", ratio.get(name))


def _flat(name: str, value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict) and {"value", "low", "high"} <= value.keys():
        yield name, value["value"]
        yield from ((f"{name}_{end}", value[end]) for end in ("low", "high"))
    elif isinstance(value, dict):
        yield from ((f"{name}_{part}", inner) for part, inner in value.items())
    else:
        yield name, value
