"""The scripts behind docs/performance.md: goals met or missed as planted, starts timed to the first text."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from distilcli.bench.json_values import from_json, to_json
from distilcli.bench.run import with_control
from distilcli.bench.values import Case, Report
from tests.bench.reports import MACHINE, Run, clip_set, report
from tests.support.scripts import SCRIPTS, script

goals, starts, lengths, scenarios = map(script, ("performance_goals", "starts", "lengths", "scenarios"))
bench_start = script("bench_start")

CLIPS = clip_set("long", "red green")
OURS = Case(model="nano", compute_type="int8")
PEER = replace(OURS, system="faster-whisper", backend="")
AMX = replace(MACHINE, instructions=("avx2", "amx_bf16"))


def bench(ours: float, theirs: float, rounds: int = 10) -> Report:
    """distilcli, itself again, and a peer: seconds of every round."""
    walls = zip(with_control([OURS, PEER]), (ours, ours, theirs), strict=True)
    return report({(case, CLIPS): Run(walls=[wall] * rounds, texts=["red green"]) for case, wall in walls})


def process(task: str, program: str, walls: Sequence[float], firsts: Sequence[float] = ()) -> list[Any]:
    """Processes of one program, a round each."""
    found = [
        starts.Start(task=task, program=program, round=number, wall=wall, cpu=wall)
        for number, wall in enumerate(walls, start=1)
    ]
    return [replace(one, first=first) for one, first in zip(found, firsts, strict=True)] if firsts else found


def start_report(*found: list[Any]) -> Any:
    every = tuple(one for some in found for one in some)
    return starts.StartReport(command="bench_start", machine=MACHINE, versions={}, starts=every)


def row(measured: Any, text: str) -> list[str]:
    """The cells of the first goal that begins with `text`."""
    (line, *_) = (line for line in goals.goals_table(measured).splitlines() if line.startswith(f"| {text}"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_every_goal_has_a_row_before_anything_is_measured() -> None:
    lines = goals.goals_table(goals.Measured({})).splitlines()[2:]
    assert len(lines) == len(goals.GOALS)
    assert all("| not measured |  |  |" in line for line in lines)


@pytest.mark.parametrize(
    ("theirs", "rounds", "verdict"), [(1.9, 10, "yes"), (1.7, 10, "no"), (1.9, 9, "too few rounds (9)")]
)
def test_a_speed_is_measured_against_its_bar(theirs: float, rounds: int, verdict: str) -> None:
    made = replace(bench(1.0, theirs, rounds), machine=AMX)
    cells = row(goals.Measured({"long": made}), "one long recording beside faster-whisper (set")
    assert cells[1:5] == [
        "≥ 1.8 × as fast",
        f"{theirs:.2f}, int8 sequential beside int8 sequential",
        "1.00",
        verdict,
    ]


def test_the_fastest_of_our_cases_counts() -> None:
    hybrid = replace(OURS, compute_type="int8_bfloat16")
    walls = zip(with_control([OURS, hybrid, PEER]), (2.0, 2.0, 1.0, 3.0), strict=True)
    made = report({(case, CLIPS): Run(walls=[wall] * 10, texts=["red"]) for case, wall in walls})
    cells = row(goals.Measured({"long": replace(made, machine=AMX)}), "one long recording")
    assert cells[2] == "3.00, int8_bfloat16 sequential beside int8 sequential"


@pytest.mark.parametrize(("machine", "speed"), [(MACHINE, "1.10"), (AMX, "1.30")])
def test_without_matrix_instructions_or_with_these_capped(machine: Any, speed: str) -> None:
    made = {
        "long-batched": bench(1.0, 1.1),
        "long-without-amx": bench(1.0, 1.3),
    }
    measured = goals.Measured({name: replace(one, machine=machine) for name, one in made.items()})
    assert row(measured, "one long recording beside faster-whisper's better mode")[2].startswith(speed)


@pytest.mark.parametrize(
    ("walls", "verdict"),
    [([0.08] * 12, "yes"), ([0.12] * 12, "no"), ([0.09, 0.11] * 6, "not certain")],
)
def test_a_time_is_to_lie_under_its_bar(walls: list[float], verdict: str) -> None:
    measured = goals.Measured({}, starts=start_report(process(starts.HELP, "distilcli", walls)))
    assert row(measured, "`--help`")[4] == verdict


def test_the_first_text_is_compared_pair_by_pair() -> None:
    task = starts.task_name(language_known=True, speech=False)
    slow, quick = [float(number) for number in range(2, 22, 2)], [float(number) for number in range(1, 11)]
    made = start_report(
        process(task, "distilcli", slow, quick),
        process(task, "distilcli again (A/A)", slow, quick),
        process(task, starts.FASTER_WHISPER, slow, slow),
    )
    assert from_json(starts.StartReport, to_json(made)) == made
    cells = row(goals.Measured({}, starts=made), "first text of a clip")
    assert cells[2:5] == ["2.00", "1.00", "yes"]
    table = starts.start_table(made)
    assert "| faster-whisper in a program | 11.00 | 2.00 | 11.00 | 1.00 | 11.00 |" in table
    assert "| distilcli | 5.50 |  | 11.00 |  | 11.00 |" in table


@pytest.mark.parametrize(("peak", "verdict"), [(120.0, "yes"), (150.0, "no")])
def test_memory_is_to_grow_little(peak: float, verdict: str) -> None:
    runs = tuple(
        lengths.LengthRun(minutes=minutes, decoded=minutes, peak=most, wall=1.0, segments=1)
        for minutes, most in ((10.0, 100.0), (60.0, peak))
    )
    made = lengths.LengthReport(command="bench_length", runs=runs)
    assert from_json(lengths.LengthReport, to_json(made)) == made
    cells = row(goals.Measured({}, lengths=made), "growth of memory")
    growth = (peak - 100) / (5 / 6)
    assert cells[2] == f"{growth:.2f}, 100 MB after 10 min and {peak:.0f} MB after 60 min"
    assert cells[4] == verdict


def test_what_a_tool_says_of_its_work_is_no_text() -> None:
    talk = "print('Detecting language'); print('[00:00.000 --> 00:01.000]  Hello.'); print('Done')"
    program = bench_start.Program(
        "a task", "a tool", (sys.executable, "-c", talk), bench_start.TEXT_WITH_TIMES
    )
    found = bench_start.timed(program, threads=1, number=3)
    assert 0 < found.first <= found.wall
    assert (found.task, found.program, found.round) == ("a task", "a tool", 3)
    silent = replace(program, line=(sys.executable, "-c", "print('Detecting language')"))
    with pytest.raises(SystemExit, match="a tool, a task: expected text, found none"):
        bench_start.timed(silent, threads=1, number=3)


def test_what_is_started_is_what_a_wheel_installs(tmp_path: Path) -> None:
    python = bench_start.installed(tmp_path)
    asked = (
        "import sys, distilcli.trainer, distilcli.converters; "
        "print(distilcli.__path__[0], [one for one in sys.modules if 'editable' in one])"
    )
    said = subprocess.run([python, "-c", asked], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert said.stdout.split() == [str(tmp_path / "wheel" / "distilcli"), "[]"]


def test_every_table_has_its_place_in_the_page() -> None:
    page = (SCRIPTS.parent / "docs" / "performance.md").read_text(encoding="utf-8")
    for name in ("goals", "start", *scenarios.SCENARIOS):
        assert page.count(f"<!-- table: {name} -->\n") == 1
