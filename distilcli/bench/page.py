"""A report as one self-contained page: charts to read at a glance, tables, and where it was measured.

Turns values into HTML; measures nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from html import escape

from distilcli.bench.rows import Row, rows, short_labels
from distilcli.bench.tables import interval, noise_sweep
from distilcli.bench.values import Case, ClipSet, Report, Summary, Table
from distilcli.charts import Dot, Series, Stack, line_chart, scatter_chart, stacked_chart
from distilcli.intervals import Interval
from distilcli.pages import details, facts, page, section, table, tiles

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
    plural = "s" * (report.rounds != 1)
    lead = (
        f"{machine.cpu}, {machine.usable_cores} of {machine.cores} cores{gpus}. "
        f"{report.rounds} round{plural}, interleaved, each system in a process of its own."
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
    plural = "s" * (len(data.clips) != 1)
    note = (
        f"{len(data.clips):,} recording{plural}, {data.seconds:,.0f} s; all: {shared}. Small: 95 % intervals."
    )
    charts = (_speed_and_errors(report, measured), _latencies(report, data, measured))
    stages = _stages(report, measured)
    return (
        f'<p class="note">{escape(note)}</p>{_charts(charts)}{_results(report, data)}'
        f"{'<h3>Where the time goes</h3>' + stages if stages else ''}"
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
    return scatter_chart(
        dots, x_label="RTFx: seconds of sound per second", y_label="error rate, %", log_x=True
    )


def _latencies(report: Report, data: ClipSet, measured: Sequence[Measured]) -> str:
    """Share of the recordings that were done within a time, over all rounds."""
    series, (_, labels) = [], short_labels(report.cases)
    for case, _ in measured:
        found = sorted(seconds for one in report.samples_of(case, data) for seconds in one.latencies)
        if len(data.clips) > 1 and found:
            done = [(seconds, 100 * number / len(found)) for number, seconds in enumerate(found, 1)]
            points = [(found[0], 0.0), *done]
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
    """Seconds of each stage, of the systems that say what they do."""
    _, labels = short_labels(report.cases)
    return stacked_chart(
        [
            Stack(labels[case.key], {name: s for name, s in one.stages.items() if s > 0})
            for case, one in measured
            if one.rtfx_model is not None
        ],
        unit="s",
    )


def _results(report: Report, data: ClipSet) -> str:
    _, labels = short_labels(report.cases)
    found = [row for row in rows(report) if row.data == data]
    columns = {head: [cell(row) for row in found] for head, cell in COLUMNS.items()}
    shown = {head: cells for head, cells in columns.items() if any(cells)}
    names = [escape(labels[row.case.key]) for row in found]
    note = (
        f"Speed and CPU time are relative to {report.baseline.label}, pair by pair of the same round; above "
        "1 is faster, and cheaper. A/A: the same case once more, to show how much of a ratio is noise."
    )
    grid = table(("system", *shown), zip(names, *shown.values(), strict=True))
    return f'{grid}<p class="note">{escape(note)}</p>'


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
    found = [
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
    return facts((name, value) for name, value in found if value)


def _charts(charts: Iterable[str]) -> str:
    shown = "".join(charts)
    return f'<div class="charts">{shown}</div>' if shown else ""


def _colour(report: Report, case: Case) -> int:
    """The same colour for a case in every chart."""
    return report.cases.index(case)


def _small(found: Interval | None, digits: int = 2) -> str:
    """A figure, with its interval in small print where that has a width."""
    if found is None:
        return ""
    value, _, ends = interval(found, digits).partition(" ")
    return f"{value} <small>{ends.strip('()')}</small>" if ends else value


def _number(value: float | None, digits: int, unit: float = 1.0) -> str:
    return "" if value is None else f"{value / unit:,.{digits}f}"


def _pair(first: float | None, second: float | None) -> str:
    return "" if first is None or second is None else f"{first:.2f} / {second:.2f}"


COLUMNS: dict[str, Callable[[Row], str]] = {
    "error rate, %": lambda row: _small(row.summary.accuracy.rate if row.summary.accuracy else None),
    "RTFx": lambda row: _small(row.summary.rtfx, 1),
    "speed": lambda row: _small(row.ratio.speed if row.ratio else None),
    "CPU": lambda row: _small(row.ratio.cpu if row.ratio else None),
    "p50 / p95, s": lambda row: _pair(row.summary.latency_p50, row.summary.latency_p95),
    "first, s": lambda row: _number(row.summary.first_segment, 2),
    "tokens/s": lambda row: _number(row.summary.tokens_per_second, 0),
    "load, s": lambda row: _number(row.summary.load, 2),
    "MB": lambda row: _number(row.summary.peak_rss, 0, 1e6),
    "GPU MB": lambda row: _number(row.summary.peak_vram, 0, 1e6),
    "retries/h": lambda row: _number(row.summary.retries_per_hour or None, 0),
}
"""Head -> HTML of a cell; columns that nobody has a figure for are left out. docs/bench.md explains them."""
