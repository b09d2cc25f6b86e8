"""Builds what the decoder is fed and what it must answer: prompt, language, task, timestamps, text, end.

It knows token ids and seconds; it does not know audio, tensors or losses. Format: Whisper paper §2.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from distilcli.errors import UsageError
from distilcli.tokens import Vocab

IGNORED = -100
"""Target of a position without loss (torch's `ignore_index`)."""

MAX_TARGET = 448
"""Positions of Whisper's decoder."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """One spoken sentence inside a window."""

    tokens: tuple[int, ...]
    """Text ids, the first with its leading space."""
    start: float
    """Seconds in the window."""
    end: float
    """Seconds in the window."""
    centres: tuple[float, ...] = ()
    """Where each token lies in the sentence, 0 to 1; used to guide attention. Empty: not known."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Form:
    """Which of the prompt's forms a label takes."""

    timestamps: bool = True
    language: str = "en"
    task: str = "transcribe"
    previous: tuple[int, ...] = ()
    """Ids of earlier text, without the start-of-previous token; never carries loss."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Label:
    """One window's decoder inputs and the answer at each position."""

    inputs: tuple[int, ...]
    targets: tuple[int, ...]
    """The id to predict after each input; `IGNORED` where there is no loss."""
    times: tuple[float | None, ...]
    """Seconds in the window where each target is heard; None where it is nowhere."""


def build_label(vocab: Vocab, pieces: Sequence[Piece], form: Form, cut: float | None = None) -> Label:
    """Returns the label of a window.

    Loss falls on the language, the timestamps, the text and the end. The prompt, the start token itself, the
    task and the no-timestamps token are given by the caller at decoding time and carry none. A window without
    pieces is silence: the answer to the start token is then no-speech, and the transcript ends at once.

    Args:
        vocab: layout of the special tokens.
        pieces: sentences that end inside the window, in order.
        form: timestamps, language, task, previous text.
        cut: start (seconds) of a sentence that the window's end cuts; with timestamps it becomes the last
            token, and a long-form decoder starts its next window there. Without timestamps it is not used.

    Raises:
        UsageError: pieces out of order, or more tokens than the decoder has positions.
    """
    prefix = vocab.prefix(form.language, form.task, timestamps=form.timestamps)
    prompt = vocab.prompt(form.previous, prefix)
    tokens: list[int] = []
    times: list[float | None] = []
    before = 0.0
    for piece in pieces:
        if piece.start < before or piece.end < piece.start:
            raise UsageError(
                f"pieces out of order: {piece.start:.2f} to {piece.end:.2f} s after {before:.2f} s"
            )
        before = piece.end
        _append_piece(vocab, piece, form.timestamps, tokens, times)
    if form.timestamps and (cut is not None or not pieces):
        tokens.append(vocab.timestamp(cut or 0.0))
        times.append(cut)
    tokens.append(vocab.eot)
    times.append(before if pieces else None)
    inputs = prompt + tokens[:-1]
    if len(inputs) > MAX_TARGET:
        raise UsageError(f"a label of {len(inputs)} tokens does not fit into {MAX_TARGET} positions")
    targets = [IGNORED] * (len(prompt) - 1) + tokens
    if vocab.multilingual:
        start = len(prompt) - len(prefix)
        targets[start] = prefix[1] if pieces or cut is not None else vocab.no_speech
    return Label(
        inputs=tuple(inputs),
        targets=tuple(targets),
        times=tuple([None] * (len(prompt) - 1) + times),
    )


def _append_piece(
    vocab: Vocab, piece: Piece, timestamps: bool, tokens: list[int], times: list[float | None]
) -> None:
    """Appends one sentence, between its two timestamps where they are wanted."""
    if timestamps:
        tokens.append(vocab.timestamp(piece.start))
        times.append(piece.start)
    tokens += piece.tokens
    length = piece.end - piece.start
    times += [piece.start + centre * length for centre in piece.centres] or [None] * len(piece.tokens)
    if timestamps:
        tokens.append(vocab.timestamp(piece.end))
        times.append(piece.end)
