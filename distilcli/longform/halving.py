"""Batches that do not fit a device are halved. Knows no strategy and no device."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from distilcli.errors import OutOfMemory
from distilcli.longform.fallback import DecodeAt
from distilcli.types import Hypothesis, Window


def with_halving(decode_at: DecodeAt, warn: Callable[[str], None]) -> DecodeAt:
    """A decode function that asks for half as many windows at once each time the device runs out of memory.

    What has fitted once is kept for the rest of the run. `warn` hears of each step. One window that does not
    fit raises `OutOfMemory`.
    """
    most: int | None = None

    def decode(windows: Sequence[Window], temperature: float) -> list[Hypothesis]:
        nonlocal most
        answers: list[Hypothesis] = []
        while len(answers) < len(windows):
            batch = windows[len(answers) :][:most]
            try:
                answers += decode_at(batch, temperature)
            except OutOfMemory:
                if len(batch) == 1:
                    raise
                most = len(batch) // 2
                warn(f"the device is out of memory with {len(batch)} windows at once; going on with {most}")
        return answers

    return decode
