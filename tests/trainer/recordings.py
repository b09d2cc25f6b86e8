"""Recordings for the trainer's tests: the smoke recipe's corpus, and WAV files made of nothing."""

from __future__ import annotations

import subprocess
import sys
import wave
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]


def smoke_corpus(folder: Path, sentences: int = 200) -> Path:
    """Runs the script that makes the smoke recipe's recordings; returns their folder."""
    script = ROOT / "scripts" / "make_smoke_corpus"
    subprocess.run([sys.executable, str(script), str(folder), "--sentences", str(sentences)], check=True)
    return folder


def write_wave(path: Path, samples: int, rate: int = 16_000, channels: int = 1) -> None:
    """Writes a ramp of 16-bit samples."""
    with wave.open(str(path), "wb") as writer:
        writer.setnchannels(channels)
        writer.setsampwidth(2)
        writer.setframerate(rate)
        writer.writeframes(np.arange(samples * channels, dtype=np.int16).tobytes())
