"""Runs cases in turn, each in its own process, in a new order every round; goes on where it was stopped.

Knows processes, order and the file of samples; it does not know what a sample means.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import IO

from distilcli.bench.json_values import from_json, to_json
from distilcli.bench.process import Worker
from distilcli.bench.values import Case, ClipSet, Sample
from distilcli.errors import OutputError, UsageError
from distilcli.writers.atomic import output_error

SETTLE = 0.25
"""Seconds between two runs: the threads of the one before go on spinning for 0.2 s."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What to run. `weights` holds what each system's `prepare` returned, by case key."""

    cases: tuple[Case, ...]
    data: tuple[ClipSet, ...]
    weights: Mapping[str, Path]
    rounds: int
    seed: int = 0
    samples: Path | None = None
    """File that keeps every sample as soon as it is there; the same command goes on from it."""
    setup: str = ""
    """Machine and versions: samples of another one are not mixed with these."""
    memory: int = 8 * 2**30
    """Bytes that all processes may hold together; what does not fit is loaded anew for every run."""
    alone: bool = False
    """One process at a time, as on a GPU, whose memory is not ours to share out."""
    seconds: float = math.inf
    """No round but the first one begins that would end later if it took as long as the longest so far."""
    settle: float = SETTLE


class Listener:
    """Hears how a bench goes on."""

    def begins(self, total: int, known: int) -> None:
        """`total` runs are planned, `known` of them are in the file of samples."""

    def runs(self, case: Case, data: ClipSet, round_number: int) -> None:
        """A run begins."""

    def measured(self, case: Case, sample: Sample) -> None:
        """A run has ended, well or with an error."""


@dataclass(frozen=True, slots=True)
class _Turn:
    case: Case
    data: ClipSet
    round: int

    @property
    def key(self) -> tuple[str, str, int]:
        return self.case.key, self.data.key, self.round


def with_control(cases: Sequence[Case]) -> tuple[Case, ...]:
    """The cases, and the first of them again: how far it seems to differ from itself is noise (A/A)."""
    return (cases[0], replace(cases[0], repeat=1), *cases[1:])


def measure(plan: Plan, listener: Listener | None = None) -> tuple[Sample, ...]:
    """Run everything; one sample for each case, set and round, those that failed with their error.

    Where `Plan.seconds` ends it early, every round that was begun is whole.

    Raises:
        UsageError: the file of samples belongs to another machine, or to other versions.
        OutputError: it cannot be written.
    """
    listener = listener or Listener()
    turns = list(_turns(plan))
    with ExitStack() as resources:
        book = _Book(plan.samples, plan.setup, resources)
        wanted = {turn.key for turn in turns}
        listener.begins(len(turns), len(wanted & book.known.keys()))
        pool = _Pool(plan, resources)
        for turn in _in_time((one for one in turns if one.key not in book.known), plan.seconds):
            listener.runs(turn.case, turn.data, turn.round)
            time.sleep(plan.settle)
            sample = pool.worker(turn.case).run(turn.data, turn.round)
            book.add(sample)
            listener.measured(turn.case, sample)
        return tuple(book.known[turn.key] for turn in turns if turn.key in book.known)


def _in_time(turns: Iterable[_Turn], seconds: float) -> Iterator[_Turn]:
    """The turns up to the round that would not end in time."""
    began = before = time.monotonic()
    longest = 0.0
    for number, (_, found) in enumerate(groupby(turns, lambda one: one.round)):
        if number and before - began + longest > seconds:
            return
        yield from found
        now = time.monotonic()
        longest, before = max(longest, now - before), now


def _turns(plan: Plan) -> Iterator[_Turn]:
    """Every case once on every set in each round; the cases of one set follow each other closely."""
    for number in range(1, plan.rounds + 1):
        draw = random.Random(f"{plan.seed} {number}")
        for data in draw.sample(plan.data, len(plan.data)):
            for case in draw.sample(plan.cases, len(plan.cases)):
                yield _Turn(case, data, number)


@dataclass(slots=True)
class _Pool:
    """The processes that are alive, least recently used first, and most bytes that each has held."""

    plan: Plan
    resources: ExitStack
    alive: dict[str, Worker] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.resources.callback(self._close_all)

    def worker(self, case: Case) -> Worker:
        """The process of a case; others are closed where memory is short."""
        worker = self.alive.pop(case.key, None)
        if worker is None or (worker.ended and not worker.broken):
            if worker is not None:
                worker.close()
            self._make_room()
            worker = Worker(case, self.plan.weights[case.key])
        self.alive[case.key] = worker
        return worker

    def _make_room(self) -> None:
        held = [one.peak_rss for one in self.alive.values()]
        expected = max(held, default=0)
        while self.alive and (self.plan.alone or sum(held) + expected > self.plan.memory):
            self.alive.pop(next(iter(self.alive))).close()
            held = held[1:]

    def _close_all(self) -> None:
        for worker in self.alive.values():
            worker.close()


class _Book:
    """The samples so far, in memory and, line by line, on disk. Failed runs are tried again the next time."""

    def __init__(self, path: Path | None, setup: str, resources: ExitStack) -> None:
        self.known: dict[tuple[str, str, int], Sample] = {}
        self._file: IO[str] | None = None
        if path is None:
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            kept = self._read(path, setup)
            self._file = resources.enter_context(path.open("a", encoding="utf-8"))
            if self._file.tell() != kept:
                self._file.truncate(kept)  # the line that a killed process did not finish
            if not kept:
                self._write(setup)
        except OSError as error:
            raise output_error(path, error) from error

    def add(self, sample: Sample) -> None:
        """Keep a sample. Raises `OutputError`."""
        self.known[sample.case, sample.data, sample.round] = sample
        if self._file is not None and sample.error is None:
            try:
                self._write(to_json(sample))
            except OSError as error:
                raise OutputError(f"cannot write {self._file.name}: {error.strerror}") from error

    def _write(self, line: str) -> None:
        assert self._file is not None
        self._file.write(line + "\n")
        self._file.flush()

    def _read(self, path: Path, setup: str) -> int:
        """Take in the samples of an earlier run; returns the bytes that are whole lines."""
        if not path.exists():
            return 0
        *lines, _ = path.read_bytes().split(b"\n")
        if lines and lines[0].decode(errors="replace") != setup:
            raise UsageError(
                f"{path} holds samples of another machine, of other versions, or no samples at all",
                hint="name another file with --resume FILE",
            )
        for number, line in enumerate(lines[1:], start=2):
            try:
                sample = from_json(Sample, line)
            except ValueError as error:
                raise UsageError(
                    f"{path}, line {number}: expected a sample of distilcli bench ({error})",
                    hint="name another file with --resume FILE",
                ) from error
            self.known[sample.case, sample.data, sample.round] = sample
        return sum(len(line) + 1 for line in lines)
