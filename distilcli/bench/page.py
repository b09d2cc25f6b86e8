"""A report as one self-contained page: charts to read at a glance, tables, and where it was measured.

Turns values into HTML; measures nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from distilcli.bench.rows import Row, rows, short_labels
from distilcli.bench.tables import interval, noise_sweep
from distilcli.bench.values import Case, ClipSet, Report, Summary, Table
from distilcli.charts import Dot, Series, Stack, line_chart, scatter_chart, stacked_chart
from distilcli.intervals import Interval
from distilcli.pages import details, page, section, table, tiles

TITLE = "distilcli bench"

Measured = tuple[Case, Summary]


def render(report: Report) -> str:
    """The page: one HTML document without any reference to another file."""
    parts = [_head(report)]
    for data in report.data:
        parts.append(section(data.name, _of_set(report, data) if not data.noise else ""))
    parts.append(section("With noise", _charts(_noise(report))))
    parts += [section(one.title, _table(one)) for one in report.tables]
    parts.append(section("What was not equal", _unequal(report)))
    parts.append(section("Where it was measured", _where(report)))
    return page(TITLE, parts)


def _head(report: Report) -> str:
    machine = report.machine
    gpus = "".join(f", {gpu}" for gpu in machine.gpus)
    lead = (
        f"{machine.cpu}, {machine.usable_cores} of {machine.cores} cores{gpus}. "
        f"{report.rounds} rounds, interleaved, each system in a process of its own."
    )
    warnings = "".join(f"<p><b>{escape(note)}</b></p>" for note in report.notes)
    return f'<h1>{TITLE}</h1><p class="lead">{escape(lead)}</p>{warnings}{tiles(_figures(report))}'


def _figures(report: Report) -> list[tuple[str, str]]:
    """The fastest case of the first set, its error rate, and how it compares with the baseline."""
    if not report.data:
        return []
    data = report.data[0]
    measured = _measured(report, data)
    if not measured:
        return []
    case, best = max(measured, key=lambda one: one[1].rtfx.value)
    figures = [(f"{best.rtfx.value:,.1f} ×", f"real time: {case.label}, the fastest")]
    if best.accuracy:
        figures.append((f"{best.accuracy.rate.value:.2f} %", f"{best.accuracy.unit} error rate of it"))
    ratio = next((row.ratio for row in rows(report) if (row.case, row.data) == (case, data)), None)
    if ratio and case != report.baseline:
        figures.append((f"{ratio.speed.value:.2f} ×", f"speed of {report.baseline.label}"))
    return figures


def _measured(report: Report, data: ClipSet) -> list[Measured]:
    """Cases with what they came to on a set, repeated ones left out."""
    found = ((case, report.summary(case, data)) for case in report.cases if not case.repeat)
    return [(case, summary) for case, summary in found if summary is not None]


def _of_set(report: Report, data: ClipSet) -> str:
    measured = _measured(report, data)
    if not measured:
        return ""
    shared, _ = short_labels(report.cases)
    note = f"{len(data.clips):,} recordings, {data.seconds:,.0f} s; all: {shared}. Small: 95 % intervals."
    charts = (_speed_and_errors(report, measured), _latencies(report, data, measured))
    return (
        f'<p class="note">{escape(note)}</p>{_charts(charts)}{_results(report, data)}'
        f"<h3>Where the time goes</h3>{_stages(report, measured)}"
    )


def _speed_and_errors(report: Report, measured: Sequence[Measured]) -> str:
    dots, (_, labels) = [], short_labels(report.cases)
    for case, summary in measured:
        if summary.accuracy is not None:
            rate = summary.accuracy.rate
            dots.append(
                Dot(
                    labels[case.key],
                    summary.rtfx.value,
                    rate.value,
                    _colour(report, case),
                    (rate.low, rate.high),
                )
            )
    return scatter_chart(dots, x_label="audio per time", y_label="error rate, %", log_x=True)


def _latencies(report: Report, data: ClipSet, measured: Sequence[Measured]) -> str:
    """Share of the recordings that were done within a time, over all rounds."""
    series, (_, labels) = [], short_labels(report.cases)
    for case, _ in measured:
        found = sorted(seconds for one in report.samples_of(case, data) for seconds in one.latencies)
        points = [(seconds, 100 * number / len(found)) for number, seconds in enumerate(found, 1)]
        if len(data.clips) > 1 and points:
            series.append(Series(labels[case.key], points, _colour(report, case)))
    return line_chart(series, x_label="seconds to the text of a recording", y_label="recordings, %")


def _noise(report: Report) -> list[str]:
    """Error rate against the level of the noise, a chart for every set and kind of noise."""
    sweep, charts = noise_sweep(report), []
    _, labels = short_labels(report.cases)
    for data, noise in dict.fromkeys((line.data, line.noise) for line in sweep):
        series = []
        for line, rates in sweep.items():
            if (line.data, line.noise) != (data, noise):
                continue
            levels = sorted(level for level in rates if level != float("inf"))
            series.append(
                Series(
                    labels[line.case.key],
                    [(level, rates[level].value) for level in levels],
                    _colour(report, line.case),
                    [(rates[level].low, rates[level].high) for level in levels],
                    dots=True,
                )
            )
        x_label = f"signal-to-noise ratio in dB: {data.name}, {noise} noise"
        charts.append(line_chart(series, x_label=x_label, y_label="error rate, %"))
    return charts


def _stages(report: Report, measured: Sequence[Measured]) -> str:
    _, labels = short_labels(report.cases)
    return stacked_chart(
        [
            Stack(labels[case.key], {name: s for name, s in one.stages.items() if s > 0})
            for case, one in measured
        ],
        unit="s",
    )


def _results(report: Report, data: ClipSet) -> str:
    heads = (
        *("system", "error rate, %", "audio per time", "speed", "CPU", "p50, s", "p95, s", "first text, s"),
        *("tokens/s", "load, s", "memory, MB", "GPU, MB", "tried again per h"),
    )
    _, labels = short_labels(report.cases)
    cells = [_cells(row, labels[row.case.key]) for row in rows(report) if row.data == data]
    note = (
        f"Speed and CPU time are relative to {report.baseline.label}, pair by pair of the same round; above "
        "1 is faster, and cheaper. A/A: the same case once more, to show how much of a ratio is noise."
    )
    return f'{table(heads, cells)}<p class="note">{escape(note)}</p>'


def _cells(row: Row, label: str) -> tuple[str, ...]:
    summary, ratio = row.summary, row.ratio
    return (
        escape(label),
        _small(summary.accuracy.rate if summary.accuracy else None),
        _small(summary.rtfx, 1),
        _small(ratio.speed if ratio else None),
        _small(ratio.cpu if ratio else None),
        _number(summary.latency_p50, 2),
        _number(summary.latency_p95, 2),
        _number(summary.first_segment, 2),
        _number(summary.tokens_per_second, 0),
        _number(summary.load, 2),
        _number(summary.peak_rss / 1e6, 0),
        _number(summary.peak_vram / 1e6 if summary.peak_vram is not None else None, 0),
        _number(summary.fallbacks_per_hour, 0),
    )


def _table(one: Table) -> str:
    cells = [[escape(cell) for cell in row] for row in one.rows]
    notes = "".join(f'<p class="note">{escape(note)}</p>' for note in one.notes)
    return table(one.columns, cells) + notes


def _unequal(report: Report) -> str:
    parts = []
    for key, lines in report.differences.items():
        if lines:
            parts.append(details(report.case(key).label, lines))
    if report.missing:
        parts.append(details("Not measured", (f"{one.system}: {one.reason}" for one in report.missing)))
    return "".join(parts)


def _where(report: Report) -> str:
    machine = report.machine
    facts = [
        ("processor", machine.cpu),
        ("cores", f"{machine.usable_cores} usable of {machine.cores}"),
        ("instruction sets", " ".join(machine.instructions)),
        ("memory", f"{machine.memory / 2**30:,.1f} GiB"),
        *(("GPU", gpu) for gpu in machine.gpus),
        ("system", machine.system),
        ("load before and after", ", ".join(f"{one:.1f}" for one in machine.load)),
        ("time taken by the hypervisor", f"{100 * machine.steal:.1f} %"),
        *machine.limits.items(),
        *((f"model {one.name}", f"{one.bytes / 1e6:,.0f} MB, SHA-256 {one.sha256}") for one in report.models),
        *report.versions.items(),
        ("command", report.command),
        ("seed", str(report.seed)),
    ]
    return table(("", ""), [(escape(name), escape(value)) for name, value in facts])


def _charts(charts: Iterable[str]) -> str:
    shown = "".join(charts)
    return f'<div class="charts">{shown}</div>' if shown else ""


def _colour(report: Report, case: Case) -> int:
    """The same colour for a case in every chart."""
    return report.cases.index(case)


def _small(found: Interval | None, digits: int = 2) -> str:
    """A figure with its interval in small print."""
    if found is None:
        return ""
    value, _, ends = interval(found, digits).partition(" ")
    return f"{value} <small>{ends.strip('()')}</small>"


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:,.{digits}f}"
