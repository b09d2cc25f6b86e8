"""The report of a bench on a terminal: a table per set of recordings, then what was not equal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from rich import box
from rich.console import Console, RenderableType
from rich.table import Table as Grid
from rich.text import Text

from distilcli.bench.rows import Row, rows, short_labels
from distilcli.bench.values import Report, Table
from distilcli.cli import stdout
from distilcli.intervals import Interval

UNKNOWN = "–"
_PLAIN_WIDTH = 160  # of a file or a pipe, where nothing wraps
_GAP = 2

COLUMNS: dict[str, Callable[[Row], str]] = {
    "error %": lambda row: _interval(row.summary.accuracy.rate, 1) if row.summary.accuracy else UNKNOWN,
    "RTFx": lambda row: f"{row.summary.rtfx.value:,.1f}",
    "speed": lambda row: _interval(row.ratio.speed, 2) if row.ratio else "1",
    "p50 / p95 s": lambda row: _pair(row.summary.latency_p50, row.summary.latency_p95),
    "first s": lambda row: _number(row.summary.first_segment, "{:.2f}"),
    "MB": lambda row: f"{row.summary.peak_rss / 1e6:,.0f}",
    "GPU MB": lambda row: _number(row.summary.peak_vram, "{:,.0f}", 1e6),
    "same": lambda row: f"{row.ratio.same_texts:.0%}" if row.ratio else UNKNOWN,
    "load s": lambda row: f"{row.summary.load:.1f}",
    "model RTFx": lambda row: _number(row.summary.rtfx_model, "{:,.1f}"),
    "tokens/s": lambda row: _number(row.summary.tokens_per_second, "{:,.0f}"),
    "retries/h": lambda row: _number(row.summary.retries_per_hour, "{:,.0f}"),
}
"""Head -> cell, the most important first: those that find no room are left out. `speed` is relative to the
first row, pair by pair; `same` is the share of recordings with the first row's words."""


def show(report: Report) -> None:
    """Print everything that a person wants to see of a report on standard output. Raises `OutputError`."""
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console = Console(highlight=False, markup=False, width=_PLAIN_WIDTH)
    with console.capture() as captured:
        for part in _parts(report, console.width):
            console.print(part, soft_wrap=isinstance(part, str))
    stdout.write("\n".join(line.rstrip() for line in captured.get().splitlines()) + "\n")


def _parts(report: Report, width: int) -> Iterator[RenderableType]:
    shared, labels = short_labels(report.cases)
    yield _where(report)
    for data in report.data:
        plural = "s" * (len(data.clips) != 1)
        yield ""
        yield f"{data.name}: {len(data.clips)} recording{plural}, {data.seconds:,.0f} s; {shared}"
        yield _grid([row for row in rows(report) if row.data == data], labels, width)
    for table in report.tables:
        yield ""
        yield table.title
        yield _extra(table)
        yield from table.notes
    yield ""
    yield from _stage_lines(report)
    for key, lines in report.differences.items():
        yield from (f"{report.case(key).label}: {line}" for line in lines)
    yield from (f"missing: {one.system}: {one.reason}" for one in report.missing)
    yield from (f"note: {note}" for note in report.notes)


def _where(report: Report) -> str:
    facts = report.machine
    parts = [facts.cpu, f"{facts.usable_cores} of {facts.cores} cores", *facts.gpus]
    parts += [" ".join(facts.instructions), f"load {facts.load[0]:.1f} to {facts.load[-1]:.1f}"]
    models = ", ".join(f"{one.name} {one.sha256[:12]}" for one in report.models)
    return f"{', '.join(part for part in parts if part)}; {models}; rounds: {report.rounds}"


def _grid(found: Sequence[Row], labels: dict[str, str], width: int) -> Grid:
    """The table of one set, without columns that nobody has a figure for."""
    cells = {head: [cell(row) for row in found] for head, cell in COLUMNS.items()}
    grid = _frame()
    grid.add_column("", overflow="fold")
    room = width - max((len(labels[row.case.key]) for row in found), default=0)
    shown = []
    for head, column in cells.items():
        needed = _GAP + max(len(cell) for cell in (head, *column))
        if set(column) == {UNKNOWN} or needed > room:
            continue
        room -= needed
        shown.append(column)
        grid.add_column(head, justify="right", no_wrap=True)
    for index, row in enumerate(found):
        grid.add_row(labels[row.case.key], *(column[index] for column in shown))
    return grid


def _stage_lines(report: Report) -> Iterator[str]:
    """Where the time of the baseline goes on each set."""
    for row in rows(report):
        stages = row.summary.stages
        if row.case == report.baseline and len(stages) > 1:
            total = sum(stages.values()) or 1.0
            parts = (f"{name} {seconds / total:.1%}" for name, seconds in stages.items())
            yield f"{row.data.name}, time of {row.case.label}: {', '.join(parts)}"


def _extra(table: Table) -> Grid:
    grid = _frame()
    for number, head in enumerate(table.columns):
        grid.add_column(head, justify="right" if number else "left", overflow="fold")
    for row in table.rows:
        grid.add_row(*(Text(cell) for cell in row))
    return grid


def _frame() -> Grid:
    return Grid(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)


def _interval(found: Interval, digits: int) -> str:
    """The figure, and the ends of its interval where it has a width: one recording or round has none."""
    if found.low == found.high:
        return f"{found.value:.{digits}f}"
    return f"{found.value:.{digits}f} ({found.low:.{digits}f}–{found.high:.{digits}f})"


def _number(value: float | None, form: str, unit: float = 1.0) -> str:
    return UNKNOWN if value is None else form.format(value / unit)


def _pair(first: float | None, second: float | None) -> str:
    return UNKNOWN if first is None or second is None else f"{first:.2f} / {second:.2f}"
