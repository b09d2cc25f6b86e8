"""Where a transcript is doubtful: flags of segments, and speech without words. Functions of values.

Knows no audio, no tokens and no model. What is done about a flag is up to `retry`, `batch` and the command.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from distilcli.config import QualityOptions
from distilcli.spans import intersection, joined, outside, total, union
from distilcli.text import letters, repeated, words
from distilcli.types import Segment, Span

_MEMORY = 150  # words: three times the longest phrase whose repetition is noticed
_HASTE = 0.5  # seconds by which a segment's times may be too short
_PAUSES = 5.0  # seconds of detected speech that may have no words: breath, laughter, a cough


@dataclass(frozen=True, slots=True)
class Known:
    """What is known about a recording besides its text.

    `speech` are the stretches where speech was detected, up to `padding` seconds longer at both ends than the
    speech in them; None means that nobody looked. `language` is that of the recording. `temperature` is the
    first one that a window is decoded at.
    """

    speech: tuple[Span, ...] | None = None
    padding: float = 0.0
    language: str | None = None
    temperature: float = 0.0

    def near(self, span: Span) -> Known:
        """The same with speech around `span` only: all that matters for what happens in it."""
        if self.speech is None:
            return self
        margin = 2 * self.padding
        first = bisect_left(self.speech, span.start - margin, key=lambda one: one.end)
        last = bisect_right(self.speech, span.end + margin, key=lambda one: one.start)
        return replace(self, speech=self.speech[first:last])


Test = Callable[[Segment, Sequence[Segment], Known, QualityOptions], bool]


def flags(
    segment: Segment, before: Sequence[Segment], known: Known, options: QualityOptions
) -> tuple[str, ...]:
    """The names of `TESTS` that a segment fails; `before` are those that precede it in the recording."""
    near = known.near(segment.span)
    return tuple(name for name, fails in TESTS.items() if fails(segment, before, near, options))


def _repetition(segment: Segment, before: Sequence[Segment], known: Known, options: QualityOptions) -> bool:
    """A loop inside of the segment, or one that has begun in those before: probability is high in both."""
    if options.flag_repeated_words is None:
        return False
    own = list(words(segment.text))
    past: list[tuple[str, float]] = []
    for one in reversed(before):
        if sum(share for _, share in past) >= _MEMORY:
            break
        past = [*words(one.text), *past]
    return repeated([*past, *own], since=len(past)) >= options.flag_repeated_words


def _low_probability(
    segment: Segment, before: Sequence[Segment], known: Known, options: QualityOptions
) -> bool:
    return options.flag_logprob is not None and segment.avg_logprob < options.flag_logprob


def _no_speech(segment: Segment, before: Sequence[Segment], known: Known, options: QualityOptions) -> bool:
    return options.flag_no_speech is not None and segment.no_speech_prob > options.flag_no_speech


def _outside_speech(
    segment: Segment, before: Sequence[Segment], known: Known, options: QualityOptions
) -> bool:
    return known.speech is not None and not intersection(_place(segment), known.speech)


def _rate(segment: Segment, before: Sequence[Segment], known: Known, options: QualityOptions) -> bool:
    """Too fast for its times; or too slow for the speech in them, which a stretched time alone never is."""
    said = letters(segment.text)
    if options.flag_max_rate is not None:
        seconds = segment.span.duration + _HASTE
        if said > options.flag_max_rate * seconds:
            return True
    if options.flag_min_rate is None or known.speech is None:
        return False
    heard = total(intersection((segment.span,), tight(known)))
    return said < options.flag_min_rate * (heard - _PAUSES)


def _fallback(segment: Segment, before: Sequence[Segment], known: Known, options: QualityOptions) -> bool:
    return segment.temperature > known.temperature


def _language(segment: Segment, before: Sequence[Segment], known: Known, options: QualityOptions) -> bool:
    return None not in (segment.language, known.language) and segment.language != known.language


TESTS: dict[str, Test] = {
    "repetition": _repetition,
    "low_probability": _low_probability,
    "no_speech": _no_speech,
    "outside_speech": _outside_speech,
    "rate": _rate,
    "fallback": _fallback,
    "language": _language,
}
"""Flag -> what raises it; the names are `config.FLAGS` without ``uncovered``."""


def acts(segment: Segment, options: QualityOptions) -> bool:
    """Whether something is to be done about one of a segment's flags."""
    return bool(set(segment.flags) & set(options.act_on))


def uncovered(
    segments: Iterable[Segment], known: Known, options: QualityOptions, within: Sequence[Span] | None = None
) -> tuple[Span, ...]:
    """Detected speech without words for `flag_uncovered` seconds or more, in order.

    A segment covers its words where their times are known, else all of its time; one without any letter
    covers nothing. `within` are the stretches to look at (None: all). Nothing where nobody looked for speech.
    """
    if known.speech is None or options.flag_uncovered is None:
        return ()
    speech = tight(known)
    if within is not None:
        speech = intersection(speech, within)
    if not speech:
        return ()
    spoken = (span for one in segments if letters(one.text) for span in _place(one))
    bare = intersection(speech, outside(union(spoken), speech[-1].end))
    return tuple(span for span in bare if span.duration >= options.flag_uncovered)


def doubt(segments: Sequence[Segment], known: Known, options: QualityOptions, window: Span) -> float:
    """Seconds of a window in flagged segments or, of detected speech, without words; as far as `act_on` says.

    The flags are those that the segments have as all that is known of the recording.
    """
    found: list[Span] = []
    for index, segment in enumerate(segments):
        judged = replace(segment, flags=flags(segment, segments[:index], known, options))
        if acts(judged, options):
            found.append(segment.span)
    if "uncovered" in options.act_on:
        found += uncovered(segments, known, options, (window,))
    return total(intersection(union(found), (window,)))


def tight(known: Known) -> tuple[Span, ...]:
    """Detected speech without the padding around it; neighbours that touch are one."""
    padded = joined(known.speech or (), 0.0)
    cut = (Span(span.start + known.padding, span.end - known.padding) for span in padded)
    return tuple(span for span in cut if span.start < span.end)


def _place(segment: Segment) -> tuple[Span, ...]:
    """When the words of a segment are spoken, as exactly as it is known."""
    return tuple(word.span for word in segment.words) or (segment.span,)
