"""Real recordings for tests, from the folder ``../shared/speech`` beside the checkout; never part of it."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from distilcli.audio import open_audio

SPEECH = Path(__file__).parents[3] / "shared" / "speech"

needs_speech = pytest.mark.skipif(
    not (SPEECH / "manifest.jsonl").is_file(), reason="the recordings of ../shared/speech are not here"
)


def samples(path: Path) -> NDArray[np.float32]:
    """All samples of one recording, 16 kHz mono."""
    with open_audio(path) as audio:
        return audio.samples[0 : len(audio.samples)]


def chapter(name: str, seconds: float, pause: float = 0.4) -> NDArray[np.float32]:
    """The clips of a LibriSpeech chapter in order, with pauses between, cut after `seconds`."""
    gap = np.zeros(round(pause * 16_000), dtype=np.float32)
    pieces: list[NDArray[np.float32]] = []
    total = 0
    for path in sorted((SPEECH / name).glob("*.opus")):
        clip = samples(path)
        pieces += [clip, gap]
        total += len(clip) + len(gap)
        if total >= seconds * 16_000:
            break
    return np.concatenate(pieces)[: round(seconds * 16_000)]


def write_wav(path: Path, audio: NDArray[np.float32]) -> Path:
    """Write 16-bit PCM, 16 kHz mono."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes((audio * 32768).round().clip(-32768, 32767).astype("<i2").tobytes())
    return path
