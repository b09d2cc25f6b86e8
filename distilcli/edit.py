"""Cutting, joining and mixing of audio in memory with pydub. Reads and writes no file.

Arrays go in and come out as float32 in [-1, 1]; in between they are 32-bit integers, so that pydub's levels
are exact enough for quiet recordings. pydub counts milliseconds: positions become samples here.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from distilcli.types import SAMPLE_RATE, Span

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of an ffmpeg binary, which nothing here needs, and of audioop's age
    from pydub import AudioSegment
    from pydub.utils import db_to_float, ratio_to_db

Floats = NDArray[np.float32]

_FULL_SCALE = 2**31
_SAMPLE_BYTES = 4
_MARGIN = 0.01  # dB, for rounding


def mix(speech: Floats, noise: Floats, snr: float) -> Floats:
    """Speech with noise under it, `snr` in dB over the whole stretch; shapes (n,) and (m,) to (n,).

    The noise is repeated or cut to the length of the speech. A mixture that would clip is turned down as a
    whole, which leaves the ratio as it is. Speech or noise without any energy leaves the speech unchanged.
    """
    if not speech.any() or not noise.any():
        return speech
    voice, hiss = to_segment(speech), to_segment(np.resize(noise, len(speech)))
    gain = voice.dBFS - snr - hiss.dBFS
    loudest = (voice.max + hiss.max * db_to_float(gain)) / _FULL_SCALE  # at worst, if both peaks coincide
    headroom = max(0.0, ratio_to_db(loudest) + _MARGIN)
    return from_segment(_overlaid(voice.apply_gain(-headroom), hiss.apply_gain(gain - headroom)))


def cut(samples: Floats, span: Span) -> Floats:
    """The samples of a span, shape (n,); what lies behind the end is left out."""
    start, end = (round(seconds * SAMPLE_RATE) for seconds in (span.start, span.end))
    return from_segment(to_segment(samples).get_sample_slice(start, min(end, len(samples))))


def join(pieces: Sequence[Floats], *, silence: float = 0.0) -> tuple[Floats, tuple[Span, ...]]:
    """The pieces one after the other with `silence` seconds between them, and where each of them lies."""
    gap = to_segment(np.zeros(round(silence * SAMPLE_RATE), np.float32)).raw_data
    data = gap.join(to_segment(piece).raw_data for piece in pieces)
    step = len(gap) // _SAMPLE_BYTES
    spans, start = [], 0
    for piece in pieces:
        spans.append(Span(start / SAMPLE_RATE, (start + len(piece)) / SAMPLE_RATE))
        start += len(piece) + step
    return from_segment(_segment(data, 1)), tuple(spans)


def pick_channel(samples: Floats, channel: int) -> Floats:
    """One channel, counted from 0, of samples of shape (n, channels)."""
    return from_segment(to_segment(samples).split_to_mono()[channel])


def mix_channels(samples: Floats) -> Floats:
    """The mean of all channels, shape (n, channels) to (n,)."""
    mono = to_segment(samples).split_to_mono()
    quieter = [segment.apply_gain(ratio_to_db(1 / len(mono))) for segment in mono]
    return from_segment(reduce(_overlaid, quieter))


def to_segment(samples: Floats) -> AudioSegment:
    """16 kHz samples, shape (n,) or (n, channels), as pydub's segment of 32-bit integers."""
    scaled = np.round(samples.astype(np.float64) * _FULL_SCALE).clip(-_FULL_SCALE, _FULL_SCALE - 1)
    return _segment(scaled.astype(np.int32).tobytes(), 1 if samples.ndim == 1 else samples.shape[1])


def from_segment(segment: AudioSegment) -> Floats:
    """The samples of a 32-bit segment, shape (n,), or (n, channels) where it has several."""
    samples = np.frombuffer(segment.raw_data, np.int32).astype(np.float32) / np.float32(_FULL_SCALE)
    return samples if segment.channels == 1 else samples.reshape(-1, segment.channels)


def _overlaid(first: AudioSegment, second: AudioSegment) -> AudioSegment:
    """The sum of two mono segments of equal length, which pydub would cut to whole milliseconds."""
    padding = bytes(-len(first.raw_data) % (SAMPLE_RATE // 1000 * _SAMPLE_BYTES))
    padded = [_segment(segment.raw_data + padding, 1) for segment in (first, second)]
    return padded[0].overlay(padded[1]).get_sample_slice(0, int(first.frame_count()))


def _segment(data: bytes, channels: int) -> AudioSegment:
    return AudioSegment(data=data, sample_width=_SAMPLE_BYTES, frame_rate=SAMPLE_RATE, channels=channels)
