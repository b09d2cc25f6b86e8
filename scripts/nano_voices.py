"""Synthetic voices of the nano model's corpus, its demo and its evaluation: espeak-ng and flite.

It knows programs and samples; it does not know texts or models. A voice is `flite:NAME` or `espeak:NAME`.
"""

from __future__ import annotations

import io
import re
import subprocess
import wave
from dataclasses import dataclass

import av
import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 16_000
VOICES = ("espeak:en-us", "espeak:en-us+f3", "flite:slt")
"""The voices that the bundled model has heard."""

_ESPEAK_WORDS_PER_MINUTE = 162


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One sentence to be spoken."""

    voice: str
    text: str
    rate: float = 1.0
    """1.0 is the voice's usual speed."""
    pitch: int = 50
    """espeak-ng's 0 to 99; flite ignores it."""


def program_of(voice: str) -> str:
    """Returns the program that speaks with a voice."""
    engine = voice.partition(":")[0]
    return "espeak-ng" if engine == "espeak" else engine


def command(line: Line) -> list[str]:
    """Returns the program call that writes one WAV to standard output."""
    program, name = program_of(line.voice), line.voice.partition(":")[2]
    if program == "espeak-ng":
        words = str(round(_ESPEAK_WORDS_PER_MINUTE * line.rate))
        return [program, "-v", name, "-s", words, "-p", str(line.pitch), "--stdout", line.text]
    stretch = f"duration_stretch={1 / line.rate:.3f}"
    return ["flite", "-voice", name, "--setf", stretch, "-t", line.text, "-o", "/dev/stdout"]


def speak(line: Line) -> NDArray[np.int16]:
    """Returns the sentence as (n,) int16 at 16 kHz mono, without the silence around it."""
    data = subprocess.run(command(line), capture_output=True, check=True).stdout
    with wave.open(io.BytesIO(data)) as reader:
        rate, raw = reader.getframerate(), reader.readframes(reader.getnframes())
    return trimmed(resampled(np.frombuffer(raw, dtype=np.int16), rate))


def resampled(samples: NDArray[np.int16], rate: int) -> NDArray[np.int16]:
    """Brings (n,) int16 of another rate to 16 kHz."""
    if rate == SAMPLE_RATE:
        return samples
    frame = av.AudioFrame.from_ndarray(samples[None, :], format="s16", layout="mono")
    frame.sample_rate = rate
    resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
    parts = [*resampler.resample(frame), *resampler.resample(None)]
    return np.concatenate([part.to_ndarray()[0] for part in parts])


def trimmed(samples: NDArray[np.int16]) -> NDArray[np.int16]:
    """Removes what is below 1 % of the peak before and after, but for a margin of 20 ms. (n,) int16."""
    level = np.abs(samples.astype(np.int32))
    loud = np.flatnonzero(level > 0.01 * level.max())
    margin = SAMPLE_RATE // 50
    return samples[max(loud[0] - margin, 0) : loud[-1] + margin]


def speak_text(text: str, voice: str, seed: int) -> NDArray[np.int16]:
    """Speaks a text sentence by sentence: pauses of 0.25 to 0.7 s, 0.25 s more at paragraphs. (n,) int16."""
    rng = np.random.default_rng(seed)
    parts = []
    for paragraph in text.strip().splitlines():
        for sentence in re.split(r"(?<=[.?!])\s+", paragraph.strip()):
            if sentence:
                pause = np.zeros(int(SAMPLE_RATE * rng.uniform(0.25, 0.7)), dtype=np.int16)
                parts += [speak(Line(voice=voice, text=sentence)), pause]
        parts.append(np.zeros(SAMPLE_RATE // 4, dtype=np.int16))
    return np.concatenate(parts)
