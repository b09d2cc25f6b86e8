"""``--json``: the life of a run as lines that a program can read."""

from __future__ import annotations

from pathlib import Path

from tests.support.cli import run


def test_the_life_of_a_run(multi: Path, rise: Path) -> None:
    Path("notes.mp3").write_text("this is text\n")
    result = run("transcribe", rise, "notes.mp3", "--model", multi, "--json", "--srt", "-o", "out")
    events = result.events
    assert result.code == 4
    assert all(event["schema"] == 1 for event in events)

    plan, done = events[0], events[-1]
    assert plan["event"] == "plan"
    assert plan["inputs"] == [str(rise), "notes.mp3"]
    assert plan["outputs"] == {str(rise): ["out/rise.srt"], "notes.mp3": ["out/notes.srt"]}
    assert done == {"schema": 1, "event": "run_done", "inputs": 2, "failed": ["notes.mp3"], "exit_code": 4}

    of_rise = [event for event in events if event.get("source") == str(rise)]
    kinds = [event["event"] for event in of_rise if event["event"] != "progress"]
    assert kinds == ["file_start", "language", "segment", "segment", "file_done"]
    assert of_rise[0]["duration"] == 11.0
    segments = [event for event in of_rise if event["event"] == "segment"]
    assert [(one["id"], one["text"]) for one in segments] == [
        (0, " The river runs down to the sea,"),
        (1, " and nobody can hurry it."),
    ]
    seconds = [event["seconds"] for event in of_rise if event["event"] == "progress"]
    assert seconds == sorted(seconds)
    assert seconds[-1] == 11.0
    assert of_rise[-1]["outputs"] == ["out/rise.srt"]
    assert of_rise[-1]["segments"] == 2

    (failed,) = [event for event in events if event["event"] == "file_failed"]
    assert failed["source"] == "notes.mp3"
    assert failed["exit_code"] == 5
    assert failed["error"].startswith("notes.mp3: ")


def test_a_missing_input_is_an_event(toy: Path, rise: Path) -> None:
    events = run("transcribe", "no.wav", rise, "--model", toy, "--json").events
    (failed,) = [event for event in events if event["event"] == "file_failed"]
    assert (failed["source"], failed["exit_code"]) == ("no.wav", 3)
    assert events[-1]["failed"] == ["no.wav"]


def test_a_run_that_is_refused_prints_no_events() -> None:
    result = run("transcribe", "no.wav", "--json")
    assert (result.code, result.stdout) == (3, "")


def test_a_model_that_is_missing_ends_the_stream(rise: Path, tmp_path: Path) -> None:
    env = {"HF_HOME": str(tmp_path / "hf"), "DISTILCLI_CACHE": str(tmp_path / "cache")}
    events = run("transcribe", rise, "--model", "tiny", "--offline", "--json", env=env).events
    assert [event["event"] for event in events] == ["plan", "run_done"]
    assert events[-1]["exit_code"] == 6
