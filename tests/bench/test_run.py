"""The harness against a system of known latency: times, ratios, A/A, resuming, and systems that fail."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from distilcli.bench import session
from distilcli.bench.json_values import from_json, to_json
from distilcli.bench.run import Listener, Plan, measure
from distilcli.bench.session import Asked
from distilcli.bench.values import Case, Clip, ClipSet, Report, Sample
from distilcli.errors import EnvironmentProblem, UsageError
from tests.support.sleeper import SYSTEM

ROOT = Path(__file__).parents[2]
QUICK, SLOW = "0.15", "0.3"
LATE = 0.4
"""Seconds that a run of three clips may take longer than it sleeps."""

CLIPS = ClipSet(
    name="words",
    clips=tuple(
        Clip(path=f"{n}.wav", text=f"this is clip number {n}", language="en", duration=3.0) for n in range(3)
    ),
)


@pytest.fixture(autouse=True)
def _workers_find_the_sleeper(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def case(model: str) -> Case:
    """A case that takes as many seconds per clip as its model is called."""
    return Case(system=SYSTEM, model=model, backend="", device="cpu")


def asked(*models: str, rounds: int = 3, resume: Path | None = None) -> Asked:
    return Asked(
        cases=tuple(case(model) for model in models),
        data=(CLIPS,),
        rounds=rounds,
        resume=resume,
        settle=0.0,
    )


class Heard(Listener):
    """What a listener was told."""

    def __init__(self) -> None:
        self.total = self.known = 0
        self.order: list[str] = []

    def begins(self, total: int, known: int) -> None:
        self.total, self.known = total, known

    def runs(self, case: Case, data: ClipSet, round_number: int) -> None:
        self.order.append(f"{round_number} {case.model} {case.repeat}")


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Report, Heard]:
    """A system that takes 0.15 s per clip, and one that takes twice as long.

    A busy machine wakes a sleeper late, so bounds above are wide; nothing can end too early.
    """
    listener = Heard()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        report = session.bench(asked(QUICK, SLOW, "missing", rounds=5), listener)
    return report, listener


def test_known_latencies_come_out_right(measured: tuple[Report, Heard]) -> None:
    report, _ = measured
    quick, again, slow = (report.summary(one, CLIPS) for one in report.cases)
    assert quick is not None
    assert again is not None
    assert slow is not None
    for found, seconds in ((quick, 0.15), (again, 0.15), (slow, 0.3)):
        assert 3 * seconds <= found.wall.value < 3 * seconds + LATE
        assert found.latency_p50 is not None
        assert seconds <= found.latency_p50 < seconds + LATE / 3
        assert found.rtfx.value == pytest.approx(9.0 / found.wall.value)
        assert found.first_segment == 0.5
        assert found.tokens_per_second == pytest.approx(15 / found.wall.value)
        assert (found.windows, found.encoder_calls, found.flags) == (3, 3, {"tired": 3})
        assert found.compute_type == "sleep"
        assert found.cpu < 0.1
        assert found.peak_rss > 5e6


def test_a_ratio_is_what_it_should_be_and_that_of_a_case_with_itself_is_one(
    measured: tuple[Report, Heard],
) -> None:
    report, _ = measured
    control, slow = report.ratios
    assert control.pairs == slow.pairs == 5
    assert control.speed.low <= control.speed.value <= control.speed.high
    assert control.speed.value == pytest.approx(1.0, abs=0.2)
    assert slow.speed.value == pytest.approx(0.5, abs=0.15)
    assert slow.speed.high < 0.8
    assert slow.same_texts == 1.0
    assert slow.points is not None
    assert slow.points.value == 0.0


def test_stages_are_exclusive_and_sum_to_the_wall_time(measured: tuple[Report, Heard]) -> None:
    report, _ = measured
    for sample in report.samples:
        assert sum(sample.stages.values()) == pytest.approx(sample.wall, rel=1e-6)
        seconds = 3 * float(report.case(sample.case).model)
        assert 0.25 * seconds <= sample.stages["features"] < 0.25 * seconds + LATE
        assert 0.75 * seconds <= sample.stages["encoder"] < 0.75 * seconds + LATE
        assert sample.model == sample.stages["encoder"]
        assert sample.stages["writing"] > 0
    # A busy machine may take the processor away between two stages, but not in every run.
    assert min(sample.stages["other"] / sample.wall for sample in report.samples) < 0.05


def test_the_texts_are_judged(measured: tuple[Report, Heard]) -> None:
    report, _ = measured
    found = report.summary(report.cases[0], CLIPS)
    assert found is not None
    assert found.accuracy is not None
    assert found.accuracy.wer.value == 0.0
    assert found.stable


def test_a_system_that_is_not_there_is_listed_and_stops_nobody(measured: tuple[Report, Heard]) -> None:
    report, _ = measured
    (missing,) = report.missing
    assert "missing" in missing.system
    assert missing.reason == "it is not there (make it)"
    assert report.differences[report.cases[0].key] == ("hears nothing",)


def test_a_peer_beside_a_format_of_ours_alone_says_what_it_has_instead(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    ours = Case(model=str(tmp_path), device="cpu", compute_type="int8_bfloat16")
    theirs = replace(case("0.01"), compute_type="int8")
    report = session.bench(replace(asked(rounds=1), cases=(ours, theirs)))
    assert [one.system for one in report.missing] == [ours.label]
    assert report.differences[theirs.key] == (
        "has the settings of int8, for it has no int8_bfloat16 on a CPU",
        "hears nothing",
    )


def test_every_round_has_every_case_in_a_new_order(measured: tuple[Report, Heard]) -> None:
    _, heard = measured
    assert heard.total == len(heard.order) == 15
    rounds = [heard.order[start : start + 3] for start in range(0, 15, 3)]
    for number, turns in enumerate(rounds, start=1):
        assert sorted(turns) == [f"{number} {QUICK} 0", f"{number} {QUICK} 1", f"{number} {SLOW} 0"]
    orders = {tuple(turn.split(" ", 1)[1] for turn in turns) for turns in rounds}
    assert len(orders) > 1


def test_a_bench_goes_on_where_it_stopped(tmp_path: Path) -> None:
    book = tmp_path / "samples.jsonl"
    first = session.bench(asked("0.01", rounds=2, resume=book))
    whole = book.read_text(encoding="utf-8")
    assert whole.count("\n") == 1 + 4
    lines = whole.splitlines(keepends=True)
    book.write_text("".join(lines[:3]) + lines[3][:40], encoding="utf-8")  # killed while it wrote
    listener = Heard()
    second = session.bench(asked("0.01", rounds=2, resume=book), listener)
    assert (listener.known, len(listener.order)) == (2, 2)
    assert book.read_text(encoding="utf-8").count("\n") == 5
    kept = {(one.case, one.round) for one in first.samples if one in second.samples}
    assert len(kept) == 2
    third = Heard()
    session.bench(asked("0.01", rounds=3, resume=book), third)
    assert (third.total, third.known) == (6, 4)


def test_samples_of_another_machine_are_not_mixed_in(tmp_path: Path) -> None:
    book = tmp_path / "samples.jsonl"
    book.write_text("another machine\n", encoding="utf-8")
    with pytest.raises(UsageError, match="another machine"):
        session.bench(asked("0.01", resume=book))
    assert book.read_text(encoding="utf-8") == "another machine\n"


def test_damaged_samples_are_named_by_their_line(tmp_path: Path) -> None:
    book = tmp_path / "samples.jsonl"
    session.bench(asked("0.01", rounds=1, resume=book))
    book.write_text(book.read_text(encoding="utf-8") + "{}\n", encoding="utf-8")
    with pytest.raises(UsageError, match="line 4"):
        session.bench(asked("0.01", rounds=1, resume=book))


def test_a_process_that_dies_fails_its_runs_and_no_others() -> None:
    report = session.bench(asked("0.01", "crash", rounds=2))
    assert [one.error is None for one in report.samples].count(False) == 2
    (failed,) = report.missing
    assert failed.reason == "its process ended with code 3: in C as well"
    assert report.summary(case("crash"), CLIPS) is None
    assert report.summary(case("0.01"), CLIPS) is not None


def test_a_model_that_cannot_be_loaded_says_why() -> None:
    report = session.bench(asked("0.01", "nonsense", rounds=1))
    (failed,) = report.missing
    assert failed.reason == "ValueError: could not convert string to float: 'nonsense'"


def test_nothing_at_all_is_an_error() -> None:
    with pytest.raises(EnvironmentProblem, match="it is not there"):
        session.bench(asked("missing"))
    with pytest.raises(EnvironmentProblem, match="not one run succeeded"):
        session.bench(asked("crash", rounds=1))


def test_little_memory_means_one_process_at_a_time() -> None:
    """Every run then loads anew; what comes out is the same."""
    cases = (case("0.01"), case("0.02"))
    plan = Plan(
        cases=cases,
        data=(CLIPS,),
        weights={one.key: ROOT for one in cases},
        rounds=2,
        memory=1,
        settle=0.0,
    )
    samples = measure(plan)
    assert [one.error for one in samples] == [None] * 4
    assert len({(one.case, one.load) for one in samples}) > 2  # loading took a different time in each process


def test_no_round_begins_that_would_end_too_late() -> None:
    plan = Plan(
        cases=(case("0.1"),),
        data=(CLIPS,),
        weights={case("0.1").key: ROOT},
        rounds=1000,
        settle=0.0,
        seconds=1.5,
    )
    samples = measure(plan)
    assert 1 <= len(samples) <= 5  # 0.3 s each, loading aside
    assert [one.round for one in samples] == list(range(1, len(samples) + 1))


def test_one_round_is_measured_however_little_time_there_is() -> None:
    report = session.bench(replace(asked("0.01", rounds=4), seconds=1e-9))
    assert report.rounds == 1
    assert "the time was up after 1 of 4 rounds" in report.notes


def test_a_busy_machine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distilcli.bench.machine.load_average", lambda: 1000.0)
    with pytest.raises(UsageError, match="processes want this machine's") as caught:
        session.refuse_busy_machine(force=False)
    assert "--force" in (caught.value.hint or "")
    session.refuse_busy_machine(force=True)


def test_values_survive_json(measured: tuple[Report, Heard]) -> None:
    report, _ = measured
    assert from_json(Report, to_json(report)) == report
    with pytest.raises(ValueError, match="Sample has no"):
        from_json(Sample, '{"shape": 1}')
