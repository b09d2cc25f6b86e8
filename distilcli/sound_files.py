"""Samples as sound files: WAV for programs, MP3 for people. Knows no corpus and no model."""

from __future__ import annotations

import io
import wave
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from distilcli.types import SAMPLE_RATE
from distilcli.writers.atomic import output_error

MP3_BITS = 48_000
"""Bits per second: speech is clear, and ten recordings of 30 s stay under 2 MB."""


def write_wave(path: Path, samples: NDArray[np.int16]) -> None:
    """Writes (n,) int16 at 16 kHz as mono WAV.

    Raises:
        OutputError: the file cannot be written.
    """
    try:
        with path.open("wb") as file, wave.open(file, "wb") as writer:
            writer.setnchannels(1)
            writer.setsampwidth(2)
            writer.setframerate(SAMPLE_RATE)
            writer.writeframes(samples.astype("<i2", copy=False).tobytes())
    except OSError as error:
        raise output_error(path, error) from error


def mp3(samples: NDArray[np.int16]) -> bytes:
    """Encodes (n,) int16 at 16 kHz as mono MP3, which every browser plays."""
    target = io.BytesIO()
    with av.open(target, "w", format="mp3") as container:
        stream = container.add_stream("libmp3lame", rate=SAMPLE_RATE, layout="mono")
        stream.bit_rate = MP3_BITS
        resampler = av.AudioResampler(format=stream.format, layout="mono", rate=SAMPLE_RATE)
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(samples)[None, :], format="s16", layout="mono"
        )
        frame.sample_rate = SAMPLE_RATE
        waiting = av.AudioFifo()
        for part in (*resampler.resample(frame), *resampler.resample(None)):
            waiting.write(part)
        while block := waiting.read(stream.frame_size or 576, partial=True):
            container.mux(stream.encode(block))
        container.mux(stream.encode(None))
    return target.getvalue()
