"""Ctrl-C and SIGTERM in the middle of a recording: what is finished is on disk."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.cli import running
from tests.support.subtitles import read_srt

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals of Unix")


@pytest.mark.parametrize(
    ("number", "code", "word"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
def test_finished_segments_are_kept(
    number: signal.Signals, code: int, word: str, toy: Path, twenty_minutes: Path
) -> None:
    options = ("--condition_on_previous_text", "False", "--json", "--srt", "-f", "json", "-o", "out")
    with running("transcribe", twenty_minutes, "--model", toy, *options) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        segments = 0
        for line in process.stdout:
            if json.loads(line)["event"] == "segment":
                segments += 1
                process.send_signal(number)
                break
        rest, complaint = process.stdout.read(), process.stderr.read()
        process.wait()
    events = [json.loads(line) for line in rest.splitlines()]
    segments += sum(event["event"] == "segment" for event in events)

    assert process.returncode == code
    assert events[-1] == {"schema": 1, "event": "run_done", "inputs": 1, "failed": [], "exit_code": code}
    assert sorted(path.name for path in Path("out").iterdir()) == ["long.partial.json", "long.partial.srt"]
    document = json.loads(Path("out/long.partial.json").read_text())
    assert document["complete"] is False
    assert document["duration"] == 1200.0
    # The files hear of a segment before the stream does, so the last one may be in them alone.
    kept = len(document["segments"])
    assert 1 <= segments <= kept <= segments + 1 < 80
    assert len(read_srt(Path("out/long.partial.srt").read_text())) == kept
    assert f"error: {word}; " in complaint
    assert "of 1200 s of" in complaint
    assert "out/long.partial.srt" in complaint


def test_without_a_format_nothing_is_written(toy: Path, twenty_minutes: Path, tmp_path: Path) -> None:
    options = ("--condition_on_previous_text", "False")
    with running("transcribe", twenty_minutes, "--model", toy, *options) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "The river runs down to the sea,\n"
        process.send_signal(signal.SIGINT)
        _, complaint = process.communicate()
    assert process.returncode == 130
    assert complaint.splitlines()[-2:] == ["error: interrupted", "hint: the same command goes on from here"]
    assert list(tmp_path.iterdir()) == []


def test_a_second_signal_does_not_wait_for_a_call_that_none_can_enter() -> None:
    # Hashing stands in for a backend: one long call that releases Python's lock and never looks at signals.
    # SIGINT raises nothing here, so that one which comes before the call does not end the program.
    program = """
import hashlib, signal
from distilcli.cli.interrupt import stoppable
def save():
    return "; saved"
signal.signal(signal.SIGINT, lambda signum, frame: None)
with stoppable(lambda text: print(text, flush=True), save):
    print("ready", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"x", b"y", 2_000_000_000)
"""
    words = [sys.executable, "-c", program]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "stopping after this window; Ctrl-C again stops at once\n"
        process.send_signal(signal.SIGINT)
        _, complaint = process.communicate()
    assert (process.returncode, complaint) == (130, "error: stopped at once; saved\n")
