"""``transcribe --live`` on raw samples from standard input, with the bundled model and recording."""

from __future__ import annotations

import io
import json
import re
import signal
import subprocess
import sys
import threading
from importlib.resources import as_file, files
from pathlib import Path

import jiwer
import numpy as np
import pytest
from numpy.typing import NDArray

from distilcli.cli.live_sound import standard_input
from tests.support.cli import command, run
from tests.support.speech import samples


@pytest.fixture(scope="module")
def spoken() -> NDArray[np.int16]:
    """The first 20 seconds of the demo recording."""
    with as_file(files("distilcli.assets").joinpath("demo.mp3")) as path:
        return (samples(path)[: 20 * 16_000] * 32768).astype(np.int16)


def test_a_stream_becomes_the_files_of_a_recording(spoken: NDArray[np.int16]) -> None:
    words = ("--live", "-", "--model", "nano", "--srt", "-f", "json", "--live-refresh", 0)
    result = run("transcribe", *words, stdin=spoken.tobytes())
    assert result.code == 0
    (name,) = Path().glob("live-*.json")
    found = json.loads(name.read_text())
    assert found["duration"] == 20.0
    assert "complete" not in found
    assert len(found["segments"]) >= 4
    starts = [one["start"] for one in found["segments"]]
    assert starts == sorted(starts)
    assert found["segments"][-1]["end"] <= 20.5
    assert sorted(path.suffix for path in Path().iterdir()) == [".json", ".srt"]
    truth = files("distilcli.assets").joinpath("demo.txt").read_text(encoding="utf-8")
    heard = found["text"].lower().split()
    assert jiwer.wer(" ".join(truth.lower().split()[: len(heard)]), " ".join(heard)) < 0.4


def test_a_kill_loses_nothing_that_was_final(spoken: NDArray[np.int16]) -> None:
    words = ("transcribe", "--live", "-", "--model", "nano", "--txt", "--json", "--live-refresh", "0")
    with subprocess.Popen(command(*words), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(spoken.tobytes())
        process.stdin.flush()
        said = []
        for line in process.stdout:
            event = json.loads(line)
            if event["event"] == "segment":
                said.append(event["text"].strip())
            if len(said) >= 2:
                break
        process.kill()
    (kept,) = Path().glob("live-*.partial.txt")
    assert kept.read_text().splitlines()[:1] == said[:1]


def test_ctrl_c_finishes_what_was_said(spoken: NDArray[np.int16]) -> None:
    words = ("transcribe", "--live", "-", "--model", "nano", "--json")
    with subprocess.Popen(command(*words), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(spoken[: 16_000 * 5].tobytes())
        process.stdin.flush()
        events = []
        for line in process.stdout:
            events.append(json.loads(line))
            if events[-1]["event"] == "partial":
                process.send_signal(signal.SIGINT)
                break
        events += [json.loads(line) for line in process.stdout]
        assert process.wait() == 0
    assert [one["event"] for one in events][-2:] == ["file_done", "run_done"]
    assert any(one["event"] == "segment" for one in events)


def test_everything_that_waits_comes_as_one_block() -> None:
    both = np.arange(1000, dtype=np.int16)

    class Slow(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return super().read(7)  # never whole samples

    with standard_input(Slow(both.tobytes())) as arrived:
        for thread in threading.enumerate():
            if thread is not threading.current_thread() and thread.name.startswith("Thread"):
                thread.join(10)
        (block,) = arrived.blocks()
    assert np.array_equal(block, both.astype(np.float32) / 32768)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("--live", "talk.mp3"),
            "--live listens to the microphone, or with - to standard input, and talk.mp3 is given",
        ),
        ((), "nothing to transcribe is given"),
        (("--live", "--channels", "split"), "--channels is for recordings and cannot be used with --live"),
    ],
)
def test_inputs_that_make_no_sense(words: tuple[str, ...], said: str) -> None:
    result = run("transcribe", *words)
    assert (result.code, result.stderr.splitlines()[0]) == (2, f"error: {said}")


def test_a_microphone_without_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    result = run("transcribe", "--live", "--model", "nano")
    assert result.code == 6
    assert "--live listens to a microphone through sounddevice, which cannot be loaded" in result.stderr
    assert "hint: pipx inject distilcli sounddevice" in result.stderr


def test_a_run_that_was_killed_goes_on(spoken: NDArray[np.int16]) -> None:
    words = ("transcribe", "--live", "-", "--model", "nano", "-f", "json", "--live-refresh", "0")
    half = 10 * 16_000
    with subprocess.Popen(command(*words), stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(spoken[:half].tobytes() + bytes(2 * 16_000))
        process.stdin.flush()
        while not (parts := list(Path().glob("live-*.partial.json"))):
            assert process.poll() is None
        process.kill()
    before = json.loads(parts[0].read_text())["segments"]
    result = run(*words, stdin=spoken[half:].tobytes())
    assert result.code == 0
    (said,) = re.findall(r"going on after (\d+) segments of the run before", result.stderr)
    kept = int(said)
    assert kept >= len(before)  # a segment is in the journal before it is in a file
    (whole,) = (path for path in Path().glob("live-*.json") if ".partial" not in path.name)
    found = json.loads(whole.read_text())["segments"]
    assert found[: len(before)] == before
    assert len(found) > kept
    assert found[kept]["start"] >= found[kept - 1]["end"]
    assert "going on" not in run(*words, stdin=spoken[:half].tobytes()).stderr
