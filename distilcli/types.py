"""The values that flow between rooms: audio, windows, hypotheses, segments, transcripts.

Frozen, standard library only. Knows nothing about files, models or output formats.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SAMPLE_RATE = 16_000
"""Samples per second of every `Audio`; the rate all Whisper models were trained on."""

FRAMES_PER_SECOND = 100
"""Log-mel frames per second (hop of 160 samples)."""

WINDOW_SECONDS = 30.0
"""Longest stretch that the encoder sees at once."""


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time in seconds, ``start <= end``."""

    start: float
    end: float

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.end - self.start


class Samples(Protocol):
    """Mono samples at 16 kHz that may live on disk: nothing may assume that they fit in memory."""

    def __len__(self) -> int: ...

    def __getitem__(self, window: slice, /) -> NDArray[np.float32]:
        """Samples of the slice, shape (n,), float32 in [-1, 1]."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Audio:
    """One recording: 16 kHz mono samples, shape (n,), possibly on disk.

    `log_mel_peak` maps a number of mel bands to the largest log10 mel power of the whole recording, the one
    global quantity of Whisper's features (everything under ``peak - 8`` is clamped). The decoding pass fills
    it; `features` computes what is missing. `speech` holds the stretches that the voice activity detection
    found, in order and apart; None means that nobody looked. `digest` is the hash of the samples, empty for
    those that were not read by `open_audio`.
    """

    name: str
    samples: Samples
    log_mel_peak: dict[int, float] = field(default_factory=dict)
    speech: tuple[Span, ...] | None = None
    digest: str = ""

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return len(self.samples) / SAMPLE_RATE


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """At most 30 s of an `Audio` to be decoded at once.

    `span` is in seconds of the recording, on the 10 ms grid of the features. `prompt` holds token ids of
    previous text, without the start-of-previous token. `language` is a code such as ``en``; None asks the
    pipeline to detect it. An `isolated` window is treated as a recording of its own: its features see neither
    the neighbouring samples nor the recording's peak (Transformers' chunked algorithm). `hotwords` are ids in
    front of the prompt, `prefix` those of text that the decoder goes on from.
    """

    audio: Audio
    span: Span
    prompt: tuple[int, ...] = ()
    language: str | None = None
    isolated: bool = False
    hotwords: tuple[int, ...] = ()
    prefix: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """What the decoder wrote for one `Window`.

    `tokens` are text and timestamp ids without prompt and end-of-text; timestamps are relative to the window.
    `avg_logprob` is in nats per token, end-of-text included (openai/whisper's definition). `words`, where
    they were asked for, are its text tokens one by one, without texts and in seconds of the window: words are
    made of them last (`distilcli.words`). `tried` names the attempts that were made before this one was kept.
    """

    tokens: tuple[int, ...]
    avg_logprob: float
    no_speech_prob: float
    temperature: float = 0.0
    language: str | None = None
    words: tuple[Word, ...] = ()
    tried: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Word:
    """One word with its probability, made of the text `tokens`.

    `span` is in seconds of the window in a `Hypothesis`, and in seconds of the recording in a `Segment`.
    """

    text: str
    span: Span
    probability: float
    tokens: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Segment:
    """A final piece of the transcript; `span` and `seek` (its window's start) in seconds of the recording.

    `flags` name reasons for doubt (`distilcli.quality`), `tried` what was done about them; `speaker` is the
    label of an audio channel.
    """

    text: str
    span: Span
    tokens: tuple[int, ...] = ()
    seek: float = 0.0
    temperature: float = 0.0
    avg_logprob: float = 0.0
    compression_ratio: float = 0.0
    no_speech_prob: float = 0.0
    language: str | None = None
    words: tuple[Word, ...] = ()
    flags: tuple[str, ...] = ()
    tried: tuple[str, ...] = ()
    speaker: str | None = None


@dataclass(frozen=True, slots=True)
class Transcript:
    """Everything that is known about one recording after transcription.

    `language` is a code; `duration` is the recording's length in seconds; `complete` is False for what was
    saved when the run was interrupted. `speech` are the stretches with speech (None: nobody looked),
    `uncovered` those of them that have no words. `skipped` are the stretches that were not decoded, and `vad`
    the settings by which silence was skipped; `dropped` are segments that were taken out for their flags.
    """

    segments: tuple[Segment, ...]
    language: str | None
    duration: float
    model: str = ""
    backend: str = ""
    task: str = "transcribe"
    complete: bool = True
    speech: tuple[Span, ...] | None = None
    uncovered: tuple[Span, ...] = ()
    skipped: tuple[Span, ...] = ()
    vad: tuple[tuple[str, float | None], ...] = ()
    dropped: tuple[Segment, ...] = ()

    @property
    def text(self) -> str:
        """The text of all segments, joined as the model wrote it."""
        return "".join(segment.text for segment in self.segments).strip()
