"""Options of decoding one window, and of the strategies that cut long recordings into windows."""

from __future__ import annotations

from dataclasses import dataclass

from distilcli.config.checks import at_least
from distilcli.errors import UsageError

TASKS = ("transcribe", "translate")


@dataclass(frozen=True, kw_only=True, slots=True)
class DecodeOptions:
    """How one window is decoded. No retries and no long-form: those belong to others."""

    task: str = "transcribe"
    """transcribe, or translate into English."""
    timestamps: bool = True
    """Let the decoder write timestamp tokens."""
    beam_size: int = 5
    """Beams of the search at temperature 0; 1 is greedy."""
    patience: float = 1.0
    """Beam search goes on until beam_size × patience hypotheses have ended."""
    best_of: int = 5
    """Candidates at temperatures above 0."""
    length_penalty: float = 1.0
    """Exponent of the length that beam scores are divided by."""
    temperature: float = 0.0
    """0 searches, above 0 samples."""
    repetition_penalty: float = 1.0
    """Above 1 makes tokens that were already written less likely."""
    no_repeat_ngram_size: int = 0
    """Forbid repeating n-grams of this many tokens; 0 allows them."""
    suppress_blank: bool = True
    """Do not start with a space or the end of the text."""
    suppress_tokens: tuple[int, ...] = (-1,)
    """Token ids that are never written; -1 stands for the symbols that are not speech."""
    max_initial_timestamp: float = 1.0
    """The first timestamp is no later than this, in seconds."""
    max_new_tokens: int | None = None
    """Longest hypothesis in tokens; None leaves it to the model's context."""

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise UsageError(f"--task must be transcribe or translate, not '{self.task}'")
        at_least(
            self,
            {
                "beam_size": 1,
                "best_of": 1,
                "temperature": 0,
                "no_repeat_ngram_size": 0,
                "max_initial_timestamp": 0,
                "max_new_tokens": 1,
            },
        )
        if self.patience <= 0 or self.repetition_penalty <= 0:
            raise UsageError("--patience and --repetition-penalty must be above 0")


@dataclass(frozen=True, kw_only=True, slots=True)
class FallbackOptions:
    """When a window is decoded again at a higher temperature, and when it counts as silence.

    Source: openai/whisper `decode_with_fallback` and the no-speech check of `transcribe`.
    """

    temperatures: tuple[float, ...] = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    """Temperatures in the order in which they are tried."""
    compression_ratio_threshold: float | None = 2.4
    """Text that compresses better than this repeats itself: try again."""
    logprob_threshold: float | None = -1.0
    """An average log-probability under this means doubt: try again."""
    no_speech_threshold: float | None = 0.6
    """Above this, with a log-probability under its threshold, the window is silence and has no text."""

    def __post_init__(self) -> None:
        if not self.temperatures or any(temperature < 0 for temperature in self.temperatures):
            raise UsageError("--temperature needs at least one value, and none below 0")


@dataclass(frozen=True, kw_only=True, slots=True)
class SequentialOptions:
    """The sliding window of the Whisper paper, section 3.8."""

    condition_on_previous_text: bool = True
    """Prompt the decoder with the text so far. Off by default for Distil models, which repeat with it."""
    prompt_reset_on_temperature: float = 0.5
    """Forget the text so far after a window that needed a temperature above this."""
    initial_prompt: str | None = None
    """Text before the first window: names, spelling, style."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ChunkedOptions:
    """Overlapping windows, merged by their longest common sequence (Distil-Whisper paper, section 5)."""

    chunk_length: float = 25.0
    """Window length in seconds, at most 30."""
    stride: float | None = None
    """Overlap on each side in seconds; None is a sixth of the window."""
    batch_size: int = 8
    """Windows that are decoded together."""
    refill: bool = True
    """Decode the rest of a window again when its text stops before the overlap with the next one."""

    def __post_init__(self) -> None:
        at_least(self, {"chunk_length": 1, "batch_size": 1, "stride": 0})
        if self.chunk_length > 30:
            raise UsageError(f"--chunk-length is at most 30 seconds, not {self.chunk_length:g}")
        if 2 * self.overlap >= self.chunk_length:
            raise UsageError(
                f"--stride must be less than half of --chunk-length, "
                f"not {self.overlap:g} of {self.chunk_length:g}"
            )

    @property
    def overlap(self) -> float:
        """Overlap on each side in seconds."""
        return self.chunk_length / 6 if self.stride is None else self.stride
