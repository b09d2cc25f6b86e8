"""Conditions that make a bench fail: read, compared with an old report, tripped by a planted regression."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from distilcli.bench import gate, session
from distilcli.bench.session import Asked
from distilcli.bench.values import Case, Clip, ClipSet, Report, Table, read_report, write_report
from distilcli.errors import InputError, UsageError
from tests.bench.reports import Run
from tests.bench.reports import report as made_report
from tests.support.sleeper import SYSTEM

ROOT = Path(__file__).parents[2]
CLIPS = ClipSet(
    name="words",
    clips=tuple(Clip(path=f"{n}.wav", text="one two three", language="en", duration=3.0) for n in range(2)),
)


def measured(monkeypatch: pytest.MonkeyPatch, slowdown: float = 1.0) -> Report:
    """Two rounds of a system that takes 0.1 s per clip, times the slowdown."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("SLEEPER_SLOWDOWN", str(slowdown))
    case = Case(system=SYSTEM, model="0.1", backend="", device="cpu")
    return session.bench(Asked(cases=(case,), data=(CLIPS,), rounds=2, settle=0.0))


def test_a_planted_regression_trips_the_gate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    old = tmp_path / "old.json"
    write_report(old, measured(monkeypatch))
    slow = measured(monkeypatch, slowdown=4.0)
    limit = [gate.parse("rtfx<0.7")]
    (sentence,) = gate.failures(slow, limit, read_report(old))
    assert "rtfx is 0." in sentence
    assert "(rtfx<0.7 fails)" in sentence
    assert gate.failures(read_report(old), limit, read_report(old)) == []
    assert gate.failures(read_report(old), [gate.parse("rtfx<0.7")], slow) == []  # four times as fast


@pytest.fixture(scope="module")
def report() -> Report:
    with pytest.MonkeyPatch.context() as patch:
        return measured(patch)


def scaled(report: Report, factor: float) -> Report:
    """The same report with other rates of the first case."""
    first, *others = report.summaries
    rtfx = replace(first.rtfx, value=first.rtfx.value * factor)
    return replace(report, summaries=(replace(first, rtfx=rtfx), *others))


def test_conditions_are_compared_as_they_are_written(report: Report) -> None:
    slow = scaled(report, 0.9)
    for text, fails in (
        ("rtfx<0.95", True),
        ("rtfx<0.85", False),
        ("rtfx<=0.95", True),
        ("rtfx>0.85", True),
        (" rtfx >= 0.95 ", False),
        ("wer>0", False),  # points more than before
        ("wer>=0", True),
        ("speed<0.5", False),
    ):
        assert bool(gate.failures(slow, [gate.parse(text)], report)) is fails, text


def test_without_a_baseline_the_figures_themselves_are_compared(report: Report) -> None:
    rtfx = report.summaries[0].rtfx.value
    assert gate.failures(report, [gate.parse(f"rtfx<{rtfx + 1:.3f}")], None)
    assert not gate.failures(report, [gate.parse("rtfx<0.001"), gate.parse("wer>5")], None)
    assert len(gate.failures(report, [gate.parse("wer>=0"), gate.parse("cer>=0")], None)) == 2


@pytest.mark.parametrize(("seconds", "fails"), [(4.4, False), (5.2, True)])
def test_a_slowdown_beside_a_peer_trips_the_gate_of_the_continuous_integration(
    seconds: float, fails: bool
) -> None:
    """The peer takes 4 s in every round; wall and CPU time are the same in these reports."""
    ours, peer = Case(model="nano"), Case(system="faster-whisper", model="nano", backend="")
    texts = ["one two three"] * 2
    made = made_report(
        {
            (ours, CLIPS): Run(walls=[seconds, 2 * seconds], texts=texts),
            (peer, CLIPS): Run(walls=[4.0, 8.0], texts=texts),
        }
    )
    found = gate.failures(made, [gate.parse("cpu_ratio>1.25"), gate.parse("speed>1.25")], None)
    assert len(found) == (2 if fails else 0)
    assert all("faster-whisper" in sentence for sentence in found)


def test_recordings_may_have_moved_but_not_changed(report: Report) -> None:
    def elsewhere(text: str) -> Report:
        clips = tuple(replace(clip, path=f"/elsewhere/{clip.path}", text=text) for clip in CLIPS.clips)
        moved = replace(CLIPS, clips=clips)
        return replace(
            report,
            data=(moved,),
            summaries=tuple(replace(one, data=moved.key) for one in report.summaries),
        )

    condition = [gate.parse("rtfx<0.95")]
    assert gate.failures(report, condition, elsewhere("one two three")) == []
    with pytest.raises(UsageError, match="shares no case"):
        gate.failures(report, condition, elsewhere("four"))


def test_what_was_not_measured_cannot_be_compared(report: Report) -> None:
    with pytest.raises(UsageError, match="peak_vram: this was not measured"):
        gate.failures(report, [gate.parse("peak_vram>1")], None)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("rtfx", "must be a measure"),
        ("rtfx=1", "must be a measure"),
        ("rtfx<fast", "must be a measure"),
        ("rtf<1", r"knows no 'rtf' \(did you mean 'rtfx'\?\)"),
    ],
)
def test_what_is_no_condition_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        gate.parse(text)


def test_reports_survive_the_disk_and_damage_is_named(report: Report, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    whole = replace(report, tables=(Table(title="t", columns=("a",), rows=(("1",), ("2",))),))
    write_report(path, whole)
    assert read_report(path) == whole
    for content in ("", "[]", '{"command": 1}', path.read_text(encoding="utf-8")[:-20]):
        path.write_text(content, encoding="utf-8")
        with pytest.raises(InputError, match="expected a report"):
            read_report(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_report(tmp_path / "nothing.json")
