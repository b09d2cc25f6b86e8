"""How a bench goes on, as lines on standard error: what a round took tells how long the rest will take."""

from __future__ import annotations

import sys
import time

from distilcli.bench.run import Listener
from distilcli.bench.values import Case, ClipSet, Sample


class Lines(Listener):
    """A line for every run of the first round, for each later round, and for each run that fails.

    Args:
        rounds: how many there are at most.
        seconds: when the bench is over at the latest.
        settle: seconds between two runs.
    """

    def __init__(self, rounds: int, seconds: float, settle: float) -> None:
        self._rounds, self._round, self._settle = rounds, 0, settle
        self._end = time.monotonic() + seconds
        self._names: dict[tuple[str, str], str] = {}
        self._walls: dict[tuple[str, str], float] = {}

    def begins(self, total: int, known: int) -> None:
        before = f", {known} of them done before" if known else ""
        note(f"{total} runs{before}; each system loads and warms up before its first")

    def runs(self, case: Case, data: ClipSet, round_number: int) -> None:
        self._names[case.key, data.key] = f"{case.label}, {data.name}"
        if round_number != self._round:
            self._round = round_number
            note(f"round {round_number} of {self._rounds}{self._left()}")

    def measured(self, case: Case, sample: Sample) -> None:
        pair = sample.case, sample.data
        if sample.error:
            note(f"failed: {case.label}: {sample.error}")
        elif pair not in self._walls:
            note(f"  {self._names[pair]}: {sample.wall:.1f} s")
        self._walls[pair] = sample.wall

    def _left(self) -> str:
        """What the rounds from this one on will take, if each pair takes as long as the last time."""
        if not self._walls:
            return ""
        once = sum(self._walls.values()) + self._settle * len(self._walls)
        left = min(once * (self._rounds - self._round + 1), self._end - time.monotonic())
        return f", about {duration(left)} left"


def duration(seconds: float) -> str:
    """A time to come, as exactly as anybody can know it."""
    if seconds < 100:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def note(text: str) -> None:
    """Print a line on standard error."""
    print(text, file=sys.stderr, flush=True)
