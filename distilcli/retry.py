"""Windows whose text is doubtful are decoded again: without previous text, cut elsewhere, cropped to speech.

The score of an attempt is the seconds of its window that stay in doubt (`quality.doubt`): in segments with a
flag that is acted on, or in detected speech without words. The first attempt that leaves no doubt is kept,
else the one that leaves the least in whole seconds, and the likelier one where two leave the same. One
without words is never kept. Knows no strategy and no backend.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from distilcli.config import FallbackOptions, QualityOptions, TranscribeOptions
from distilcli.longform.base import Decode
from distilcli.longform.segments import is_silent, segment, split
from distilcli.quality import Known, doubt, tight
from distilcli.spans import intersection, joined, outside
from distilcli.tokens import SECONDS_PER_TIMESTAMP, Tokenizer, Vocab
from distilcli.types import Hypothesis, Segment, Span, Window

AS_USUAL = "as usual"

_STEP = SECONDS_PER_TIMESTAMP
_APART = 1.0  # seconds of silence between two stretches of speech that are decoded on their own
_SHORTEST = 0.2  # seconds; less holds no word

Recut = Callable[[Window, Known, QualityOptions], list[Window]]
"""What to decode in place of a window, in order; nothing where the attempt would change nothing."""


def with_retry(decode: Decode, tokenizer: Tokenizer, options: TranscribeOptions) -> Decode:
    """A decode function that makes the `ATTEMPTS` in turn for the windows whose text is doubtful.

    What was tried, and how much doubt it left, is in `Hypothesis.tried`.
    """

    def decode_and_retry(windows: Sequence[Window]) -> list[Hypothesis]:
        answers = decode(windows)
        cases = [_Case(window, tokenizer, options) for window in windows]
        for case, answer in zip(cases, answers, strict=True):
            case.add(AS_USUAL, [case.window], [answer])
        for name, recut in ATTEMPTS.items():
            asked = [(case, case.recut(recut)) for case in cases if case.is_doubtful]
            asked = [(case, parts) for case, parts in asked if parts]
            found = iter(_decoded([part for _, parts in asked for part in parts], decode, len(windows)))
            for case, parts in asked:
                case.add(name, parts, [next(found) for _ in parts])
        return [case.best() for case in cases]

    return decode_and_retry


def _alone(window: Window, known: Known, options: QualityOptions) -> list[Window]:
    """The window without the text before it."""
    return [replace(window, prompt=())] if window.prompt else []


def _shifted(window: Window, known: Known, options: QualityOptions) -> list[Window]:
    """The window from a later time on, and before it what lies before that: in a pause, where one is near."""
    shift, length = options.retry_shift, window.span.duration
    if not 0 < shift < length / 2:
        return []
    if known.speech is not None:
        silences = intersection(outside(tight(known), window.span.end), (window.span,))
        middles = [(one.start + one.end) / 2 - window.span.start for one in silences]
        near = [at for at in middles if 0 < at < 2 * shift]
        shift = min(near, key=lambda at: abs(at - shift), default=shift)
    at = window.span.start + shift
    parts = [Span(window.span.start, at), Span(at, window.span.end)]
    if known.speech is not None:
        parts = [part for part in parts if intersection((part,), known.speech)]
    return _parts(window, parts)


def _cropped(window: Window, known: Known, options: QualityOptions) -> list[Window]:
    """The stretches of speech in the window, each alone."""
    speech = intersection(joined(known.speech or (), _APART), (window.span,))
    return [] if speech == (window.span,) else _parts(window, speech)


ATTEMPTS: dict[str, Recut] = {
    "without previous text": _alone,
    "shifted": _shifted,
    "cropped to speech": _cropped,
}
"""What is tried, in this order, until a window is beyond doubt."""


def _parts(window: Window, spans: Sequence[Span]) -> list[Window]:
    """Windows without previous text that begin a whole number of timestamps after `window`."""
    start = window.span.start
    steps = [int((span.start - start) / _STEP + 0.5) for span in spans]
    cut = [Span(round(start + step * _STEP, 4), span.end) for step, span in zip(steps, spans, strict=True)]
    return [replace(window, span=span, prompt=()) for span in cut if span.duration >= _SHORTEST]


def _decoded(windows: list[Window], decode: Decode, at_once: int) -> list[Hypothesis]:
    """One hypothesis per window, with at most `at_once` of them in each call."""
    starts = range(0, len(windows), at_once)
    return [answer for start in starts for answer in decode(windows[start : start + at_once])]


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One answer to a window and the seconds that it leaves in doubt; None for an answer without words."""

    name: str
    answer: Hypothesis
    doubt: float | None

    def told(self, kept: bool) -> str:
        """What `Hypothesis.tried` says of it."""
        left = "no words" if self.doubt is None else f"{self.doubt:.1f} s in doubt"
        return f"{self.name}: {left}{' (kept)' if kept else ''}"


