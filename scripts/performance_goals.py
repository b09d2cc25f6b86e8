"""What distilcli set out to reach, and what came of it: the first table of docs/performance.md.

Reads what the scripts have measured; measures nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from lengths import LengthReport, growth
from performance_page import fill
from scenarios import AMX, SCENARIOS
from starts import FASTER_WHISPER, HELP, StartReport, speed, task_name, times

from distilcli.bench.json_values import from_json
from distilcli.bench.session import ENOUGH_ROUNDS
from distilcli.bench.tables import interval, speed_of
from distilcli.bench.values import OURS, Case, ClipSet, Report, read_report
from distilcli.intervals import Interval, median

NOT_MEASURED = "not measured"


@dataclass(frozen=True, slots=True)
class Measured:
    """What is known: reports of benches by their scenario, of starts, and of runs by length."""

    benches: dict[str, Report]
    starts: StartReport | None = None
    lengths: LengthReport | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """A figure that a goal is about; `control` is distilcli beside itself; no rounds: nothing is repeated."""

    value: Interval
    detail: str = ""
    control: Interval | None = None
    rounds: int = 0


Finder = Callable[[Measured], Found | str]
"""Finds the figure, or says why there is none."""


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure that is to be at least the bar or, with `most`, at most. `command` is what measures it."""

    text: str
    bar: float
    unit: str
    command: str
    find: Finder
    most: bool = False


def goals_table(measured: Measured) -> str:
    """A row per goal; it is met where its whole interval lies on the right side of the bar."""
    lines = ["| goal | bar | measured | A/A | met | by |", "|---|---|---|---|---|---|"]
    for goal in GOALS:
        bar = f"{'≤' if goal.most else '≥'} {goal.bar:g}{goal.unit}"
        found = goal.find(measured)
        if isinstance(found, str):
            cells = [found, "", ""]
        else:
            shown = interval(found.value) + (f", {found.detail}" if found.detail else "")
            cells = [shown, interval(found.control), _verdict(goal, found)]
        lines.append(f"| {' | '.join([goal.text, bar, *cells, f'`{goal.command}`'])} |")
    return "\n".join(lines) + "\n"


def _verdict(goal: Goal, found: Found) -> str:
    if 0 < found.rounds < ENOUGH_ROUNDS:
        return f"too few rounds ({found.rounds})"
    sign = -1 if goal.most else 1
    worst, best = sorted(sign * end for end in (found.value.low, found.value.high))
    return "yes" if worst >= sign * goal.bar else "no" if best < sign * goal.bar else "not certain"


def read_measured(folder: Path) -> Measured:
    """What the scripts have left in a folder.

    Raises:
        InputError: a report of a bench is damaged.
        ValueError: another file is.
    """
    starts, lengths = folder / "start.json", folder / "length.json"
    return Measured(
        benches={name: read_report(path) for name in SCENARIOS if (path := folder / f"{name}.json").exists()},
        starts=from_json(StartReport, starts.read_bytes()) if starts.exists() else None,
        lengths=from_json(LengthReport, lengths.read_bytes()) if lengths.exists() else None,
    )


def write_goals(page: Path, folder: Path) -> None:
    """Fill in the goals from what is in a folder."""
    fill(page, "goals", goals_table(read_measured(folder)))


def _fastest_beside(measured: Measured, scenario: str, peer: str, compute_type: str = "") -> Found | str:
    """distilcli's fastest case that errs no more, beside the peer's fastest (of a compute type, if given)."""
    report = measured.benches.get(scenario)
    if report is None:
        return NOT_MEASURED
    data = report.data[0]
    theirs = _fastest(report, data, peer, compute_type)
    if theirs is None:
        return NOT_MEASURED
    ours = _fastest(report, data, OURS, most_errors=_errors(report, data, theirs))
    if ours is None:
        return "none of its cases errs as little"
    found = speed_of(report, (theirs, ours), data)
    if found is None:
        return NOT_MEASURED
    control = speed_of(report, (report.cases[1], report.baseline), data)
    return Found(found, f"{_way(ours)} beside {_way(theirs)}", control, report.rounds)


def _errors(report: Report, data: ClipSet, case: Case) -> float:
    """The error rate of a case; 0 where nobody knows what is said."""
    summary = report.summary(case, data)
    return summary.accuracy.rate.value if summary and summary.accuracy else 0.0


