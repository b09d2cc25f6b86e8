"""What a person sees: lines for logs, a bar for terminals, nothing with ``--quiet``; never on stdout."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from distilcli.cli.progress import LineReporter, is_live_terminal
from distilcli.cli.stdout import InOrder
from tests.support.cli import run


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("variables", "live"),
    [({}, True), ({"CI": "true"}, False), ({"TERM": "dumb"}, False), ({"NO_COLOR": "1"}, True)],
)
def test_where_a_bar_is_drawn(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], live: bool) -> None:
    for name in ("CI", "TERM", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert is_live_terminal(Terminal()) is live
    assert not is_live_terminal(io.StringIO())


def test_lines_come_every_ten_percent(capsys: pytest.CaptureFixture[str]) -> None:
    report = LineReporter()
    report.file_started("talk.mp3", 1000.0)
    for second in range(0, 1001, 5):
        report.progress("talk.mp3", float(second))
    said = capsys.readouterr()
    assert said.out == ""
    first, *steps = said.err.splitlines()
    assert first == "talk.mp3: 16:40 long"
    assert steps == [
        f"talk.mp3: {percent} % ({at} of 16:40)"
        for percent, at in zip(
            range(10, 100, 10),
            ("01:40", "03:20", "05:00", "06:40", "08:20", "10:00", "11:40", "13:20", "15:00"),
            strict=True,
        )
    ]


def test_quiet_says_nothing(toy: Path, rise: Path) -> None:
    result = run("transcribe", rise, "--model", toy, "--quiet", "--srt")
    assert (result.code, result.stdout, result.stderr) == (0, "", "")


def test_never_keeps_the_other_lines(toy: Path, twenty_minutes: Path, rise: Path) -> None:
    result = run("transcribe", rise, "--model", toy, "--progress", "never", "--srt")
    assert "wrote rise.srt" in result.stderr
    assert "%" not in result.stderr


def test_a_bar_stays_on_stderr(toy: Path, rise: Path) -> None:
    result = run("transcribe", rise, "--model", toy, "--progress", "always", env={"NO_COLOR": "1"})
    assert result.stdout.splitlines() == ["The river runs down to the sea,", "and nobody can hurry it."]
    assert "rise.wav" in result.stderr


def test_what_several_sources_say_keeps_their_order() -> None:
    heard: list[str] = []
    order = InOrder(["a", "b", "c"], lambda source, text: heard.append(source + text))
    order.say("b", "1")
    order.say("a", "1")
    order.say("c", "1")
    order.finish("c")
    order.say("b", "2")
    assert heard == ["a1"]
    order.finish("a")
    assert heard == ["a1", "b1", "b2"]
    order.say("b", "3")
    order.finish("b")
    assert heard == ["a1", "b1", "b2", "b3", "c1"]


def test_long_reading_is_told_in_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr("distilcli.cli.progress.time.monotonic", lambda: now)
    report = LineReporter()
    for second in range(0, 3601, 60):
        now = second / 60  # half an hour is read in half a minute
        report.reading("talk.mp3", float(second), 3600.0)
        report.reading("radio.aac", float(second), None)
    assert capsys.readouterr().err.splitlines() == [
        f"reading talk.mp3: {percent} %" for percent in range(10, 101, 10)
    ]
