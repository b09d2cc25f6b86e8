"""Which stretches of a recording are decoded: those asked for, those with speech, or both. Knows seconds."""

from __future__ import annotations

import math

from distilcli.config import TranscribeOptions
from distilcli.spans import intersection, joined, outside
from distilcli.types import FRAMES_PER_SECOND, Audio, Span


def clips(audio: Audio, options: TranscribeOptions) -> tuple[Span, ...] | None:
    """The stretches to decode, in order and apart; None is the whole recording.

    With ``vad.filter``, speech is joined over its short gaps, and what lies outside of it is left out.
    """
    speech, wanted = _speech(audio, options), asked(audio, options)
    if speech is None or wanted is None:
        return wanted if speech is None else speech
    return intersection(speech, wanted)


def silences(audio: Audio, options: TranscribeOptions) -> tuple[Span, ...]:
    """The stretches that are not decoded although they were asked for: they have no speech."""
    speech, wanted = _speech(audio, options), asked(audio, options)
    if speech is None:
        return ()
    rest = outside(speech, audio.duration)
    return rest if wanted is None else intersection(rest, wanted)


def asked(audio: Audio, options: TranscribeOptions) -> tuple[Span, ...] | None:
    """The clips that the options name, without what lies behind the recording's end; None asks for all.

    ``clip_timestamps`` are starts and ends in turns, as in openai/whisper; without a last end, the last clip
    ends with the recording.
    """
    if not options.clip_timestamps:
        return None
    borders = [min(time, audio.duration) for time in options.clip_timestamps]
    if len(borders) % 2:
        borders.append(audio.duration)
    pairs = zip(borders[::2], borders[1::2], strict=True)
    return tuple(Span(start, end) for start, end in pairs if start < end)


def _speech(audio: Audio, options: TranscribeOptions) -> tuple[Span, ...] | None:
    """The speech outside of which nothing is decoded; None where silence is decoded too."""
    if not options.vad.filter:
        return None
    assert audio.speech is not None, "the recording was opened without voice activity detection"
    frames = [  # outwards on the grid of the features
        Span(
            math.floor(span.start * FRAMES_PER_SECOND) / FRAMES_PER_SECOND,
            min(math.ceil(span.end * FRAMES_PER_SECOND) / FRAMES_PER_SECOND, audio.duration),
        )
        for span in audio.speech
    ]
    return joined(frames, options.vad.max_gap_s)
