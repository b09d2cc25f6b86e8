"""Words with times: asks the backend when each token was spoken, and makes words of a segment's tokens.

Knows no runtime, no strategy and no format. The text is never changed, and neither is where a window begins.
Source: openai/whisper `whisper/timing.py`, whose rules and constants these are.
"""

from __future__ import annotations

import string
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from statistics import fmean, median

from distilcli.backends.base import Aligner
from distilcli.config import TranscribeOptions
from distilcli.longform.base import Decode, Flow, resumed
from distilcli.tokens import Tokenizer
from distilcli.types import Hypothesis, Segment, Span, Window, Word

WITHOUT_SPACES = frozenset(("zh", "ja", "th", "lo", "my", "yue"))
"""Languages that are written without spaces between words: every character is a word there."""

_SENTENCE_ENDS = ".。!！?？"
_LONGEST_MEDIAN = 0.7  # seconds; a typical word is not longer
_DOUBT = 0.5  # seconds; a word that reaches further than this beyond its segment is cut to it


def with_token_times(decode: Decode, aligner: Aligner, task: str) -> Decode:
    """A decode function whose hypotheses know when each of their text tokens was spoken."""

    def decode_timed(windows: Sequence[Window]) -> list[Hypothesis]:
        answers = decode(windows)
        spoken = [
            replace(window, language=answer.language or window.language)
            for window, answer in zip(windows, answers, strict=True)
        ]
        times = aligner.align(spoken, answers, task)
        return [replace(answer, words=words) for answer, words in zip(answers, times, strict=True)]

    return decode_timed


def with_words(flow: Flow, tokenizer: Tokenizer, options: TranscribeOptions, duration: float) -> Flow:
    """A flow whose segments have words in place of timed tokens, and last as long as their words.

    All times lie in the recording, `duration` seconds long, and never go back: where windows follow each
    other, words end at the latest where the next window begins.
    """
    maker = _WordMaker(tokenizer, options)
    step = next(flow, None)
    while step is not None:
        limit = min((window.span.start for window in step.need if not window.isolated), default=duration)
        ready = tuple(maker.settle(step.ready, limit))
        step = resumed(flow, (yield replace(step, ready=ready)))


def split_words(
    pieces: Iterable[tuple[str, tuple[int, ...]]], language: str | None
) -> list[tuple[str, tuple[int, ...]]]:
    """Texts and tokens of words, punctuation apart; joined, they are the pieces again.

    Args:
        pieces: characters or more, as `Tokenizer.pieces` returns them.
        language: decides whether spaces tell words apart.
    """
    words: list[tuple[str, tuple[int, ...]]] = []
    for text, tokens in pieces:
        begins = text.startswith(" ") or text.strip() in string.punctuation or language in WITHOUT_SPACES
        if begins or not words:
            words.append((text, tokens))
        else:
            words[-1] = (words[-1][0] + text, words[-1][1] + tokens)
    return words


@dataclass(slots=True)
class Timing:
    """A word on its way: times in seconds; without `text` once it has become a part of its neighbour."""

    text: str
    tokens: tuple[int, ...]
    start: float
    end: float
    probability: float

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.end - self.start


def merge_punctuation(words: Sequence[Timing], prepended: str, appended: str) -> list[Timing]:
    """Words with the marks that belong to them, which keep the word's own times and probability."""
    following = words[-1] if words else None
    for previous in reversed(words[:-1]):
        assert following is not None
        if previous.text.startswith(" ") and previous.text.strip() in prepended:
            following.text, following.tokens = (
                previous.text + following.text,
                previous.tokens + following.tokens,
            )
            previous.text, previous.tokens = "", ()
        else:
            following = previous
    kept = words[0] if words else None
    for mark in words[1:]:
        assert kept is not None
        if not kept.text.endswith(" ") and mark.text in appended:
            kept.text, kept.tokens = kept.text + mark.text, kept.tokens + mark.tokens
            mark.text, mark.tokens = "", ()
        else:
            kept = mark
    return [word for word in words if word.text]