def _fastest(
    report: Report, data: ClipSet, system: str, compute_type: str = "", most_errors: float = float("inf")
) -> Case | None:
    """The case of a system with the least median time, of those that err no more than is said."""
    found = [
        (summary.wall.value, number)
        for number, case in enumerate(report.cases)
        if case.system == system
        and not case.repeat
        and compute_type in ("", case.compute_type)
        and _errors(report, data, case) <= most_errors
        and (summary := report.summary(case, data))
    ]
    return report.cases[min(found)[1]] if found else None


def _way(case: Case) -> str:
    batch = f" batch {case.batch_size}" if case.batch_size > 1 else ""
    return f"{case.compute_type} {case.strategy}{batch}"


def _long_without_amx(measured: Measured) -> Found | str:
    """On a processor with AMX, the bench in which it is capped; on others, the one that asks nothing."""
    batched = measured.benches.get("long-batched")
    lacks = batched is not None and AMX not in batched.machine.instructions
    return _fastest_beside(measured, "long-batched" if lacks else "long-without-amx", "faster-whisper")


def _help(measured: Measured) -> Found | str:
    report = measured.starts
    walls = times(report.of(HELP, OURS), "wall") if report else []
    return Found(median(walls), rounds=len(walls)) if walls else NOT_MEASURED


def _first_text(measured: Measured, ours: str, theirs: str) -> Found | str:
    """How many times as soon as faster-whisper's; `ours` and `theirs` are tasks."""
    report = measured.starts
    found = speed(report, (theirs, FASTER_WHISPER), (ours, OURS), "first") if report else None
    if report is None or found is None:
        return NOT_MEASURED
    control = speed(report, (ours, f"{OURS} again (A/A)"), (ours, OURS), "first")
    return Found(found, control=control, rounds=report.rounds)


def _growth(measured: Measured) -> Found | str:
    slope = growth(measured.lengths.runs) if measured.lengths else None
    if measured.lengths is None or slope is None:
        return NOT_MEASURED
    ends = sorted(measured.lengths.runs, key=lambda run: run.minutes)
    detail = " and ".join(f"{run.peak:.0f} MB after {run.minutes:g} min" for run in (ends[0], ends[-1]))
    return Found(Interval(slope, slope, slope), detail)


TIMES = " × as fast"
SOON = " × as soon"
BENCH = "scripts/table_performance --only"
START = "scripts/bench_start"
PIPELINE = "transformers-pipeline"
QUIET, SEARCHED = (task_name(language_known=True, speech=speech) for speech in (False, True))
DETECTED, DETECTED_SEARCHED = (task_name(language_known=False, speech=speech) for speech in (False, True))

GOALS = (
    Goal(
        "one long recording beside faster-whisper (set for processors with AMX)",
        1.8,
        TIMES,
        f"{BENCH} long",
        partial(_fastest_beside, scenario="long", peer="faster-whisper"),
    ),
    Goal(
        "one long recording beside faster-whisper's better mode, no AMX",
        1.05,
        TIMES,
        f"{BENCH} long-batched long-without-amx",
        _long_without_amx,
    ),
    Goal(
        "a short clip beside faster-whisper, language detected",
        1.6,
        TIMES,
        f"{BENCH} short",
        partial(_fastest_beside, scenario="short", peer="faster-whisper"),
    ),
    Goal(
        "fifty short files beside faster-whisper",
        1.7,
        TIMES,
        f"{BENCH} many",
        partial(_fastest_beside, scenario="many", peer="faster-whisper"),
    ),
    Goal(
        "Transformers, beside its pipeline in float32",
        2.0,
        TIMES,
        f"{BENCH} transformers",
        partial(_fastest_beside, scenario="transformers", peer=PIPELINE, compute_type="float32"),
    ),
    Goal(
        "growth of memory per hour of a recording",
        40,
        " MB",
        "scripts/bench_length --fast --minutes 10 60 --json runs/performance/length.json",
        _growth,
        most=True,
    ),
    Goal("`--help`, cold", 0.1, " s", START, _help, most=True),
    Goal(
        "first text of a clip of 11 s beside faster-whisper, cold; neither searches for speech",
        1.0,
        SOON,
        START,
        partial(_first_text, ours=QUIET, theirs=QUIET),
    ),
    Goal(
        "the same, both search for speech",
        1.0,
        SOON,
        START,
        partial(_first_text, ours=SEARCHED, theirs=SEARCHED),
    ),
    Goal(
        "the same as each comes: distilcli searches, faster-whisper does not, both detect the language",
        1.0,
        SOON,
        START,
        partial(_first_text, ours=DETECTED_SEARCHED, theirs=DETECTED),
    ),
)
