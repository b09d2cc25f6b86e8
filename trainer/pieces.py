"""Reads the label of a packed recording as sentences with times in the window.

It knows token ids and seconds; it does not know sound, prompts or how windows are packed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from distilcli.tokens import Vocab
from distilcli.trainer.labels import Piece
from distilcli.trainer.records import Part


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenPart(Part):
    """A part whose label reached the token limit: what follows its last token is not known.

    Nothing can follow it in a window, and no end is taught after it.
    """


@dataclass(frozen=True, kw_only=True, slots=True)
class Heard:
    """What one part says."""

    pieces: tuple[Piece, ...]
    """Sentences in order; one for the whole part where the label has no timestamps."""
    timed: bool
    """Whether the label has timestamps; one without text needs none."""
    cut: float | None = None
    """Start (seconds in the window) of a sentence that the recording's end cuts."""
    unknown: int = 0
    """How many of the last tokens are not known: the end of the text, and the timestamp before it."""


def heard(part: Part, vocab: Vocab) -> Heard:
    """Returns a part's sentences; times that lie outside the recording are moved to its edges.

    The teacher writes ``<|start|> text <|end|>`` for every sentence and, for one that the end of the sound
    cuts, its start alone (Whisper paper §2.3). A sentence without an end lasts as long as the recording.
    """
    pieces: list[Piece] = []
    text: list[int] = []
    opened: float | None = None
    before = 0.0
    for token in part.tokens:
        if vocab.is_timestamp(token):
            now = min(max(vocab.seconds(token), before), part.seconds)
            if text:
                pieces.append(_piece(part, text, before if opened is None else opened, now))
                text, opened, before = [], None, now
            else:
                opened = before = now
        elif token < vocab.eot:
            text.append(token)
    is_open = isinstance(part, OpenPart)
    if text:
        start = before if opened is None else opened
        pieces.append(_piece(part, text, start, max(part.seconds, start)))
    cut = opened if pieces and not text and not is_open else None
    return Heard(
        pieces=tuple(pieces),
        timed=not pieces or any(vocab.is_timestamp(token) for token in part.tokens),
        cut=None if cut is None else part.start + cut,
        unknown=(2 if text else 1) if is_open else 0,
    )


def timed_tokens(pieces: Sequence[Piece], vocab: Vocab, offset: float = 0.0) -> tuple[int, ...]:
    """Returns ``<|start|> text <|end|>`` of every piece, times counted from `offset` seconds."""
    tokens: list[int] = []
    for piece in pieces:
        tokens += (vocab.timestamp(piece.start - offset), *piece.tokens, vocab.timestamp(piece.end - offset))
    return tuple(tokens)


def plain_tokens(pieces: Sequence[Piece]) -> tuple[int, ...]:
    """Returns the text of all pieces, without times."""
    return tuple(token for piece in pieces for token in piece.tokens)


def answer_length(part: Part, vocab: Vocab) -> int:
    """Returns the tokens of a part in its longest form, without the end of the text."""
    found = heard(part, vocab)
    stamps = 2 * len(found.pieces) if found.timed else 0
    return len(plain_tokens(found.pieces)) + stamps + (found.cut is not None)


def _piece(part: Part, text: Sequence[int], start: float, end: float) -> Piece:
    """Moves a sentence into the window; rounded, so that sums of floats keep the order of times."""
    first, last = (max(round(part.start + seconds, 6), 0.0) for seconds in (start, end))
    return Piece(tokens=tuple(text), start=first, end=last)
