"""Peak memory of whole runs by the recording's length, as values. Knows figures; runs nothing."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class LengthRun:
    """One run over a recording of so many minutes."""

    minutes: float
    decoded: float
    """Minutes in which somebody speaks."""
    peak: float
    """Most resident memory, in MB of 2**20 bytes."""
    wall: float
    """Seconds."""
    segments: int


@dataclass(frozen=True, kw_only=True, slots=True)
class LengthReport:
    """Runs over recordings of several lengths."""

    command: str
    runs: tuple[LengthRun, ...]


def growth(runs: tuple[LengthRun, ...]) -> float | None:
    """MB of peak memory per hour, from the shortest recording to the longest; None if there is one length."""
    ends = sorted(runs, key=lambda run: run.minutes)
    hours = (ends[-1].minutes - ends[0].minutes) / 60
    return (ends[-1].peak - ends[0].peak) / hours if hours else None
