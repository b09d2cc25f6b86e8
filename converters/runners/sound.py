"""What runtimes hear: the samples of the probe, and its features where a runtime wants them made."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from distilcli.audio import from_array
from distilcli.converters.runners import ProbeRequest
from distilcli.errors import InputError
from distilcli.features import log_mel
from distilcli.types import SAMPLE_RATE, Span, Window


def samples(path: Path) -> NDArray[np.float32]:
    """Samples of a 16 kHz mono wav file of 16 bits: shape (n,), float32 in [-1, 1).

    Raises:
        InputError: another kind of file.
    """
    try:
        with wave.open(str(path), "rb") as file:
            found = (file.getframerate(), file.getnchannels(), file.getsampwidth())
            raw = file.readframes(file.getnframes())
    except (wave.Error, EOFError) as error:
        raise InputError(f"{path} is not a wav file: {error}") from error
    if found != (SAMPLE_RATE, 1, 2):
        raise InputError(f"{path}: expected {SAMPLE_RATE} Hz, 1 channel, 2 bytes per sample; found {found}")
    return np.frombuffer(raw, "<i2").astype(np.float32) / np.float32(32768)


def write_wav(path: Path, sound: NDArray[np.float32]) -> None:
    """Write samples, shape (n,), float32 in [-1, 1], as the wav file that `samples` reads."""
    numbers = np.clip(np.rint(sound * 32768), -32768, 32767).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(numbers.tobytes())


def features(request: ProbeRequest) -> NDArray[np.float32]:
    """Log-mel features as Transformers' feature extractor makes them: shape (n_mels, 3000), float32."""
    audio = from_array(samples(request.audio), request.audio.name)
    return log_mel(Window(audio, Span(0.0, audio.duration), isolated=True), request.n_mels)
