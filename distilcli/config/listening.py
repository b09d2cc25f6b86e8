"""Options of what is done with the sound: where speech is, which language it is in, and when it is live."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from distilcli.config.checks import at_least
from distilcli.errors import UsageError


@dataclass(frozen=True, kw_only=True, slots=True)
class VadOptions:
    """Voice activity detection: where a recording has speech, and whether the rest is skipped.

    Source: faster-whisper's `VadOptions`, with the shorter of its two values for `min_silence_duration_ms`;
    how much silence is decoded is up to `max_gap_s` here.
    """

    filter: bool = False
    """Skip what has no speech."""
    detect: bool = False
    """Look for speech even where nothing is skipped, so that the transcript can be checked against it."""
    threshold: float = 0.5
    """A probability of speech from this on begins it."""
    neg_threshold: float | None = None
    """A probability under this ends speech; 0.15 under the threshold when not given."""
    min_speech_duration_ms: int = 0
    """Speech that is not longer than this is not speech."""
    max_speech_duration_s: float = math.inf
    """Cut speech that lasts longer at its last silence of 0.1 s."""
    min_silence_duration_ms: int = 160
    """Silence that lasts this long ends speech."""
    speech_pad_ms: int = 400
    """Speech is taken with this much before and after it."""
    max_gap_s: float = 2.0
    """Silence between two stretches of speech is skipped only when it is longer than this."""

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 1:
            raise UsageError(f"--vad-threshold must be above 0 and at most 1, not {self.threshold:g}")
        low = self.neg_threshold
        if low is not None and not 0 <= low <= self.threshold:
            raise UsageError(
                f"--vad-neg-threshold must lie between 0 and --vad-threshold, {self.threshold:g}, not {low:g}"
            )
        shortest = (2 * self.speech_pad_ms + 1000) / 1000
        if not self.max_speech_duration_s >= shortest:
            raise UsageError(
                f"--vad-max-speech-duration-s must be at least {shortest:g}, a second more than the padding, "
                f"not {self.max_speech_duration_s:g}"
            )
        for name in ("min_speech_duration_ms", "min_silence_duration_ms", "speech_pad_ms", "max_gap_s"):
            if not getattr(self, name) >= 0:
                raise UsageError(
                    f"--vad-{name.replace('_', '-')} must be at least 0, not {getattr(self, name):g}"
                )

    @property
    def looks(self) -> bool:
        """Whether speech is looked for."""
        return self.filter or self.detect

    @property
    def settings(self) -> tuple[tuple[str, float | None], ...]:
        """The numbers by which silence is skipped, by name."""
        switches = ("filter", "detect")
        return tuple((one.name, getattr(self, one.name)) for one in fields(self) if one.name not in switches)

    @property
    def thresholds(self) -> tuple[float, float]:
        """The probabilities that begin speech and that end it."""
        low = max(self.threshold - 0.15, 0.01) if self.neg_threshold is None else self.neg_threshold
        return self.threshold, low


@dataclass(frozen=True, kw_only=True, slots=True)
class LanguageOptions:
    """How the language is found when none is given."""

    candidates: tuple[str, ...] = ()
    """Languages that the recording can be in, with commas; any that the model knows when not given."""
    regions: int = 5
    """Listen to so many places of a long recording at most, and take the mean."""
    region_every: float = 120.0
    """Seconds of speech for each place beyond the first."""
    switch: float | None = None
    """Decode a window in another language when its own is at least this probable; never when not given."""

    def __post_init__(self) -> None:
        at_least(self, {"regions": 1, "region_every": 1})
        if self.switch is not None and not 0.5 < self.switch <= 1:
            raise UsageError(
                f"--language-switch must be a probability above 0.5 and at most 1, not {self.switch:g}"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class LiveOptions:
    """Transcribing while people speak: when a segment is final, and how often unfinished text is shown."""

    silence: float = 0.6
    """A silence of this many seconds ends an utterance, which is then final."""
    longest: float = 28.0
    """Speech without such a silence is cut after this many seconds, where it is quietest."""
    refresh: float = 1.0
    """Seconds of sound after which the unfinished text is decoded anew; 0 shows finished text only."""
    pad: float = 0.3
    """Seconds before and after the speech that the model hears too."""
    threshold: float = 0.5
    """A probability of speech from this on begins an utterance."""

    def __post_init__(self) -> None:
        at_least(self, {"silence": 0.1, "refresh": 0, "pad": 0})
        if not 2 <= self.longest <= 30:
            raise UsageError(f"--live-longest must be between 2 and 30 seconds, not {self.longest:g}")
        if not 0.15 < self.threshold <= 1:
            raise UsageError(f"--live-threshold must be above 0.15 and at most 1, not {self.threshold:g}")
