"""From the tokens of one window to segments with times. Knows no strategy and no backend."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from distilcli.config import FallbackOptions
from distilcli.text import compression_ratio
from distilcli.tokens import SECONDS_PER_TIMESTAMP, Tokenizer, Vocab
from distilcli.types import Hypothesis, Segment, Span, Window, Word


@dataclass(frozen=True, slots=True)
class Split:
    """Timestamped pieces of a hypothesis: (start, end, tokens), seconds relative to the window.

    `resume` is where the next window has to begin, in seconds relative to this one; None means that the whole
    window has been used. Tokens from `tail` on belong to a segment whose end the decoder has not written.
    """

    pieces: tuple[tuple[float, float, tuple[int, ...]], ...]
    resume: float | None
    tail: tuple[int, ...] = ()

    def closed(self, vocab: Vocab, duration: float) -> list[tuple[float, float, tuple[int, ...]]]:
        """The pieces, and the tail as one that ends with the window, at `duration` seconds."""
        if not self.tail:
            return list(self.pieces)
        start = vocab.seconds(self.tail[0])
        return [*self.pieces, (start, max(duration, start + SECONDS_PER_TIMESTAMP), self.tail)]


def split(tokens: Sequence[int], vocab: Vocab, duration: float) -> Split:
    """Cut a hypothesis at its pairs of timestamps (openai/whisper `transcribe.py`, the loop's second half).

    Between two segments the decoder writes the end of one and the start of the next. Without any such pair
    the window is one segment, which ends at its last timestamp or with the window (`duration` seconds). A
    single timestamp at the end says that no speech follows.
    """
    cuts = [
        index
        for index in range(1, len(tokens))
        if vocab.is_timestamp(tokens[index]) and vocab.is_timestamp(tokens[index - 1])
    ]
    ends_closed = len(tokens) >= 2 and vocab.is_timestamp(tokens[-1]) and not vocab.is_timestamp(tokens[-2])
    if not cuts:
        stamps = [token for token in tokens if vocab.is_timestamp(token)]
        end = vocab.seconds(stamps[-1]) if stamps and stamps[-1] != vocab.timestamp_begin else duration
        return Split(pieces=((0.0, end, tuple(tokens)),), resume=None)
    if ends_closed:
        cuts.append(len(tokens))
    pieces = []
    last = 0
    for cut in cuts:
        piece = tuple(tokens[last:cut])
        pieces.append((vocab.seconds(piece[0]), vocab.seconds(piece[-1]), piece))
        last = cut
    resume = None if ends_closed else vocab.seconds(tokens[last - 1])
    return Split(pieces=tuple(pieces), resume=resume, tail=tuple(tokens[last:]))


def is_silent(hypothesis: Hypothesis, options: FallbackOptions) -> bool:
    """No speech by its own token, unless the text is likely all the same."""
    if options.no_speech_threshold is None or hypothesis.no_speech_prob <= options.no_speech_threshold:
        return False
    return options.logprob_threshold is None or hypothesis.avg_logprob <= options.logprob_threshold


def later(words: Iterable[Word], seconds: float) -> tuple[Word, ...]:
    """The same words, moved by `seconds`."""
    return tuple(
        replace(word, span=Span(word.span.start + seconds, word.span.end + seconds)) for word in words
    )


def shares(
    pieces: Iterable[tuple[float, float, tuple[int, ...]]], words: Sequence[Word], vocab: Vocab
) -> Iterator[tuple[Word, ...]]:
    """The timed tokens of each piece of one hypothesis, in order; nothing where there are none."""
    rest = iter(words)
    for _, _, tokens in pieces:
        yield tuple(islice(rest, len(vocab.text_tokens(tokens))))


def segment(
    window: Window,
    hypothesis: Hypothesis,
    piece: tuple[float, float, tuple[int, ...]],
    tokenizer: Tokenizer,
    limit: float | None = None,
    words: Iterable[Word] = (),
) -> Segment | None:
    """The segment of one piece in seconds of the recording; None when it has no text or no length.

    The end is cut at the recording's end when the decoder wrote a later time. A clip ends at the second
    `limit`: no time is later, for what follows was not heard. `words` are the piece's timed tokens, in
    seconds of the window.
    """
    start, end, tokens = piece
    text = tokenizer.decode(tokens)
    if start == end or not text.strip():
        return None
    begin, duration = window.span.start + start, window.audio.duration
    finish = window.span.start + end
    if finish > duration > begin:
        finish = duration
    if limit is not None:
        begin, finish = min(begin, limit - SECONDS_PER_TIMESTAMP), min(finish, limit)
    return Segment(
        text=text,
        span=Span(begin, finish),
        tokens=tokens,
        seek=window.span.start,
        temperature=hypothesis.temperature,
        avg_logprob=hypothesis.avg_logprob,
        compression_ratio=compression_ratio(tokenizer.decode(hypothesis.tokens).strip()),
        no_speech_prob=hypothesis.no_speech_prob,
        language=hypothesis.language,
        words=later(words, window.span.start),
        tried=hypothesis.tried,
    )
