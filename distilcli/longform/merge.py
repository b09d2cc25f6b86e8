"""Joining the texts of overlapping windows by their longest common sequence of tokens.

Source: Transformers `models/whisper/tokenization_whisper.py` (`_decode_asr` and
`_find_longest_common_sequence`), whose results these reproduce. Knows token ids and seconds, nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from distilcli.tokens import SECONDS_PER_TIMESTAMP, Vocab
from distilcli.types import Word

Spoken = tuple[int, Word | None]
"""A text token and, where words are timed, when it was spoken."""


def overlap(left: Sequence[int], right: Sequence[int]) -> tuple[int, int]:
    """Where to leave `left` and enter `right`: the middle of their best alignment.

    Every shift of one sequence against the other is scored by its share of equal tokens, with a small bonus
    for length; at least two tokens must be equal. Without a match nothing is dropped: ``(len(left), 0)``.
    """
    best, found = 0.0, (len(left), len(left), 0, 0)
    for shift in range(1, len(left) + len(right)):
        left_start = max(0, len(left) - shift)
        left_stop = min(len(left), len(left) + len(right) - shift)
        right_start = max(0, shift - len(left))
        pairs = zip(left[left_start:left_stop], right[right_start:], strict=False)
        matches = sum(a == b for a, b in pairs)
        # Divided by the shift, not by the length of the overlap, as the source has it.
        score = matches / shift + shift / 10_000
        if matches > 1 and score > best:
            best = score
            found = (left_start, left_stop, right_start, min(len(right), shift))
    return (found[0] + found[1]) // 2, (found[2] + found[3]) // 2


def merge(sequences: Sequence[Sequence[int]]) -> list[int]:
    """Join sequences that overlap their neighbours; the left one is trusted until the overlap's middle."""
    return [
        token for sequence, part in zip(sequences, kept(sequences), strict=True) for token in sequence[part]
    ]


def kept(sequences: Sequence[Sequence[int]]) -> list[slice]:
    """The part of each sequence that is left when it is joined with its neighbours."""
    parts: list[slice] = []
    begin = 0
    for left, right in pairwise(sequences):
        leave, enter = overlap(left[begin:], right)
        parts.append(slice(begin, begin + leave))
        begin = enter
    return [*parts, slice(begin, None)] if sequences else []


@dataclass(frozen=True, slots=True)
class Chunk:
    """Tokens of one window and its place: seconds of length and of overlap with each neighbour.

    `words` are its text tokens with their times, or nothing.
    """

    tokens: tuple[int, ...]
    length: float
    stride_left: float
    stride_right: float
    words: tuple[Word, ...] = ()


@dataclass(frozen=True, slots=True)
class Piece:
    """A joined piece of text: ids without timestamps, start and end in seconds of the recording.

    `start` or `end` is None where the decoder has written no such timestamp. `words` are those of the chunks.
    """

    tokens: tuple[int, ...]
    start: float | None
    end: float | None
    words: tuple[Word, ...] = ()


@dataclass(slots=True)
class Merger:
    """Takes chunks in order and gives back the pieces that are final.

    Timestamps inside the overlaps are not trusted: a segment that reaches into one stays open, and is joined
    with the next chunk's tokens when that chunk closes it. `offset` is the second of the recording where the
    next chunk begins, without its left overlap.
    """

    vocab: Vocab
    offset: float = 0.0
    _start: float | None = None
    _open: list[list[Spoken]] = field(default_factory=list)
    _skip: bool = False

    def add(self, chunk: Chunk) -> list[Piece]:
        """Take the next chunk; returns the pieces that it closes."""
        begin = self.vocab.timestamp_begin
        self.offset -= chunk.stride_left
        first = begin + chunk.stride_left / SECONDS_PER_TIMESTAMP if chunk.stride_left else begin
        last = self._last_trusted(chunk)
        pieces: list[Piece] = []
        current: list[Spoken] = []
        words = iter(chunk.words)
        for token in chunk.tokens:
            if token < self.vocab.eot:
                current.append((token, next(words, None)))
            elif self.vocab.is_timestamp(token):
                if last is not None and token >= last:
                    # Timestamps come in pairs: the one after this is skipped too.
                    self._skip = True
                elif self._skip or (self._open and token < first):
                    self._skip = False
                else:
                    current = self._stamp(token, current, pieces)
        self.offset += chunk.length - chunk.stride_right
        if current:
            self._open.append(current)
        elif not any(self._open):
            self._open, self._start = [], None
        return pieces

    def finish(self) -> list[Piece]:
        """The piece that is still open after the last chunk."""
        return [self._closed(None)] if self._open else []

    def _closed(self, end: float | None) -> Piece:
        """The piece that was open; afterwards none is."""
        parts = kept([[token for token, _ in spoken] for spoken in self._open])
        joined = [one for spoken, part in zip(self._open, parts, strict=True) for one in spoken[part]]
        words = tuple(word for _, word in joined if word is not None)
        piece = Piece(tuple(token for token, _ in joined), self._start, end, words)
        self._open, self._start = [], None
        return piece

    def _stamp(self, token: int, current: list[Spoken], pieces: list[Piece]) -> list[Spoken]:
        """A timestamp opens a piece or closes the open one; returns the tokens that remain."""
        time = round((token - self.vocab.timestamp_begin) * SECONDS_PER_TIMESTAMP + self.offset, 2)
        if self._start is None:
            self._start = time
        elif time != self._start:
            self._open.append(current)
            pieces.append(self._closed(time))
            return []
        return current

    def _last_trusted(self, chunk: Chunk) -> int | None:
        """The first timestamp that lies in the right overlap, or the very last one when none does."""
        last: int | None = None
        if chunk.stride_right:
            trusted = chunk.length - chunk.stride_right
            for token in reversed(chunk.tokens):
                if self.vocab.is_timestamp(token):
                    if last is not None and self.vocab.seconds(token) < trusted:
                        break
                    last = token
        return last
