"""When each token was spoken: from a decoder's attention to the sound, by dynamic time warping.

Knows arrays and token ids; not the model that the attention is from, and not what a word is.
Source: openai/whisper `whisper/timing.py` (`median_filter`, `dtw`, `find_alignment`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from distilcli.types import Span, Word

MEDIAN_WIDTH = 7
"""Positions that the median filter looks at: 0.14 s."""

POSITIONS_PER_SECOND = 50
"""Of the encoder's output."""

Path = list[tuple[int, int]]
"""(row, position) pairs of a warping path, both never decreasing, by one at most."""

Floats = NDArray[np.float32]


def smoothed(heads: Iterable[Floats]) -> Floats:
    """The mean map of several attention heads, each standardised over its rows and filtered.

    Args:
        heads: maps of (rows, positions): how much a head looks at each position of the encoder's output when
            the token of a row is written; over the positions it adds up to 1. One is held at a time.
    """
    total: Floats = np.zeros((), np.float32)
    count = 0
    for attention in heads:
        spread = attention.std(axis=0)
        spread[spread == 0] = 1.0  # a position that every row sees alike tells nothing
        total = total + median_filter((attention - attention.mean(axis=0)) / spread, MEDIAN_WIDTH)
        count += 1
    return total / np.float32(count)


def median_filter(rows: Floats, width: int) -> Floats:
    """The median of `width` neighbours along the last axis, mirrored at both ends; unchanged if too short."""
    reach = width // 2
    if rows.shape[-1] <= reach:
        return rows
    padded = np.pad(rows, [(0, 0)] * (rows.ndim - 1) + [(reach, reach)], mode="reflect")
    neighbours = np.lib.stride_tricks.sliding_window_view(padded, width, axis=-1)
    found: Floats = np.partition(neighbours, reach, axis=-1)[..., reach]
    return found


def warp(cost: Floats) -> Path:
    """The cheapest way from the first to the last corner of `cost` (rows, positions), float32.

    Ties fall as in openai/whisper: along the positions. Computed along the anti-diagonals, whose cells do not
    depend on each other.
    """
    n_rows, n_positions = cost.shape
    steps = np.zeros((n_rows + 1, n_positions + 1), dtype=np.uint8)  # 0 both, 1 next row, 2 next position
    steps[0, :], steps[:, 0] = 2, 1
    before = np.full(n_rows + 1, np.inf, dtype=np.float32)  # of the diagonal before the last, by row
    before[0] = 0.0
    last = np.full_like(before, np.inf)
    for diagonal in range(2, n_rows + n_positions + 1):
        first, end = max(1, diagonal - n_positions), min(n_rows, diagonal - 1) + 1
        rows = np.arange(first, end)
        both, row, position = before[first - 1 : end - 1], last[first - 1 : end - 1], last[first:end]
        step = np.where((both < row) & (both < position), 0, np.where((row < both) & (row < position), 1, 2))
        steps[rows, diagonal - rows] = step
        current = np.full_like(before, np.inf)
        current[first:end] = cost[rows - 1, diagonal - rows - 1] + np.choose(step, (both, row, position))
        before, last = last, current
    return _traced(steps)


def _traced(steps: NDArray[np.uint8]) -> Path:
    """The path that the steps have taken to the last corner."""
    row, position = steps.shape[0] - 1, steps.shape[1] - 1
    path: Path = []
    while row > 0 or position > 0:
        path.append((row - 1, position - 1))
        step = steps[row, position]
        row -= int(step != 2)
        position -= int(step != 1)
    return path[::-1]


def token_times(
    tokens: Sequence[int], path: Iterable[tuple[int, int]], probabilities: Sequence[float]
) -> tuple[Word, ...]:
    """Each token with its time in seconds of the window and its probability, as a `Word` without text.

    Args:
        tokens: text ids; those that `path` has no rows for are given no time and no probability of their own.
        path: a row for every token and one more for the end of the text, which takes the rest of the sound.
        probabilities: of the tokens, given those before them.
    """
    starts: dict[int, int] = {}
    for row, position in path:
        starts.setdefault(row, position)
    times = [starts[row] / POSITIONS_PER_SECOND for row in sorted(starts)]
    times += [times[-1] if times else 0.0] * (len(tokens) + 1 - len(times))
    known = [*probabilities, *[0.0] * (len(tokens) - len(probabilities))]
    return tuple(
        Word("", Span(times[index], times[index + 1]), float(known[index]), (token,))
        for index, token in enumerate(tokens)
    )
