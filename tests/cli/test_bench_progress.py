"""Progress of a bench: what each case took, and what is left by arithmetic."""

from __future__ import annotations

import pytest

from distilcli.bench.values import Case, Clip, ClipSet, Sample
from distilcli.cli.bench_progress import Lines, duration

CASE = Case(model="nano")
DATA = ClipSet(name="words", clips=(Clip(path="a.wav"),))


def told(capsys: pytest.CaptureFixture[str], rounds: int, seconds: float) -> list[str]:
    """What is said when every run of a case takes four seconds and a pause of one."""
    lines = Lines(rounds, seconds, settle=1.0)
    lines.begins(rounds, 0)
    for number in range(1, rounds + 1):
        lines.runs(CASE, DATA, number)
        lines.measured(CASE, Sample(case=CASE.key, data=DATA.key, round=number, wall=4.0, cpu=4.0, load=0.0))
    return capsys.readouterr().err.splitlines()


def test_a_round_tells_what_the_others_take(capsys: pytest.CaptureFixture[str]) -> None:
    assert told(capsys, 3, 1e9)[1:] == [
        "round 1 of 3",
        f"  {CASE.label}, words: 4.0 s",
        "round 2 of 3, about 10 s left",
        "round 3 of 3, about 5 s left",
    ]


def test_no_more_is_left_than_the_time_that_is_given(capsys: pytest.CaptureFixture[str]) -> None:
    assert told(capsys, 100, 60.0)[3] == "round 2 of 100, about 60 s left"


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.1, "1 s"), (99, "99 s"), (130, "2 min"), (7500, "2 h 5 min")]
)
def test_times_are_no_more_exact_than_they_can_be(seconds: float, said: str) -> None:
    assert duration(seconds) == said
