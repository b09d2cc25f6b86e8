"""Processes from their start to their end, as values, and as the table of docs/performance.md.

Knows figures and Markdown; starts nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from performance_page import command_words, machine_words

from distilcli.bench.tables import interval
from distilcli.bench.values import OURS, Machine
from distilcli.intervals import Interval, median, median_ratio

FASTER_WHISPER = "faster-whisper in a program"
HELP = "`--help`"


@dataclass(frozen=True, kw_only=True, slots=True)
class Start:
    """One process. `task` and `program` are what it was asked and who answered; times are seconds."""

    task: str
    program: str
    round: int
    wall: float
    """To its end."""
    cpu: float
    """User and system time."""
    first: float | None = None
    """To the first text on its standard output; None where it is asked for none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StartReport:
    """All processes of an interleaved run, and the machine that ran them."""

    command: str
    machine: Machine
    versions: dict[str, str]
    starts: tuple[Start, ...]

    @property
    def rounds(self) -> int:
        """How often each process was started."""
        return max(one.round for one in self.starts)

    def of(self, task: str, program: str) -> list[Start]:
        """The processes of a program in a task, in the order of their rounds."""
        found = [one for one in self.starts if (one.task, one.program) == (task, program)]
        return sorted(found, key=lambda one: one.round)


def task_name(language_known: bool, speech: bool) -> str:
    """A clip whose language is given or detected, with or without a search for speech."""
    words = (
        "language given" if language_known else "language detected",
        "searched" if speech else "not searched",
    )
    return f"a clip, {words[0]}, {words[1]} for speech"


def times(found: Iterable[Start], measure: str) -> list[float]:
    """The values of one measure (``first``, ``wall`` or ``cpu``) where it was taken, in seconds."""
    return [value for one in found if (value := getattr(one, measure)) is not None]


def speed(
    report: StartReport, theirs: tuple[str, str], ours: tuple[str, str], measure: str
) -> Interval | None:
    """How many times as fast ours is as theirs, pair by pair of a round; both are a task and a program."""
    over, under = (times(report.of(*one), measure) for one in (theirs, ours))
    return median_ratio(over, under) if over and under else None


def start_table(report: StartReport) -> str:
    """Where it was measured and how, then for each task a row per program."""
    lines = [
        f"`scripts/{command_words(report.command)}`",
        "",
        f"{machine_words(report.machine)}; {report.rounds} rounds.",
    ]
    for task in dict.fromkeys(one.task for one in report.starts):
        programs = dict.fromkeys(one.program for one in report.starts if one.task == task)
        measures = ("first", "wall") if times(report.of(task, OURS), "first") else ("wall",)
        names = {"first": "first text, s", "wall": "end, s"}
        heads = [cell for one in measures for cell in (names[one], "distilcli is … times as fast")]
        lines += ["", f"| {' | '.join([task, *heads, 'CPU, s'])} |", "|---" * (len(heads) + 2) + "|"]
        for program in programs:
            cells = [program]
            for measure in measures:
                ratio = speed(report, (task, program), (task, OURS), measure)
                cells.append(_median(report.of(task, program), measure))
                cells.append("" if program == OURS else interval(ratio))
            lines.append(f"| {' | '.join([*cells, _median(report.of(task, program), 'cpu')])} |")
    return "\n".join(lines) + "\n"


def _median(found: list[Start], measure: str) -> str:
    values = times(found, measure)
    return f"{median(values).value:.2f}" if values else ""
