"""Options of what is done with the text: doubts, words and lines."""

from __future__ import annotations

from dataclasses import dataclass

from distilcli.config.checks import at_least, changed
from distilcli.errors import UsageError, closest

FLAGS = (
    *("repetition", "low_probability", "no_speech", "outside_speech", "rate", "fallback", "language"),
    "uncovered",
)
ON_FLAG = ("keep", "retry", "drop", "fail")


@dataclass(frozen=True, kw_only=True, slots=True)
class QualityOptions:
    """What counts as doubtful (`distilcli.quality`) and what is done about it. None switches a flag off."""

    on_flag: str = "keep"
    """What to do about doubtful text: keep it, retry its window, drop it, or fail with exit code 8."""
    act_on: tuple[str, ...] = (
        *("repetition", "low_probability", "no_speech", "outside_speech", "rate", "uncovered"),
    )
    """The flags that --on-flag is for, with commas; uncovered is speech without words."""
    fill_gaps: bool = False
    """Decode detected speech that has no words once more, alone."""
    retry_shift: float = 5.0
    """Seconds by which retry moves a window."""
    flag_repeated_words: int | None = 10
    """repetition: as many words do nothing but repeat those before them, the third time or more."""
    flag_logprob: float | None = -1.0
    """low_probability: an average log-probability under this."""
    flag_no_speech: float | None = 0.6
    """no_speech: text in a window with a probability of silence above this."""
    flag_max_rate: float | None = 30.0
    """rate: more letters per second than anybody speaks."""
    flag_min_rate: float | None = 1.0
    """rate: fewer letters per second of detected speech than anybody speaks."""
    flag_uncovered: float | None = 2.0
    """uncovered: as many seconds of detected speech without words."""

    def __post_init__(self) -> None:
        if self.on_flag not in ON_FLAG:
            raise UsageError(
                f"--on-flag must be one of {', '.join(ON_FLAG)}, not '{self.on_flag}'"
                f"{closest(self.on_flag, ON_FLAG)}"
            )
        unknown = next((name for name in self.act_on if name not in FLAGS), None)
        if unknown is not None:
            raise UsageError(f"--act-on takes {', '.join(FLAGS)}, not '{unknown}'{closest(unknown, FLAGS)}")
        limits = {name: 0 for name in ("retry_shift", "flag_no_speech", "flag_max_rate", "flag_min_rate")}
        at_least(self, {**limits, "flag_repeated_words": 1, "flag_uncovered": 0})


@dataclass(frozen=True, kw_only=True, slots=True)
class WordOptions:
    """Whether words are timed, and which marks belong to a word. The names are openai/whisper's."""

    word_timestamps: bool = False
    """Time every word, from the attention of the decoder."""
    prepend_punctuations: str = "\"'“¿([{-"
    """Marks that belong to the word after them."""
    append_punctuations: str = "\"'.。,，!！?？:：”)]}、"
    """Marks that belong to the word before them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LineOptions:
    """How words are put on the lines of subtitles. The names and their effects are openai/whisper's."""

    max_line_width: int | None = None
    """Letters in a line of subtitles at most."""
    max_line_count: int | None = None
    """Lines in a subtitle at most; needs --max-line-width."""
    max_words_per_line: int | None = None
    """Words in a subtitle at most."""
    highlight_words: bool = False
    """Underline each word while it is spoken."""

    def __post_init__(self) -> None:
        at_least(self, {"max_line_width": 1, "max_line_count": 1, "max_words_per_line": 1})
        if self.max_line_count is not None and self.max_line_width is None:
            raise UsageError(
                "--max-line-count has no effect without --max-line-width", hint="add --max-line-width 42"
            )

    @property
    def needs_words(self) -> bool:
        """Whether any of them was asked for."""
        return bool(changed(self))
