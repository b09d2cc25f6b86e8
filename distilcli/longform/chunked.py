"""Overlapping windows of a fixed length, decoded independently and merged (Distil-Whisper paper, section 5).

The cutting and merging are those of Transformers' pipeline with ``chunk_length_s``. Knows no backend, no file
and no clock.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from distilcli.config import ChunkedOptions, TranscribeOptions
from distilcli.longform.base import Flow, Step
from distilcli.longform.merge import Chunk, Merger, Piece
from distilcli.longform.segments import is_silent, segment, split
from distilcli.tokens import SECONDS_PER_TIMESTAMP, Tokenizer, Vocab
from distilcli.types import SAMPLE_RATE, Audio, Hypothesis, Segment, Span, Window

_SHORTEST_REST = 1.0  # seconds; less holds no sentence


@dataclass(frozen=True, slots=True)
class Cut:
    """One window of a recording: first and last sample, and its overlaps with its neighbours in samples."""

    start: int
    stop: int
    stride_left: int
    stride_right: int


def cuts(n_samples: int, options: ChunkedOptions) -> Iterator[Cut]:
    """Windows that cover `n_samples`; every sample outside an overlap lies in exactly one of them."""
    length = round(options.chunk_length * SAMPLE_RATE)
    stride = round(options.overlap * SAMPLE_RATE)
    for start in range(0, n_samples, length - 2 * stride):
        stop = min(start + length, n_samples)
        is_last = start + length >= n_samples
        left = stride if start else 0
        if stop - start > left:
            yield Cut(start, stop, left, 0 if is_last else stride)
        if is_last:
            return


def chunked(audio: Audio, tokenizer: Tokenizer, options: TranscribeOptions) -> Flow:
    """Ask for a batch of windows at a time; yields the segments that no later window can change."""
    merger = Merger(tokenizer.vocab)
    ready: list[Segment] = []
    position = 0.0
    window: Window | None = None
    hypothesis: Hypothesis | None = None
    for batch in _batches(cuts(len(audio.samples), options.chunked), options.chunked.batch_size):
        windows = [_window(audio, cut, options.language) for cut in batch]
        answers = yield Step(tuple(ready), tuple(windows), position)
        ready = []
        texts = [() if is_silent(one, options.fallback) else one.tokens for one in answers]
        if options.chunked.refill:
            yield from _refill(texts, batch, windows, options, tokenizer.vocab)
        for cut, window, hypothesis, text in zip(batch, windows, answers, texts, strict=True):
            for piece in merger.add(_chunk(cut, text)):
                ready += _segments(piece, window, hypothesis, tokenizer)
        position = (batch[-1].stop - batch[-1].stride_right) / SAMPLE_RATE
    if window is not None and hypothesis is not None:
        for piece in merger.finish():
            ready += _segments(piece, window, hypothesis, tokenizer)
    yield Step(tuple(ready), (), audio.duration)


def _refill(
    texts: list[tuple[int, ...]],
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
            resume = split(texts[index], vocab, window.span.duration).resume
            trusted = (cut.stop - cut.start - cut.stride_right) / SAMPLE_RATE
            if resume and resume < trusted - _SHORTEST_REST and texts[index][-1] == vocab.timestamp(resume):
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
                texts[index] = texts[index][:-1] + _later(answer.tokens, resume, vocab)
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


def _chunk(cut: Cut, tokens: tuple[int, ...]) -> Chunk:
    return Chunk(
        tokens=tokens,
        length=(cut.stop - cut.start) / SAMPLE_RATE,
        stride_left=cut.stride_left / SAMPLE_RATE,
        stride_right=cut.stride_right / SAMPLE_RATE,
    )


def _segments(piece: Piece, window: Window, hypothesis: Hypothesis, tokenizer: Tokenizer) -> list[Segment]:
    """The segment of a piece; a missing end is that of the window that came last.

    Where the decoder wrote a start after that end, the segment is as short as can be: its text is kept.
    """
    offset = window.span.start
    start = offset if piece.start is None else piece.start
    end = max(start + SECONDS_PER_TIMESTAMP, window.span.end) if piece.end is None else piece.end
    final = segment(window, hypothesis, (start - offset, end - offset, piece.tokens), tokenizer)
    return [] if final is None else [final]
