"""Where somebody speaks: the same as faster-whisper finds in the whole recording, from blocks of any size."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from faster_whisper import vad as peer
from numpy.typing import NDArray

from distilcli import assets
from distilcli.audio import from_array, open_audio
from distilcli.config import VadOptions
from distilcli.errors import UsageError
from distilcli.stages import measured
from distilcli.types import Span
from distilcli.vad import STEP, Detector, spans, with_speech
from tests.support.speech import SPEECH, needs_speech, samples

DEMO = Path(assets.__file__).parent / "demo.mp3"
LEVELS = (0.0, 0.05, 0.2, 0.34, 0.35, 0.36, 0.49, 0.5, 0.51, 0.9, 1.0)


def _found(audio: NDArray[np.float32], block: int, options: VadOptions) -> tuple[Span, ...]:
    detector = Detector(options)
    for start in range(0, len(audio), block):
        detector.feed(audio[start : start + block])
    return detector.finish()


def _peers(audio: NDArray[np.float32], **options: float | None) -> tuple[Span, ...]:
    found = peer.get_speech_timestamps(audio.copy(), peer.VadOptions(**options))
    return tuple(Span(one["start"] / 16_000, one["end"] / 16_000) for one in found)


@pytest.fixture(scope="module")
def recordings() -> dict[str, NDArray[np.float32]]:
    demo, draw = samples(DEMO), np.random.default_rng(0)
    quiet = np.zeros(40_000, np.float32)
    return {
        "demo": demo,
        "pauses": np.concatenate([quiet, demo[:200_000], quiet, demo[200_000:300_007], quiet]),
        "ends_within_a_word": demo[: 100 * STEP - 20],
        "whole_steps": demo[: 100 * STEP],
        "noise": draw.normal(0, 0.1, 100_000).astype(np.float32),
        "silence": np.zeros(100_001, np.float32),
        "nearly_nothing": demo[:300],
    }


@pytest.mark.parametrize(
    "name", ["demo", "pauses", "ends_within_a_word", "whole_steps", "noise", "silence", "nearly_nothing"]
)
def test_spans_equal_those_of_faster_whisper(name: str, recordings: dict[str, NDArray[np.float32]]) -> None:
    audio = recordings[name]
    expected = _peers(audio, min_silence_duration_ms=160)
    assert bool(expected) == (name not in ("noise", "silence", "nearly_nothing"))
    for block in (777, 5 * STEP, len(audio)):
        assert _found(audio, block, VadOptions()) == expected


def test_every_probability_is_the_same_for_every_size_of_block(
    recordings: dict[str, NDArray[np.float32]],
) -> None:
    audio = recordings["pauses"]
    heard: list[list[float]] = []

    def note(probabilities: Iterable[float], n_samples: int, options: VadOptions) -> tuple[Span, ...]:
        assert n_samples == len(audio)
        heard.append(list(probabilities))
        return ()

    with mock.patch("distilcli.vad.spans", note):
        for block in (STEP - 1, 40 * STEP + 3, len(audio)):
            _found(audio, block, VadOptions())
    whole = np.pad(audio, (0, STEP - len(audio) % STEP))
    expected = peer.get_vad_model()(whole).tolist()
    assert heard == [expected] * 3


@pytest.mark.parametrize("seed", range(10))
def test_the_decision_equals_that_of_faster_whisper(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Random probabilities, many of them exactly on a threshold, and random settings."""
    draw = random.Random(seed)
    number = 0
    for _ in range(60):
        steps = draw.randrange(1, 300)
        heard = [level for _ in range(steps) for level in [draw.choice(LEVELS)] * draw.randrange(1, 20)]
        probabilities = np.array(heard[:steps], np.float32)
        silent = np.zeros(steps * STEP - draw.randrange(1, STEP + 1), np.float32)
        settings = {
            "threshold": draw.choice((0.1, 0.35, 0.5, 0.9)),
            "neg_threshold": draw.choice((None, None, 0.05)),
            "min_speech_duration_ms": draw.choice((0, 250, 1000)),
            "max_speech_duration_s": draw.choice((float("inf"), 2.0, 3.5)),
            "min_silence_duration_ms": draw.choice((0, 100, 160, 500, 2000)),
            "speech_pad_ms": draw.choice((0, 30, 400)),
        }
        monkeypatch.setattr(peer, "get_vad_model", lambda heard=probabilities: lambda _: heard)
        expected = _peers(silent, **settings)
        assert spans(probabilities.tolist(), len(silent), VadOptions(**settings)) == expected
        number += len(expected)
    assert number > 30


def test_a_recording_knows_its_speech_when_it_was_asked_for() -> None:
    with measured() as clock, open_audio(DEMO, vad=VadOptions()) as audio:
        assert audio.speech == _found(samples(DEMO), 10**9, VadOptions())
    assert clock.background["vad"] > 0
    with open_audio(DEMO) as audio:
        assert audio.speech is None


def test_speech_is_found_in_decoded_audio_but_never_twice() -> None:
    audio = from_array(samples(DEMO), "demo")
    found = with_speech(audio, VadOptions())
    assert found.speech == _found(samples(DEMO), 10**9, VadOptions())
    assert with_speech(found, VadOptions(threshold=0.9)) is found


@needs_speech
def test_no_word_of_a_reader_is_lost() -> None:
    """Words as they were aligned by hand and machine, in 12 clips with 4 s of near silence between them."""
    draw = np.random.default_rng(0)
    words: list[tuple[float, float]] = []
    detector = Detector(VadOptions())
    seconds = 0.0
    for grid in sorted((SPEECH / "alignments" / "4088-158077").glob("*.TextGrid"))[:12]:
        clip = samples(SPEECH / "train" / "ls-train-clean-100" / "4088-158077" / f"{grid.stem}.opus")
        tier = grid.read_text(encoding="utf-8").split('name = "phones"')[0]
        for start, end in re.findall(r'xmin = (\S+)\s+xmax = (\S+)\s+text = "[^"]+"', tier):
            words.append((seconds + float(start), seconds + float(end)))
        for part in (clip, draw.normal(0, 1e-4, 64_000).astype(np.float32)):
            detector.feed(part)
            seconds += len(part) / 16_000
    found = detector.finish()
    assert len(words) > 300
    rounding = 0.02
    for start, end in words:
        assert any(one.start - rounding <= start and end <= one.end + rounding for one in found)
    assert sum(one.duration for one in found) < seconds - 12 * 2.5


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({"threshold": 0.0}, "--vad-threshold"),
        ({"threshold": float("nan")}, "--vad-threshold"),
        ({"neg_threshold": 0.6}, "--vad-neg-threshold"),
        ({"max_speech_duration_s": 1.0}, "--vad-max-speech-duration-s"),
        ({"speech_pad_ms": -1}, "--vad-speech-pad-ms"),
        ({"max_gap_s": float("nan")}, "--vad-max-gap-s"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, float], names: str) -> None:
    with pytest.raises(UsageError, match=names):
        VadOptions(**settings)
