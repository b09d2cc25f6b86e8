"""Overlapping windows of a fixed length, decoded independently and merged (Distil-Whisper paper, section 5).

The cutting and merging are those of Transformers' pipeline with ``chunk_length_s``. Knows no backend, no file
and no clock.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from distilcli.config import ChunkedOptions, TranscribeOptions
from distilcli.longform.base import Flow, Step
from distilcli.longform.merge import Chunk, Merger, Piece
from distilcli.longform.segments import is_silent, later, segment, split
from distilcli.spans import intersection, packed
from distilcli.tokens import SECONDS_PER_TIMESTAMP, Tokenizer, Vocab
from distilcli.types import SAMPLE_RATE, Audio, Hypothesis, Segment, Span, Window, Word

_SHORTEST_REST = 1.0  # seconds; less holds no sentence


@dataclass(frozen=True, slots=True)
class Cut:
    """One window of a stretch: first and last sample, and its overlaps with its neighbours in samples.

    The stretch ends at sample `end`; the window after that one does not go on with its text.
    """

    start: int
    stop: int
    stride_left: int
    stride_right: int
    end: int


@dataclass(slots=True)
class _Text:
    """What one window says: ids whose timestamps are the window's, and its timed tokens in the recording."""

    tokens: tuple[int, ...] = ()
    words: tuple[Word, ...] = ()


def cuts(n_samples: int, options: ChunkedOptions, first: int = 0) -> Iterator[Cut]:
    """Windows that cover `n_samples` from sample `first` on.

    Every sample outside an overlap lies in exactly one of them.
    """
    length = round(options.chunk_length * SAMPLE_RATE)
    stride = round(options.overlap * SAMPLE_RATE)
    for start in range(0, n_samples, length - 2 * stride):
        stop = min(start + length, n_samples)
        is_last = start + length >= n_samples
        left = stride if start else 0
        if stop - start > left:
            yield Cut(first + start, first + stop, left, 0 if is_last else stride, first + n_samples)
        if is_last:
            return


def chunked(
    audio: Audio, tokenizer: Tokenizer, options: TranscribeOptions, clips: Sequence[Span] | None = None
) -> Flow:
    """Ask for a batch of windows at a time; yields the segments that no later window can change.

    `clips` are decoded each on its own. Of a clip that is longer than a window, the stretches of speech are
    packed into windows without an overlap, because nothing is lost in a silence; only speech that is longer
    than a window is cut with overlaps.
    """
    merger: Merger | None = None
    ready: list[Segment] = []
    for batch in _batches(_clip_cuts(audio, options, clips), options.chunked.batch_size):
        windows = [_window(audio, cut, options.language) for cut in batch]
        position = (batch[0].start + batch[0].stride_left) / SAMPLE_RATE
        answers = yield Step(tuple(ready), tuple(windows), position)
        ready = []
        texts = [
            _Text()
            if is_silent(one, options.fallback)
            else _Text(one.tokens, later(one.words, window.span.start))
            for one, window in zip(answers, windows, strict=True)
        ]
        if options.chunked.refill:
            yield from _refill(texts, batch, windows, options, tokenizer.vocab)
        for cut, window, hypothesis, text in zip(batch, windows, answers, texts, strict=True):
            merger = merger or Merger(tokenizer.vocab, offset=cut.start / SAMPLE_RATE)
            pieces = merger.add(_chunk(cut, text))
            if cut.stop == cut.end:
                pieces += merger.finish()
                merger = None
            limit = cut.end / SAMPLE_RATE if cut.end < len(audio.samples) else None
            for piece in pieces:
                ready += _segments(piece, window, hypothesis, tokenizer, limit)
    yield Step(tuple(ready), (), audio.duration)


def _clip_cuts(audio: Audio, options: TranscribeOptions, clips: Sequence[Span] | None) -> Iterator[Cut]:
    """The windows of the clips, or of the whole recording, in order."""
    longest = options.chunked.chunk_length
    for clip in [Span(0.0, audio.duration)] if clips is None else clips:
        parts: Sequence[Span] = (clip,)
        if options.vad.filter and audio.speech is not None and clip.duration > longest:
            parts = packed(intersection(audio.speech, parts), longest)
        for part in parts:
            first, stop = (round(at * SAMPLE_RATE) for at in (part.start, part.end))
            yield from cuts(stop - first, options.chunked, first)


def _refill(
    texts: list[_Text],
    batch: list[Cut],
    windows: list[Window],
    options: TranscribeOptions,
    vocab: Vocab,
) -> Flow:
    """Append to each text what its window still holds, once for every time that the decoder stops early.

    A decoder that ends with the start of a segment says that speech goes on there. Up to the overlap nobody
    else would decode it.
    """
    pending = list(range(len(texts)))
    while True:
        rests = {}
        for index in pending:
            cut, window = batch[index], windows[index]
            tokens = texts[index].tokens
            resume = split(tokens, vocab, window.span.duration).resume
            trusted = (cut.stop - cut.start - cut.stride_right) / SAMPLE_RATE
            if resume and resume < trusted - _SHORTEST_REST and tokens[-1] == vocab.timestamp(resume):
                rests[index] = resume
        if not rests:
            return
        need = [
            replace(windows[index], span=Span(windows[index].span.start + resume, windows[index].span.end))
            for index, resume in rests.items()
        ]
        answers = yield Step((), tuple(need), windows[0].span.start)
        pending = []
        for (index, resume), answer in zip(rests.items(), answers, strict=True):
            if not is_silent(answer, options.fallback):
                text = texts[index]
                text.tokens = text.tokens[:-1] + _later(answer.tokens, resume, vocab)
                text.words += later(answer.words, windows[index].span.start + resume)
                pending.append(index)


def _later(tokens: tuple[int, ...], seconds: float, vocab: Vocab) -> tuple[int, ...]:
    """The same text with its timestamps moved by `seconds`."""
    shift = vocab.timestamp(seconds) - vocab.timestamp_begin
    last = vocab.size - 1
    return tuple(min(token + shift, last) if vocab.is_timestamp(token) else token for token in tokens)


def _batches(items: Iterator[Cut], size: int) -> Iterator[list[Cut]]:
    batch: list[Cut] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _window(audio: Audio, cut: Cut, language: str | None) -> Window:
    span = Span(cut.start / SAMPLE_RATE, cut.stop / SAMPLE_RATE)
    return Window(audio=audio, span=span, language=language, isolated=True)


def _chunk(cut: Cut, text: _Text) -> Chunk:
    return Chunk(
        tokens=text.tokens,
        length=(cut.stop - cut.start) / SAMPLE_RATE,
        stride_left=cut.stride_left / SAMPLE_RATE,
        stride_right=cut.stride_right / SAMPLE_RATE,
        words=text.words,
    )


def _segments(
    piece: Piece, window: Window, hypothesis: Hypothesis, tokenizer: Tokenizer, limit: float | None
) -> list[Segment]:
    """The segment of a piece; a missing end is that of the window that came last.

    Where the decoder wrote a start after that end, the segment is as short as can be: its text is kept.
    """
    offset = window.span.start
    start = offset if piece.start is None else piece.start
    end = max(start + SECONDS_PER_TIMESTAMP, window.span.end) if piece.end is None else piece.end
    part, words = (start - offset, end - offset, piece.tokens), later(piece.words, -offset)
    final = segment(window, hypothesis, part, tokenizer, limit, words)
    return [] if final is None else [final]
