"""Changes of a window's sound, mel frames and spelling, all drawn from a given generator.

It knows samples, frames and token ids; it does not know windows, labels or epochs.
"""

from __future__ import annotations

import mimetypes
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from distilcli.audio import open_audio
from distilcli.edit import mix
from distilcli.errors import NoInputError
from distilcli.tokens import Tokenizer
from distilcli.trainer.recipe import AugmentOptions

Floats = NDArray[np.float32]

DAMAGED = "\N{REPLACEMENT CHARACTER}"


def change_speed(samples: Floats, speed: float) -> Floats:
    """Plays (n,) samples `speed` times as fast, pitch included: (round(n / speed),) float32.

    Band-limited: the spectrum is cut off or extended, as in scipy's `signal.resample`.
    """
    length = round(len(samples) / speed)
    if length == len(samples) or not length:
        return samples
    spectrum = np.fft.rfft(samples)
    kept = spectrum[: length // 2 + 1]
    played: Floats = np.fft.irfft(kept, length).astype(np.float32) * np.float32(length / len(samples))
    return played


def add_noise(samples: Floats, options: AugmentOptions, rng: np.random.Generator) -> Floats:
    """Mixes noise under a share of windows; white, or a stretch of a recording in `options.noise_folder`.

    The signal-to-noise ratio is drawn in dB between the two of `options.noise_snr`.

    Raises:
        NoInputError: the folder has no recordings.
        InputError: one of them cannot be read.
    """
    snr = float(rng.uniform(*options.noise_snr))
    if rng.random() >= options.noise_probability:
        return samples
    if not options.noise_folder:
        return mix(samples, rng.standard_normal(len(samples), dtype=np.float32) * np.float32(0.1), snr)
    recordings = _recordings(Path(options.noise_folder))
    noise = recordings[int(rng.integers(len(recordings)))]
    return mix(samples, np.roll(noise, -int(rng.integers(len(noise)))), snr)


@cache
def _recordings(folder: Path) -> tuple[Floats, ...]:
    """Returns the samples of every sound file in a folder, by name."""
    if not folder.is_dir():
        raise NoInputError(f"augment.noise_folder: there is no folder {folder}")
    found = []
    for path in sorted(folder.rglob("*")):
        if (mimetypes.guess_type(path.name)[0] or "").startswith("audio/"):
            with open_audio(path) as audio:
                found.append(np.array(audio.samples[0 : len(audio.samples)]))
    if not found:
        raise NoInputError(f"augment.noise_folder: no recordings in {folder}")
    return tuple(found)


def mask(mel: Floats, frames: int, options: AugmentOptions, rng: np.random.Generator) -> Floats:
    """Returns a copy of (mels, n) features with stretches of time and bands set to 0.

    SpecAugment (Park et al. 2019, arXiv:1904.08779). A mask leaves, as Transformers does it,
    the value of padding. Only the first `frames` are masked in time.
    """
    masked = mel.copy()
    for _ in range(options.spec_time_masks):
        start, end = _stretch(frames, options.spec_time_frames, rng)
        masked[:, start:end] = 0.0
    for _ in range(options.spec_mel_masks):
        start, end = _stretch(len(mel), options.spec_mel_bands, rng)
        masked[start:end] = 0.0
    return masked


def _stretch(length: int, longest: int, rng: np.random.Generator) -> tuple[int, int]:
    """Draws a stretch of up to `longest` inside `length`."""
    width = int(rng.integers(min(longest, length) + 1))
    start = int(rng.integers(length - width + 1))
    return start, start + width


class BpeDropout:
    """Leaves merges of the tokenizer out (Provilkov et al. 2020, arXiv:1910.13267).

    The merges that made a token are looked at from its letters upwards; where one is left out, its two parts
    stay apart, and so does everything that was to be merged with them. Merges that would take their place in
    the original are not tried. Tokens that are parts of a letter are kept.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._pairs: dict[int, tuple[int, int] | None] = {}

    def respell(
        self, tokens: tuple[int, ...], probability: float, rng: np.random.Generator
    ) -> tuple[int, ...]:
        """Returns tokens of the same text."""
        return tuple(part for token in tokens for part in self._respell(token, probability, rng))

    def _respell(self, token: int, probability: float, rng: np.random.Generator) -> tuple[int, ...]:
        if token not in self._pairs:
            self._pairs[token] = self._merged_of(token)
        pair = self._pairs[token]
        if pair is None:
            return (token,)
        left, right = (self._respell(part, probability, rng) for part in pair)
        if len(left) == len(right) == 1 and rng.random() >= probability:
            return (token,)
        return left + right

    def _merged_of(self, token: int) -> tuple[int, int] | None:
        """Returns the two tokens that spell a token and were learnt first; None: it is a letter."""
        text = self._tokenizer.decode([token])
        if DAMAGED in text:
            return None
        splits = [
            (left[0], right[0])
            for place in range(1, len(text))
            if len(left := self._tokenizer.encode(text[:place])) == 1
            and len(right := self._tokenizer.encode(text[place:])) == 1
        ]
        return min(splits, key=max, default=None)


@cache
def bpe_dropout(tokenizer: Tokenizer) -> BpeDropout:
    """Returns the dropout of a tokenizer; what it has looked up once it keeps."""
    return BpeDropout(tokenizer)