@dataclass(slots=True)
class _WordMaker:
    """Makes words for the segments of one recording, in their order."""

    tokenizer: Tokenizer
    options: TranscribeOptions
    speech_end: float = 0.0
    """Where the segment before ended."""
    latest: float = 0.0
    """Where the word before ended."""

    def settle(self, segments: Iterable[Segment], limit: float) -> Iterator[Segment]:
        """The segments with their words, none after `limit`; those of one window are judged together."""
        for seek, group in groupby(segments, key=lambda segment: segment.seek):
            members = list(group)
            words = [self._timings(segment, seek) for segment in members]
            together = [word for part in words for word in part]
            typical = _typical_duration(together)
            _cut_at_sentence_ends(together, typical)
            for segment, timings in zip(members, words, strict=True):
                yield self._settled(segment, timings, typical, limit)

    def _timings(self, segment: Segment, seek: float) -> list[Timing]:
        """The words of a segment, punctuation apart, in seconds since `seek`."""
        times = iter(segment.words)
        language = "en" if self.options.decode.task == "translate" else segment.language
        pieces = self.tokenizer.pieces(self.tokenizer.vocab.text_tokens(segment.tokens))
        found = []
        for text, tokens in split_words(pieces, language) if segment.words else ():
            parts = [next(times) for _ in tokens]
            # The grid of the positions is coarser than these digits: they take back an addition's rounding.
            start, end = (round(at - seek, 2) for at in (parts[0].span.start, parts[-1].span.end))
            found.append(
                Timing(text, tokens, start, max(start, end), fmean(part.probability for part in parts))
            )
        return found

    def _settled(self, segment: Segment, timings: list[Timing], typical: float, limit: float) -> Segment:
        marks = self.options.words
        words = merge_punctuation(timings, marks.prepend_punctuations, marks.append_punctuations)
        if not words:
            return segment
        for word in words:
            word.start, word.end = round(segment.seek + word.start, 2), round(segment.seek + word.end, 2)
        self.speech_end = _cut_at_segment_ends(words, segment.span, typical, self.speech_end)
        for word in words:
            word.start = min(max(round(word.start, 2), self.latest), max(limit, self.latest))
            word.end = min(max(round(word.end, 2), word.start), max(limit, word.start))
            self.latest = word.end
        span = Span(words[0].start, words[-1].end)
        return replace(
            segment,
            # A segment of no length is no segment for players; the decoder's own times are one.
            span=span if span.duration > 0 else segment.span,
            words=tuple(
                Word(word.text, Span(word.start, word.end), word.probability, word.tokens) for word in words
            ),
        )


def _typical_duration(words: Iterable[Timing]) -> float:
    """The median of the durations above 0, in seconds; 0 where there are none."""
    durations = [word.duration for word in words if word.duration > 0]
    return min(_LONGEST_MEDIAN, median(durations)) if durations else 0.0


def _cut_at_sentence_ends(words: Sequence[Timing], typical: float) -> None:
    """A mark that ends a sentence, and the word after one, take no more of a pause than two words' time."""
    longest = 2 * typical
    for before, word in pairwise(words) if typical else ():
        if word.duration > longest:
            if word.text in _SENTENCE_ENDS:
                word.end = word.start + longest
            elif before.text in _SENTENCE_ENDS:
                word.start = word.end - longest


def _cut_at_segment_ends(words: Sequence[Timing], span: Span, typical: float, speech_end: float) -> float:
    """Cut the first and last words of a segment where they hold a pause; returns where its speech ends.

    Args:
        words: the segment's, in seconds of the recording; changed in place.
        span: when the decoder's timestamps say it was spoken.
        typical: median duration of a word around here.
        speech_end: where the segment before ended.
    """
    first, last, longest = words[0], words[-1], 2 * typical
    second = words[1] if len(words) > 1 else None
    slow = first.duration > longest or (second is not None and second.end - first.start > 2 * longest)
    if first.end - speech_end > 2 * longest and slow:
        if second is not None and second.duration > longest:
            first.end = second.start = max(second.end / 2, second.end - longest)
        first.start = max(0.0, first.end - longest)
    if first.start + _DOUBT < span.start < first.end:
        first.start = max(0.0, min(first.end - typical, span.start))
    if last.start < span.end < last.end - _DOUBT:
        last.end = max(last.start + typical, span.end)
        return span.end
    return last.end
