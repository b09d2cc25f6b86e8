"""Recordings with noise under them at a stated ratio, and noise alone. Knows sounds, not what hears them.

The noise of a recording is always the same, at every level, so that levels and systems can be compared pair
by pair.
"""

from __future__ import annotations

import mimetypes
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from distilcli.bench.values import Clip, ClipSet, digest_of
from distilcli.errors import InputError, NoInputError, UsageError, closest
from distilcli.sound_files import write_wave
from distilcli.types import SAMPLE_RATE

Floats = NDArray[np.float32]

WHITE, PINK, RECORDED = "white", "pink", "recorded"
KINDS = (WHITE, PINK, RECORDED)

ALONE_DB = -30.0
"""Level of noise that is heard alone, in dB of full scale."""

_PERIOD = 60 * SAMPLE_RATE  # noise of a longer recording repeats after a minute
_LOWEST = 20.0  # Hz; pink noise has no more power below


@dataclass(frozen=True, slots=True)
class NoiseSource:
    """Noise of several kinds, the same in every run.

    Attributes:
        kinds: of `KINDS`: white (equal power per Hz), pink (equal power per octave, from 20 Hz on), recorded.
        recordings: name -> samples of recorded noise, (n,) at 16 kHz, not silent.
        seed: of everything that is drawn.
    """

    kinds: tuple[str, ...]
    recordings: Mapping[str, Floats] = field(default_factory=dict)
    seed: int = 0

    def __post_init__(self) -> None:
        unknown = next((kind for kind in self.kinds if kind not in KINDS), None)
        if unknown is not None:
            raise UsageError(
                f"--noise-kind must be of {', '.join(KINDS)}, not '{unknown}'{closest(unknown, KINDS)}"
            )
        if RECORDED in self.kinds and not self.recordings:
            raise UsageError("recorded noise needs a folder of recordings", hint="add --noise-folder DIR")

    def digest(self, kind: str, name: str) -> str:
        """Names the noise that `make` gives; the ending of a file's name."""
        names = sorted(self.recordings) if kind == RECORDED else []
        return digest_of({"seed": self.seed, "kind": kind, "name": name, "recordings": names})

    def make(self, kind: str, length: int, name: str) -> Floats:
        """Noise for a recording: (length,) float32 with a power of 1.

        Recorded noise begins anywhere in one of the recordings, and goes round where that is too short.
        """
        rng = np.random.default_rng(list(self.digest(kind, name).encode()))
        if kind == RECORDED:
            chosen = self.recordings[sorted(self.recordings)[int(rng.integers(len(self.recordings)))]]
            noise: Floats = np.resize(np.roll(chosen, -int(rng.integers(len(chosen)))), length)
        else:
            noise = rng.standard_normal(length, dtype=np.float32)
            if kind == PINK:
                hertz = np.fft.rfftfreq(length, 1 / SAMPLE_RATE)
                spectrum = np.fft.rfft(noise) / np.sqrt(np.maximum(hertz, _LOWEST))
                noise = np.fft.irfft(spectrum, length).astype(np.float32)
        power = float(np.sqrt(np.mean(np.square(noise, dtype=np.float64))))
        scaled: Floats = noise / np.float32(max(power, 1e-12))
        return scaled


def recordings_in(folder: Path) -> dict[str, Floats]:
    """Name -> samples of the recordings of a folder and its sub-folders; silent ones are left out.

    Raises:
        NoInputError: there is none.
        InputError: one cannot be read.
    """
    found = {}
    for path in sorted(folder.rglob("*")):
        if (mimetypes.guess_type(path.name)[0] or "").startswith("audio/"):
            samples = samples_of(path)
            if samples.any():
                found[path.relative_to(folder).as_posix()] = samples
    if not found:
        raise NoInputError(
            f"{folder}: expected recordings of noise, found none", hint="name another --noise-folder"
        )
    return found


def noisy(clips: ClipSet, levels: Sequence[float], source: NoiseSource, folder: Path) -> tuple[ClipSet, ...]:
    """The recordings of a set with noise, a set for every kind and level; texts stay.

    The ratio holds between the mean powers of whole recordings. Files that are in `folder` from an earlier
    call are used again.

    Args:
        clips: what is spoken.
        levels: signal-to-noise ratios in dB.
        source: the noise.
        folder: of the 16-bit WAV files that are written.

    Raises:
        DistilError: a recording cannot be read.
    """
    from distilcli.edit import mix

    sets: dict[tuple[str, float], list[Clip]] = {
        (kind, level): [] for kind in source.kinds for level in levels
    }
    for clip in clips.clips:
        name, identity = Path(clip.path).stem, _identity(Path(clip.path))
        speech: Floats | None = None
        for kind in source.kinds:
            for level in levels:
                path = folder / f"{name}-{kind}-{level:g}dB-{source.digest(kind, identity)}.wav"
                sets[kind, level].append(replace(clip, path=str(path)))
                if not path.exists():
                    speech = samples_of(Path(clip.path)) if speech is None else speech
                    noise = source.make(kind, min(len(speech), _PERIOD), identity) * np.float32(0.1)
                    _write(path, mix(speech, noise, level))
    return tuple(
        ClipSet(name=noisy_name(clips.name, kind, level), clips=tuple(found), noise=kind, snr=level)
        for (kind, level), found in sets.items()
    )


def noisy_name(name: str, kind: str, level: float) -> str:
    """What a set of this name is called with noise at this level in dB."""
    return f"{name}, {kind} noise {level:g} dB"


def alone(source: NoiseSource, folder: Path, *, clips: int = 4, seconds: float = 30.0) -> ClipSet:
    """Noise in which nobody speaks, `clips` of every kind: each word that is heard in it is made up.

    The text of the clips is not known, as far as error rates go: there are no words to count them by.
    """
    found = []
    for kind in source.kinds:
        for number in range(clips):
            name = f"only {number} {seconds:g}"
            path = folder / f"only-{kind}-{number}-{source.digest(kind, name)}.wav"
            found.append(Clip(path=str(path), language="en", duration=seconds))
            if not path.exists():
                loudness = np.float32(10 ** (ALONE_DB / 20))
                _write(path, source.make(kind, round(seconds * SAMPLE_RATE), name) * loudness)
    return ClipSet(name="noise alone", clips=tuple(found), noise=" and ".join(source.kinds))


def samples_of(path: Path) -> Floats:
    """All samples of a recording, shape (n,), 16 kHz mono. Raises `InputError`."""
    from distilcli.audio import open_audio

    with open_audio(path) as audio:
        return audio.samples[0 : len(audio.samples)]


def _identity(path: Path) -> str:
    """Changes with the recording's name and content, as far as its size and time show it."""
    try:
        state = path.stat()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    return f"{path.name} {state.st_size} {state.st_mtime_ns}"


def _write(path: Path, samples: Floats) -> None:
    """Write a wav file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    write_wave(partial, np.clip(np.rint(samples * 32768), -32768, 32767).astype(np.int16))
    partial.replace(path)
