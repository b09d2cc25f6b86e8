"""The clock of the stages: exclusive times that add up, other threads apart, nothing when nobody measures."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from distilcli import assets, stages
from distilcli.backends.scripted import Scripted
from distilcli.config import TranscribeOptions
from distilcli.pipeline import load_model, transcribe_many
from distilcli.tokens import Tokenizer
from distilcli.types import Hypothesis
from tests.support.toy import toy_folder


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which goes on only when a test says so."""
    time = [100.0]
    monkeypatch.setattr(stages.time, "perf_counter", lambda: time[0])
    return time


def test_a_stage_in_a_stage_has_its_own_time(now: list[float]) -> None:
    with stages.measured() as clock:
        now[0] += 1
        with stages.stage("encoder"):
            now[0] += 2
            with stages.stage("features"):
                now[0] += 4
            with stages.stage("features"):
                now[0] += 8
            now[0] += 16
        with stages.stage("encoder"):
            now[0] += 32
    now[0] += 1000  # after the run
    assert clock.seconds == {"features": 12.0, "encoder": 50.0, "other": 1.0}
    assert clock.wall == sum(clock.seconds.values()) == 63.0
    assert list(clock.seconds) == ["features", "encoder", "other"]  # in the order of the work


def test_a_stage_that_fails_is_counted(now: list[float]) -> None:
    def fail() -> None:
        with stages.stage("decode"):
            now[0] += 3
            raise KeyError

    with stages.measured() as clock:
        with pytest.raises(KeyError):
            fail()
        with stages.stage("decoder"):
            now[0] += 1
    assert clock.seconds == {"decode": 3.0, "decoder": 1.0, "other": 0.0}


def test_other_threads_are_in_the_background(now: list[float]) -> None:
    def work() -> None:
        with stages.stage("features"):
            now[0] += 5

    with stages.measured() as clock, stages.stage("encoder"):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert clock.seconds == {"encoder": 5.0, "other": 0.0}
    assert clock.background == {"features": 5.0}


def test_nothing_happens_when_nobody_measures() -> None:
    assert not stages.measuring()
    assert stages.stage("encoder") is stages.stage("decode")
    with stages.measured():
        assert stages.measuring()
    assert not stages.measuring()


def test_two_measurements_at_once_are_a_mistake() -> None:
    with stages.measured(), pytest.raises(AssertionError, match="already"), stages.measured():
        pass
    assert not stages.measuring()


def test_the_pipeline_claims_nearly_all_of_its_time() -> None:
    """The bundled model on the bundled recording: what no stage claims is under 5 per cent."""
    backend = load_model("nano")
    demo = Path(assets.__file__).parent / "demo.mp3"
    try:
        with stages.measured() as clock:
            transcribe_many([demo], backend, TranscribeOptions(language="en"))
    finally:
        backend.close()
    found = clock.seconds
    assert {"decode", "features", "encoder", "decoder"} <= found.keys()
    assert sum(found.values()) == pytest.approx(clock.wall)
    assert found["other"] < 0.05 * clock.wall
    assert found["encoder"] + found["decoder"] > 0.5 * clock.wall


def test_a_backend_without_stages_is_other() -> None:
    tokenizer = Tokenizer.from_folder(toy_folder("en"))
    backend = Scripted(lambda window: Hypothesis(tuple(tokenizer.encode(" so")), -0.1, 0.0), tokenizer)
    demo = Path(assets.__file__).parent / "demo.mp3"
    with stages.measured() as clock:
        transcribe_many([demo], backend, TranscribeOptions(language="en"))
    assert clock.seconds.keys() == {"decode", "features", "other"}
