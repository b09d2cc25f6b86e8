"""Calls: a speaker on each channel."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.support.cli import run
from tests.support.media import write_wav
from tests.support.speech import samples

RISE = ["The river runs down to the sea,", "and nobody can hurry it."]
BAD = "error: --channels must be mix, split or a number from 1, not "
FALL = ["Bring me two yellow lamps.", "The door is open."]


@pytest.fixture
def call(rise: Path, fall: Path) -> Path:
    """One speaks on the left, the other on the right."""
    left, right = (samples(path) for path in (rise, fall))
    both = np.zeros((len(left), 2), np.int16)
    both[:, 0] = (left * 32768).astype(np.int16)
    both[: len(right), 1] = (right * 32768).astype(np.int16)
    return write_wav(Path("call.wav"), both)


def test_each_channel_is_a_speaker_and_all_are_in_time(toy: Path, call: Path) -> None:
    words = ("--channels", "split", "--channel-names", "Ann", "-f", "txt", "-f", "json")
    assert run("transcribe", call, "--model", toy, *words).code == 0
    found = json.loads(Path("call.json").read_text())
    assert [(one["speaker"], one["text"].strip()) for one in found["segments"]] == [
        ("Ann", RISE[0]),
        ("Channel 2", FALL[0]),
        ("Channel 2", FALL[1]),
        ("Ann", RISE[1]),
    ]
    assert [one["start"] for one in found["segments"]] == sorted(one["start"] for one in found["segments"])
    assert Path("call.txt").read_text().splitlines()[:2] == [f"Ann: {RISE[0]}", f"Channel 2: {FALL[0]}"]


def test_one_channel_is_what_it_would_be_alone(toy: Path, call: Path, rise: Path) -> None:
    result = run("transcribe", call, "--model", toy, "--channels", 1, "-q")
    assert result.stdout.splitlines() == [f"Channel 1: {line}" for line in RISE]


@pytest.mark.parametrize(
    ("channels", "code", "said"),
    [
        ("3", 5, "error: call.wav: has 2 channels, and --channels asks for number 3"),
        ("spilt", 2, f"{BAD}'spilt' (did you mean 'split'?)"),
        ("0", 2, f"{BAD}'0'"),
    ],
)
def test_channels_that_cannot_be_had(toy: Path, call: Path, channels: str, code: int, said: str) -> None:
    result = run("transcribe", call, "--model", toy, "--channels", channels, "-q")
    assert (result.code, result.stderr.splitlines()[0]) == (code, said)