class _Case:
    """A window and the attempts at it, the usual one first."""

    def __init__(self, window: Window, tokenizer: Tokenizer, options: TranscribeOptions) -> None:
        self.window, self._tokenizer, self._options = window, tokenizer, options
        padding, usual = options.vad.speech_pad_ms / 1000, options.fallback.temperatures[0]
        self._known = Known(window.audio.speech, padding, temperature=usual).near(window.span)
        self._attempts: list[_Attempt] = []

    @property
    def is_doubtful(self) -> bool:
        """Whether text was written, and all of it so far leaves doubt."""
        return self._attempts[0].doubt is not None and all(one.doubt != 0 for one in self._attempts)

    def recut(self, recut: Recut) -> list[Window]:
        """What to decode in place of the window."""
        return recut(self.window, self._known, self._options.quality)

    def add(self, name: str, parts: list[Window], answers: list[Hypothesis]) -> None:
        """Judge the answers to the parts of the window as one."""
        answer = whole(self.window, parts, answers, self._tokenizer.vocab, self._options.fallback)
        segments = _segments(self.window, answer, self._tokenizer, self._options.fallback)
        seconds = doubt(segments, self._known, self._options.quality, self.window.span)
        self._attempts.append(_Attempt(name, answer, seconds if segments else None))

    def best(self) -> Hypothesis:
        """The answer with the best score; it says what was tried where anything was."""
        if len(self._attempts) == 1:
            return self._attempts[0].answer
        scores = [
            (one.doubt > 0, round(one.doubt), -one.answer.avg_logprob, number)
            for number, one in enumerate(self._attempts)
            if one.doubt is not None
        ]
        kept = min(scores)[-1]
        tried = tuple(one.told(number == kept) for number, one in enumerate(self._attempts))
        return replace(self._attempts[kept].answer, tried=tried)


def _segments(
    window: Window, hypothesis: Hypothesis, tokenizer: Tokenizer, options: FallbackOptions
) -> list[Segment]:
    """The segments that a hypothesis makes, with the one that the window cuts off."""
    if is_silent(hypothesis, options):
        return []
    duration = window.span.duration
    pieces = split(hypothesis.tokens, tokenizer.vocab, duration).closed(tokenizer.vocab, duration)
    found = [segment(window, hypothesis, piece, tokenizer) for piece in pieces]
    return [one for one in found if one is not None]


def whole(
    window: Window,
    parts: Sequence[Window],
    answers: Sequence[Hypothesis],
    vocab: Vocab,
    options: FallbackOptions,
) -> Hypothesis:
    """One hypothesis of `window` from those of its `parts`, with their times moved to where the parts lie.

    Silent parts are left out. Every other text keeps all of its tokens, and its times stay inside of its
    part. The average log-probability is that of all tokens; the probability of silence is the smallest,
    because speech anywhere is speech.
    """
    if [part.span for part in parts] == [window.span]:
        return answers[0]
    heard = [
        (part, answer) for part, answer in zip(parts, answers, strict=True) if not is_silent(answer, options)
    ]
    if not heard:
        return replace(answers[0], tokens=())
    found = [answer for _, answer in heard]
    weights = [len(answer.tokens) + 1 for answer in found]
    total = sum(weight * answer.avg_logprob for weight, answer in zip(weights, found, strict=True))
    return Hypothesis(
        tokens=_tokens(window, heard, vocab),
        avg_logprob=total / sum(weights),
        no_speech_prob=min(answer.no_speech_prob for answer in found),
        temperature=max(answer.temperature for answer in found),
        language=found[0].language,
    )


def _tokens(window: Window, heard: Sequence[tuple[Window, Hypothesis]], vocab: Vocab) -> tuple[int, ...]:
    """Text between timestamps of `window`, such that `split` cuts it where the parts were cut.

    What the last part leaves open stays open: speech goes on there, behind the window.
    """
    tokens: list[int] = []
    last = len(heard) - 1
    for index, (part, answer) in enumerate(heard):
        place = Span(part.span.start - window.span.start, part.span.end - window.span.start)
        parts = split(answer.tokens, vocab, part.span.duration)
        pieces = parts.pieces if index == last else parts.closed(vocab, part.span.duration)
        for start, end, piece in pieces:
            text = vocab.text_tokens(piece)
            if text:
                begin = _begin(start, piece, place, vocab)
                tokens += [begin, *text, max(begin + 1, _stamp(end, place, vocab))]
        if index == last and parts.tail:
            tokens += [_begin(0.0, parts.tail, place, vocab), *vocab.text_tokens(parts.tail)]
    if tokens and not any(
        vocab.is_timestamp(one) and vocab.is_timestamp(two) for one, two in pairwise(tokens)
    ):
        # One segment alone would begin with the window; an empty one before it keeps its start.
        tokens.insert(0, tokens[0])
    return tuple(tokens)


def _begin(start: float, piece: tuple[int, ...], place: Span, vocab: Vocab) -> int:
    """The timestamp where a piece begins: as the decoder says, also if the piece is all of its hypothesis."""
    if vocab.is_timestamp(piece[0]):
        start = vocab.seconds(piece[0])
    return min(_stamp(start, place, vocab), vocab.timestamp(place.end) - 1)


def _stamp(seconds: float, place: Span, vocab: Vocab) -> int:
    """The timestamp of a time in a part that has this place in the window, inside of the part."""
    return vocab.timestamp(min(max(place.start, place.start + seconds), place.end))
