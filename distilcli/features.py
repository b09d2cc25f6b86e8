"""Log-mel features of windows and of whole arrays: the only mel code. Knows no file, model or torch.

Definition: openai/whisper `log_mel_spectrogram` with 160 samples of padding, as in faster-whisper's
`FeatureExtractor` (the same operations in the same order, so that the values are the same); for isolated
windows, Transformers' `WhisperFeatureExtractor`. Both raise every power to 8 decades under the largest one:
that of the whole recording in the first, that of the window in the second.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from distilcli.types import FRAMES_PER_SECOND, SAMPLE_RATE, WINDOW_SECONDS, Audio, Samples, Window

Floats = NDArray[np.float32]

N_FFT = 400
"""Samples in one frame (25 ms)."""

HOP = SAMPLE_RATE // FRAMES_PER_SECOND
"""Samples between the centres of two frames (10 ms)."""

WINDOW_FRAMES = int(WINDOW_SECONDS * FRAMES_PER_SECOND)
WINDOW_SAMPLES = WINDOW_FRAMES * HOP

_HALF = N_FFT // 2
_FLOOR = 1e-10  # smallest mel power before the logarithm
_DYNAMIC_RANGE = 8.0  # decades
_BLOCK = 500  # frames per transform: they fit the second-level cache, where the FFT is 2.5 times as fast
_LOUDEST = 100  # frames per transform in the search for the peak
_NEIGHBOURS = 8  # filters per matrix product
_HANN = np.hanning(N_FFT + 1)[:-1].astype(np.float32)


def log_mel(window: Window, n_mels: int) -> Floats:
    """The features of one window, shape (n_mels, 3000), float32.

    Equal to the same columns of the whole recording's features, and 0 behind the window's end. An isolated
    window gets the features of its samples alone, padded with silence. Fills `Audio.log_mel_peak` where it
    lacks `n_mels`.
    """
    if window.isolated:
        return _isolated(window, n_mels)
    samples = window.audio.samples
    start = round(window.span.start * FRAMES_PER_SECOND)
    end = min(round(window.span.end * FRAMES_PER_SECOND), start + WINDOW_FRAMES, len(samples) // HOP)
    features = np.zeros((n_mels, WINDOW_FRAMES), np.float32)
    if start < end:
        powers = _log_powers(_stretch(samples, start, end), n_mels)
        features[:, : end - start] = _clamp(powers, peak(window.audio, n_mels))
    return features


def log_mel_whole(samples: Samples, n_mels: int) -> Floats:
    """The features of all samples at once, shape (n_mels, len(samples) // 160), float32, not padded."""
    frames = len(samples) // HOP
    powers = _log_powers(_stretch(samples, 0, frames + 1), n_mels)
    return _clamp(powers, float(powers.max()))[:, :frames]


def peak(audio: Audio, n_mels: int) -> float:
    """The largest log10 mel power of the whole recording, kept in `Audio.log_mel_peak` once it is known."""
    if n_mels not in audio.log_mel_peak:
        audio.log_mel_peak[n_mels] = _find_peak(audio.samples, n_mels)
    return audio.log_mel_peak[n_mels]


@cache
def mel_filters(n_mels: int) -> Floats:
    """Triangular filters of equal area, shape (n_mels, 201), on Slaney's mel scale from 0 to 8000 Hz.

    The scale is linear under 1000 Hz (200/3 Hz per mel) and logarithmic above (27 mels per factor of 6.4), as
    in librosa `filters.mel`.
    """
    mels = np.linspace(0.0, 15.0 + 27.0 * np.log(8.0) / np.log(6.4), n_mels + 2)
    edges = np.where(mels < 15.0, mels * 200.0 / 3.0, 1000.0 * np.exp((mels - 15.0) * np.log(6.4) / 27.0))
    distance = edges[:, None] - np.fft.rfftfreq(N_FFT, 1.0 / SAMPLE_RATE)  # (n_mels + 2, 201) Hz
    widths = np.diff(edges)[:, None]
    rising, falling = -distance[:-2] / widths[:-1], distance[2:] / widths[1:]
    areas = (edges[2:] - edges[:-2])[:, None] / 2.0
    filters: Floats = (np.maximum(0.0, np.minimum(rising, falling)) / areas).astype(np.float32)
    filters.setflags(write=False)  # one array for all callers
    return filters


def _stretch(samples: Samples, start: int, end: int) -> Floats:
    """The samples under frames start to end - 1, with the recording mirrored at 0 and silence after its end.

    Frame i is centred on sample 160 i. Reflection at the end would only repeat the 160 samples of silence
    that the definition appends.
    """
    first, last = start * HOP - _HALF, (end - 1) * HOP + _HALF
    stretch = np.zeros(last - first, np.float32)
    inside = samples[max(first, 0) : max(last, 0)]
    offset = max(-first, 0)
    stretch[offset : offset + len(inside)] = inside
    if first < 0:
        mirrored = samples[1 : 1 + offset][::-1]
        stretch[offset - len(mirrored) : offset] = mirrored
    return stretch


@cache
def _bands(n_mels: int) -> tuple[tuple[slice, slice, Floats], ...]:
    """The filters in groups of neighbours: rows, the frequencies that they hear, their weights there."""
    filters = mel_filters(n_mels)
    bands = []
    for first in range(0, n_mels, _NEIGHBOURS):
        rows = slice(first, first + _NEIGHBOURS)
        heard = np.flatnonzero(filters[rows].any(axis=0))
        frequencies = slice(int(heard[0]), int(heard[-1]) + 1)
        bands.append((rows, frequencies, np.ascontiguousarray(filters[rows, frequencies].T)))
    return tuple(bands)


def _mel_powers(frames: Floats, n_mels: int) -> Floats:
    """Mel powers of frames, shape (n, 400) to (n_mels, n).

    Neighbouring filters hear few of the 201 frequencies, so their products are a tenth of the product with
    all filters. They are also too small for BLAS to wake its threads, which would go on spinning while a
    model's own threads begin to encode.
    """
    spectrum = np.fft.rfft(frames * _HANN, axis=-1).astype(np.complex64, copy=False)  # (n, 201)
    powers = np.square(spectrum.real) + np.square(spectrum.imag)
    mel = np.empty((n_mels, len(frames)), np.float32)
    for rows, frequencies, weights in _bands(n_mels):
        mel[rows] = (powers[:, frequencies] @ weights).T
    return mel


def _log_powers(stretch: Floats, n_mels: int) -> Floats:
    """log10 of the mel powers of all frames in a stretch of samples, shape (n_mels, frames)."""
    frames = sliding_window_view(stretch, N_FFT)[::HOP]
    powers = np.empty((n_mels, len(frames)), np.float32)
    for first in range(0, len(frames), _BLOCK):
        mel = _mel_powers(frames[first : first + _BLOCK], n_mels)
        powers[:, first : first + _BLOCK] = np.log10(np.maximum(mel, np.float32(_FLOOR)))
    return powers


def _clamp(powers: Floats, largest: float) -> Floats:
    clamped = np.maximum(powers, np.float32(largest - _DYNAMIC_RANGE))
    scaled: Floats = (clamped + np.float32(4.0)) / np.float32(4.0)
    return scaled


def _isolated(window: Window, n_mels: int) -> Floats:
    start, end = (round(seconds * SAMPLE_RATE) for seconds in (window.span.start, window.span.end))
    samples = window.audio.samples[start : min(end, start + WINDOW_SAMPLES)]
    padded = np.pad(np.pad(samples, (0, WINDOW_SAMPLES - len(samples))), _HALF, mode="reflect")
    # Frames that see nothing but padding need no transform.
    frames = min(WINDOW_FRAMES, (len(samples) + _HALF - 1) // HOP + 1)
    powers = np.full((n_mels, WINDOW_FRAMES), np.log10(_FLOOR), np.float32)
    powers[:, :frames] = _log_powers(padded[: (frames - 1) * HOP + N_FFT], n_mels)
    return _clamp(powers, float(powers.max()))


def _find_peak(samples: Samples, n_mels: int) -> float:
    """The largest log10 mel power of all frames, reading 30 s at a time.

    Few frames need a transform. By Parseval's theorem a mel power is at most the largest filter weight times
    half the transform's length times the energy of the windowed frame, so a frame whose bound is under the
    largest power found so far cannot exceed it.
    """
    pieces = (
        _HANN.reshape(-1, HOP // 2).max(axis=1) ** 2
    )  # an upper bound of the squared window per 80 samples
    scale = float(mel_filters(n_mels).max()) * N_FFT / 2 * 1.001  # with room for rounding
    n_frames = len(samples) // HOP + 1
    largest = np.float32(_FLOOR)
    for start in range(0, n_frames, WINDOW_FRAMES):
        stretch = _stretch(samples, start, min(start + WINDOW_FRAMES, n_frames))
        quarters = stretch.reshape(-1, HOP // 2)
        energies = np.einsum("ij,ij->i", quarters, quarters)
        bounds = scale * (sliding_window_view(energies, len(pieces))[::2] @ pieces)
        frames = sliding_window_view(stretch, N_FFT)[::HOP]
        loudest_first = np.argsort(-bounds)
        for first in range(0, len(frames), _LOUDEST):
            chosen = loudest_first[first : first + _LOUDEST]
            if bounds[chosen[0]] <= largest:
                break
            largest = max(largest, _mel_powers(frames[chosen], n_mels).max())
    return float(np.log10(largest))
