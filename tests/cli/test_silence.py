"""Silence on the command line: flags, what is said about it, and what is in the results."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from distilcli import assets
from distilcli.cli.request import Request
from distilcli.config import VadOptions
from tests.support.cli import run
from tests.support.speech import samples, write_wav

RATE = 16_000


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Request]:
    """A function from a command line to the request that it makes."""
    requests: list[Request] = []
    monkeypatch.setattr("distilcli.cli.run.transcribe", requests.append)

    def ask(*words: str) -> Request:
        result = run("transcribe", "a.wav", *words)
        assert (result.code, result.stderr) == (0, "")
        return requests.pop()

    return ask


@pytest.fixture(scope="module")
def pauses(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """5 s of near silence, two sentences of the demo, 10 s, another sentence, 5 s."""
    demo = samples(Path(assets.__file__).parent / "demo.mp3")
    noise = np.random.default_rng(0)

    def quiet(seconds: int) -> np.ndarray:
        return noise.normal(0, 1e-3, seconds * RATE).astype(np.float32)

    parts = [quiet(5), demo[: round(8.2 * RATE)], quiet(10), demo[-round(5 * RATE) :], quiet(5)]
    return write_wav(tmp_path_factory.mktemp("pauses") / "pauses.wav", np.concatenate(parts))


def test_flags_are_those_of_whisper_ctranslate2(asked: Callable[..., Request]) -> None:
    assert asked().options.vad == VadOptions(detect=True)
    words = "--vad_filter True --vad_threshold 0.4 --vad_min_speech_duration_ms 250"
    words += " --vad_max_speech_duration_s 20 --vad_min_silence_duration_ms 2000"
    assert asked(*words.split()).options.vad == VadOptions(
        filter=True,
        detect=True,
        threshold=0.4,
        min_speech_duration_ms=250,
        max_speech_duration_s=20,
        min_silence_duration_ms=2000,
    )
    words = "--vad --no-vad-detect --vad-neg-threshold 0.1 --vad-speech-pad-ms 30 --vad-max-gap-s 1.5"
    assert asked(*words.split()).options.vad == VadOptions(
        filter=True, neg_threshold=0.1, speech_pad_ms=30, max_gap_s=1.5
    )
    unset = asked("--vad_max_speech_duration_s", "None", "--vad_neg_threshold", "None").options.vad
    assert (unset.max_speech_duration_s, unset.neg_threshold) == (math.inf, None)


def test_clips_as_openai_whisper_spells_them(asked: Callable[..., Request]) -> None:
    assert asked().options.clip_timestamps == ()
    assert asked("--clip_timestamps", "0").options.clip_timestamps == (0.0,)
    assert asked("--clip-timestamps", "1,2.5,10").options.clip_timestamps == (1.0, 2.5, 10.0)


@pytest.mark.parametrize("value", ["1,x", "5,3", "-1,4"])
def test_bad_clips_are_refused(value: str, rise: Path) -> None:
    result = run("transcribe", rise, f"--clip-timestamps={value}")
    assert result.code == 2
    assert result.stderr.startswith("error: --clip-timestamps must be")
    assert result.stderr.count("\n") == 1


def test_what_is_skipped_is_said_and_written(pauses: Path) -> None:
    words = ["--model", "nano", "--language", "en", "--beam-size", "1", "--vad", "-f", "json", "-o", "."]
    result = run("transcribe", pauses, *words)
    assert result.code == 0
    document = json.loads(Path("pauses.json").read_text(encoding="utf-8"))
    (first, middle, last) = document["skipped"]
    assert (first[0], last[1]) == (0.0, document["duration"])
    assert first[1] == pytest.approx(5, abs=1)
    assert middle == pytest.approx([13, 23], abs=1.5)
    assert last[0] == pytest.approx(28, abs=1.5)
    seconds = sum(end - start for start, end in document["skipped"])
    assert f"voice activity: {seconds:.1f} s of 33.2 s without speech are skipped" in result.stderr
    assert document["vad"]["threshold"] == 0.5
    assert document["vad"]["max_speech_duration_s"] is None
    assert document["speech"][0][0] == pytest.approx(first[1], abs=0.01)
    assert len(document["segments"]) >= 2
    for segment in document["segments"]:
        assert any(
            start <= segment["start"] < segment["end"] <= end
            for start, end in [(first[1], middle[0]), (middle[1], last[0])]
        )


def test_silence_is_an_event_and_needs_no_decoding(tmp_path: Path) -> None:
    silent = write_wav(tmp_path / "silent.wav", np.zeros(60 * RATE, np.float32))
    result = run("transcribe", silent, "--model", "nano", "--vad", "--json")
    assert result.code == 0
    (silence,) = [event for event in result.events if event["event"] == "silence"]
    assert silence["spans"] == [[0.0, 60.0]]
    (done,) = [event for event in result.events if event["event"] == "file_done"]
    assert (done["segments"], done["language"]) == (0, None)
    assert not [event for event in result.events if event["event"] == "language"]


def test_clips_behind_the_end_are_warned_about(rise: Path, toy: Path) -> None:
    result = run("transcribe", rise, "--model", toy, "--clip-timestamps", "60,70")
    assert (result.code, result.stdout) == (0, "")
    assert "ends before the first of --clip-timestamps" in result.stderr
