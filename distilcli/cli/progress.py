"""What a person sees while a run goes on: a bar on a terminal, plain lines elsewhere; stderr only.

Imported inside command bodies only, with the pipeline.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TextIO

from distilcli.cli import stdout
from distilcli.cli.doubts import sentence
from distilcli.errors import DistilError
from distilcli.languages import LANGUAGES
from distilcli.models import ModelEvent
from distilcli.pipeline import Listener
from distilcli.spans import intersection, total
from distilcli.types import Segment, Span, Transcript
from distilcli.writers.cues import clean, clock, playtime
from distilcli.writers.speakers import said

STEP = 10
"""Percent between two plain lines of one recording."""

_PATIENCE = 5.0
"""Seconds of reading before a plain line says how far it has come."""


class Reporter(Listener):
    """Tells nothing but errors: ``--quiet``. The base of the others.

    With `alone` not even those: the run has one recording, and its error is the error of the run.
    """

    def __init__(self, *, alone: bool = False) -> None:
        self._alone = alone

    def __enter__(self) -> Reporter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def note(self, text: str) -> None:
        """Something worth knowing, in one line."""

    def fetched(self, event: ModelEvent) -> None:
        """A model is being downloaded or converted."""

    def error(self, source: str, error: DistilError) -> None:
        """One recording failed and the run goes on."""
        if self._alone:
            return
        self._print(f"error: {error.message if source in error.message else f'{source}: {error.message}'}")
        if error.hint:
            self._print(f"hint: {error.hint}")

    def file_failed(self, source: str, error: DistilError) -> None:
        self.error(source, error)

    def _print(self, text: str) -> None:
        sys.stderr.write(f"{text}\n")  # in one piece: a thread speaks too when the run is stopped
        sys.stderr.flush()


class LineReporter(Reporter):
    """Plain lines, one for each `STEP` percent of a recording."""

    def __init__(self, *, alone: bool = False) -> None:
        super().__init__(alone=alone)
        self._durations: dict[str, float] = {}
        self._said: dict[str, int] = {}
        self._began: dict[str, float] = {}
        self._reading: dict[str, float] = {}

    def note(self, text: str) -> None:
        self._print(text)

    def warning(self, message: str) -> None:
        self._print(f"warning: {message}")

    def fetched(self, event: ModelEvent) -> None:
        key, step = f"{event.step} {event.name}", 100 * event.done // max(event.total, 1) // STEP
        if step > self._said.get(key, -1):
            self._said[key] = step
            self.note(f"{key}: {_amount(event)}")

    def reading(self, source: str, seconds: float, duration: float | None) -> None:
        began = self._reading.setdefault(source, time.monotonic())
        if not duration or time.monotonic() - began < _PATIENCE:
            return
        key, step = f"reading {source}", int(100 * seconds / duration) // STEP
        if step > self._said.get(key, 0):
            self._said[key] = step
            self.note(f"{key}: {step * STEP} %")

    def file_started(self, source: str, duration: float) -> None:
        self._durations[source], self._began[source] = duration, time.monotonic()
        if duration:  # a live source has none yet
            self.note(f"{source}: {playtime(duration)} long")

    def silence(self, source: str, spans: Sequence[Span]) -> None:
        self.note(
            f"{source}: voice activity: {total(spans):.1f} s of {self._durations[source]:.1f} s "
            "without speech are skipped"
        )

    def language(self, source: str, code: str, probability: float) -> None:
        name = LANGUAGES.get(code, code).title()
        self.note(f"{source}: {name} ({code}, {probability:.0%}); --language {code} skips detection")

    def progress(self, source: str, seconds: float) -> None:
        duration = self._durations[source]
        percent = int(100 * seconds / duration) if duration else 0
        if self._said.get(source, 0) < percent // STEP < 100 // STEP:
            self._said[source] = percent // STEP
            self.note(f"{source}: {percent} % ({playtime(seconds)} of {playtime(duration)})")

    def file_done(self, source: str, transcript: Transcript) -> None:
        if doubt := sentence(transcript):
            self.note(f"{source}: {doubt}")
        took = max(time.monotonic() - self._began[source], 1e-3)
        speed = transcript.duration / took
        self.note(f"{source}: done in {took:.1f} s ({speed:.1f} times as fast as it plays)")


class BarReporter(LineReporter):
    """A bar in seconds of audio with speed and time left, per recording and, for several, in all."""

    def __init__(self, durations: Mapping[str, float], *, alone: bool = False) -> None:
        """`durations` holds what is known beforehand, in seconds, of all recordings of the run."""
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

        super().__init__(alone=alone)
        self._total = dict(durations)
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[at]}", markup=False),
            TextColumn("eta"),
            TimeRemainingColumn(compact=True),
            console=Console(stderr=True, highlight=False),
            # On one screen, printed text must go above the bar; a pipe gets it untouched.
            redirect_stdout=sys.stdout.isatty(),
            redirect_stderr=False,
            transient=True,
        )
        self._done: dict[str, float] = {}
        self._silences: dict[str, Sequence[Span]] = {}
        self._tasks: dict[str, TaskID] = {}
        self._all: TaskID | None = None

    def __enter__(self) -> Reporter:
        self._progress.start()
        if not self._alone:
            self._all = self._progress.add_task("all", at="", total=None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def fetched(self, event: ModelEvent) -> None:
        key = f"{event.step} {event.name}"
        if key not in self._tasks:
            self._tasks[key] = self._progress.add_task(key, total=event.total, at="")
        self._progress.update(self._tasks[key], completed=event.done, total=event.total, at=_amount(event))
        if event.done >= event.total:
            self._progress.remove_task(self._tasks.pop(key))

    def reading(self, source: str, seconds: float, duration: float | None) -> None:
        key = f"reading {source}"
        if key not in self._tasks:
            self._tasks[key] = self._progress.add_task(f"reading {_shown(source)}", total=duration, at="")
        self._progress.update(self._tasks[key], completed=seconds, at=playtime(seconds))

    def _read(self, source: str) -> None:
        """A recording is read, or could not be."""
        task = self._tasks.pop(f"reading {source}", None)
        if task is not None:
            self._progress.remove_task(task)

    def file_started(self, source: str, duration: float) -> None:
        self._read(source)
        self._durations[source], self._began[source] = duration, time.monotonic()
        self._total[source] = duration
        self._tasks[source] = self._progress.add_task(_shown(source), total=duration, at="")
        self._move(source, 0.0)

    def silence(self, source: str, spans: Sequence[Span]) -> None:
        self._silences[source] = spans
        super().silence(source, spans)

    def progress(self, source: str, seconds: float) -> None:
        self._move(source, seconds)

    def file_done(self, source: str, transcript: Transcript) -> None:
        self._move(source, transcript.duration)
        self._progress.remove_task(self._tasks.pop(source))
        super().file_done(source, transcript)

    def file_failed(self, source: str, error: DistilError) -> None:
        self._read(source)
        if source in self._tasks:
            self._progress.remove_task(self._tasks.pop(source))
        self._total.pop(source, None)
        self._done.pop(source, None)
        self._silences.pop(source, None)
        super().file_failed(source, error)

    def _move(self, source: str, seconds: float) -> None:
        self._done[source] = seconds
        duration = self._durations[source]
        took = max(time.monotonic() - self._began[source], 1e-3)
        at = f"{playtime(seconds)}/{playtime(duration)}  {seconds / took:.1f}x"
        self._progress.update(
            self._tasks[source],
            completed=self._heard(source, seconds),
            total=self._heard(source, duration),
            at=at,
        )
        if self._all is not None:
            done, whole = sum(self._done.values()), sum(self._total.values())
            self._progress.update(
                self._all,
                completed=sum(self._heard(one, seconds) for one, seconds in self._done.items()),
                total=whole - sum(map(total, self._silences.values())),
                at=f"{playtime(done)}/{playtime(whole)}",
            )

    def _heard(self, source: str, seconds: float) -> float:
        """How many of the first `seconds` are decoded: the time left does not depend on skipped silence."""
        return seconds - total(intersection(self._silences.get(source, ()), [Span(0.0, seconds)]))

    def _print(self, text: str) -> None:
        self._progress.console.print(text, markup=False, soft_wrap=True)


class TextPrinter(Listener):
    """Prints each segment as soon as it is final, in the order of the inputs; with times when asked for."""

    def __init__(self, sources: list[str], emit: Callable[[str], None], *, times: bool) -> None:
        self._times = times
        self._spoken: set[str] = set()
        self._emit = emit
        self._order = stdout.InOrder(sources, self._say)

    def segment(self, source: str, segment: Segment) -> None:
        text = clean(said(segment).text).replace("\n", " ")
        if text:
            self._order.say(source, f"{_span(segment)} {text}\n" if self._times else f"{text}\n")

    def file_done(self, source: str, transcript: Transcript) -> None:
        self._order.finish(source)

    def file_failed(self, source: str, error: DistilError) -> None:
        self._order.finish(source)

    def _say(self, source: str, text: str) -> None:
        """Emit a line, after an empty one where another recording begins."""
        gap = "\n" if self._spoken and source not in self._spoken else ""
        self._spoken.add(source)
        self._emit(gap + text)


class SilentLines(LineReporter):
    """Plain lines without progress: ``--progress never``."""

    def progress(self, source: str, seconds: float) -> None:
        """Say nothing."""

    def reading(self, source: str, seconds: float, duration: float | None) -> None:
        """Say nothing."""


def reporter(
    mode: str, *, quiet: bool, alone: bool, durations: Callable[[], Mapping[str, float]]
) -> Reporter:
    """The reporter for ``--progress`` and ``--quiet``; `durations` is asked only for a bar."""
    if quiet:
        return Reporter(alone=alone)
    if mode == "always" or (mode == "auto" and is_live_terminal(sys.stderr)):
        return BarReporter(durations(), alone=alone)
    return SilentLines(alone=alone) if mode == "never" else LineReporter(alone=alone)


def is_live_terminal(stream: TextIO) -> bool:
    """True for a terminal that can redraw lines, outside of continuous integration."""
    return stream.isatty() and os.environ.get("TERM") != "dumb" and not os.environ.get("CI")


def _amount(event: ModelEvent) -> str:
    if event.step == "download":
        return f"{event.done / 1e6:.0f} of {event.total / 1e6:.0f} MB"
    return "done" if event.done >= event.total else "once, for this model"


def _span(segment: Segment) -> str:
    """Times as openai/whisper prints them with ``--verbose True``."""
    start, end = (
        clock(round(1000 * max(at, 0.0)), ".", hours=False) for at in (segment.span.start, segment.span.end)
    )
    return f"[{start} --> {end}]"


def _shown(source: str, width: int = 28) -> str:
    """A source's name, cut in front to fit the bar."""
    name = Path(source).name or source
    return name if len(name) <= width else "..." + name[3 - width :]
