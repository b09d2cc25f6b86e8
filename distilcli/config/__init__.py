"""Option objects: one frozen dataclass per owner, validated when made. Knows no file, model or flag.

The text under a field is its help text; command line defaults are read from here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

from distilcli.config.checks import changed
from distilcli.config.decoding import TASKS, ChunkedOptions, DecodeOptions, FallbackOptions, SequentialOptions
from distilcli.config.engine import EngineOptions
from distilcli.config.listening import LanguageOptions, LiveOptions, VadOptions
from distilcli.config.results import FLAGS, ON_FLAG, LineOptions, QualityOptions, WordOptions
from distilcli.errors import UsageError, closest

__all__ = [
    "CHANNELS",
    "FLAGS",
    "LONG_FORM",
    "ON_FLAG",
    "TASKS",
    "ChunkedOptions",
    "DecodeOptions",
    "EngineOptions",
    "FallbackOptions",
    "LanguageOptions",
    "LineOptions",
    "LiveOptions",
    "QualityOptions",
    "SequentialOptions",
    "TranscribeOptions",
    "VadOptions",
    "WordOptions",
    "changed",
]

LONG_FORM = ("auto", "sequential", "chunked")
CHANNELS = ("mix", "split")


@dataclass(frozen=True, kw_only=True, slots=True)
class TranscribeOptions:
    """Everything that decides the text of a transcript, given a model."""

    language: str | None = None
    """Code of the language spoken; None has it detected."""
    long_form: str = "auto"
    """auto, sequential or chunked; auto decodes one window once and longer recordings sequentially."""
    hotwords: str | None = None
    """Words that are likely to be said, such as names; every window is prompted with them."""
    prefix: str | None = None
    """Text that the first window goes on from, and does not repeat."""
    channels: str = "mix"
    """mix, split (each channel is a speaker of its own) or the number of the one that is wanted."""
    channel_names: tuple[str, ...] = ()
    """What the speakers of the channels are called, with commas; Channel 1, Channel 2, ... when not given."""
    clip_timestamps: tuple[float, ...] = ()
    """Decode only these clips: start,end,start,end,... in seconds; without a last end up to the end."""
    vad: VadOptions = field(default_factory=VadOptions)
    detection: LanguageOptions = field(default_factory=LanguageOptions)
    live: LiveOptions = field(default_factory=LiveOptions)
    decode: DecodeOptions = field(default_factory=DecodeOptions)
    fallback: FallbackOptions = field(default_factory=FallbackOptions)
    sequential: SequentialOptions = field(default_factory=SequentialOptions)
    chunked: ChunkedOptions = field(default_factory=ChunkedOptions)
    words: WordOptions = field(default_factory=WordOptions)
    quality: QualityOptions = field(default_factory=QualityOptions)

    def __post_init__(self) -> None:
        if self.long_form not in LONG_FORM:
            raise UsageError(
                f"--long-form must be one of {', '.join(LONG_FORM)}, not '{self.long_form}'"
                f"{closest(self.long_form, LONG_FORM)}"
            )
        if self.channels not in CHANNELS and not (self.channels.isdecimal() and int(self.channels) > 0):
            raise UsageError(
                f"--channels must be mix, split or a number from 1, not '{self.channels}'"
                f"{closest(self.channels, CHANNELS)}"
            )
        _check_clips(self.clip_timestamps)

    @property
    def looks_for_speech(self) -> bool:
        """Whether something was asked for that needs to know where speech is."""
        return self.vad.looks or self.quality.fill_gaps or self.quality.on_flag == "retry"


def _check_clips(times: tuple[float, ...]) -> None:
    """Refuse clips that are not in order and apart."""
    for number, (before, time) in enumerate(pairwise((0.0, *times))):
        if not (time > before if number % 2 else time >= before):
            raise UsageError(
                f"--clip-timestamps must be start,end,start,end,... in ascending seconds, "
                f"and {time:g} follows {before:g}"
            )
