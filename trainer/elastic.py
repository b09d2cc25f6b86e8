"""Shortens windows to lengths under 30 s, so that a student learns to hear with fewer encoder positions.

It knows windows, sentences and seconds; it does not know sound, tensors or seeds. A shortened window begins
and ends between sentences of the teacher's labels: sound and label still say the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from distilcli.tokens import SECONDS_PER_TIMESTAMP, Vocab
from distilcli.trainer.labels import Piece
from distilcli.trainer.pieces import OpenPart, heard, timed_tokens
from distilcli.trainer.records import PackedWindow, Part

SHORTEST = 0.1
"""Seconds of a sentence that a stretch may begin with: teachers also write times without any length."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Unit:
    """What cannot be divided: a sentence with times, or a whole part. Seconds in the window."""

    part: int
    start: float
    end: float
    piece: Piece | None = None
    """The sentence; None: the whole part."""


def shortened(
    window: PackedWindow, seconds: float, vocab: Vocab, rng: np.random.Generator
) -> PackedWindow | None:
    """Returns a stretch of the window of at most `seconds`, drawn at random; None: no sentence is that short.

    A window that is short enough stays as it is. Recordings that begin before the stretch have a negative
    start. Only a stretch from the window's beginning keeps `previous`.
    """
    if window.seconds <= seconds:
        return window
    units = _units(window, vocab)
    starts = [place for place, unit in enumerate(units) if SHORTEST <= unit.end - unit.start <= seconds]
    if not starts:
        return None
    first = starts[int(rng.integers(len(starts)))]
    last = max(
        place
        for place, unit in enumerate(units)
        if place >= first and unit.end - units[first].start <= seconds
    )
    begin = _on_grid(max(_between(units, first), units[last].end - seconds, 0.0))
    end = min(_between(units, last + 1) if last + 1 < len(units) else window.seconds, begin + seconds)
    kept = units[first : last + 1]
    numbers = list(dict.fromkeys(unit.part for unit in kept))
    return replace(
        window,
        parts=tuple(_moved(window.parts[number], number, kept, begin, vocab) for number in numbers),
        seconds=end - begin,
        previous=window.previous if first == 0 else None,
    )


def _units(window: PackedWindow, vocab: Vocab) -> list[_Unit]:
    """Returns the window's units in order."""
    units = []
    for number, part in enumerate(window.parts):
        found = heard(part, vocab)
        if found.timed and found.pieces:
            units += [
                _Unit(part=number, start=piece.start, end=piece.end, piece=piece) for piece in found.pieces
            ]
        else:
            units.append(_Unit(part=number, start=part.start, end=part.start + part.seconds))
    return units


def _between(units: Sequence[_Unit], place: int) -> float:
    """Returns the middle of the pause before a unit, in seconds; of the first, the window's beginning."""
    return 0.0 if place == 0 else (units[place - 1].end + units[place].start) / 2.0


def _on_grid(seconds: float) -> float:
    """Rounds up to the grid of timestamps, on which sentences start."""
    return round(math.ceil(round(seconds / SECONDS_PER_TIMESTAMP, 6)) * SECONDS_PER_TIMESTAMP, 6)


def _moved(part: Part, number: int, kept: Sequence[_Unit], begin: float, vocab: Vocab) -> Part:
    """Returns a part in the shortened window, with the sentences that are still in it."""
    pieces = [unit.piece for unit in kept if unit.part == number and unit.piece is not None]
    start = part.start - begin
    whole = heard(part, vocab)
    if not pieces or len(pieces) == len(whole.pieces):
        return replace(part, start=start)
    tokens = timed_tokens(pieces, vocab, part.start)
    if isinstance(part, OpenPart) and pieces[-1] == whole.pieces[-1]:
        closed = 1 if whole.unknown == 2 else 0  # the timestamp that the teacher has not written
        return replace(part, start=start, tokens=tokens[: len(tokens) - closed])
    values = {field.name: getattr(part, field.name) for field in fields(Part)}
    return Part(**{**values, "start": start, "tokens": tokens})
