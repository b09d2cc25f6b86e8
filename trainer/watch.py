"""Who is told how a run goes: the terminal, `metrics.jsonl`, TensorBoard, Weights & Biases.

It knows rows of numbers; it does not know models or data. The training loop calls one `Listener`.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from distilcli.errors import EnvironmentProblem
from distilcli.trainer.recipe import DistilRecipe, resolved
from distilcli.writers.atomic import output_error

if TYPE_CHECKING:
    from rich.progress import Progress


@dataclass(frozen=True, kw_only=True, slots=True)
class StepRow:
    """What one line of the log says: sums and means since the line before. Losses in nats per token."""

    step: int
    """Optimiser steps done."""
    total: int
    """Steps of the whole run."""
    losses: Mapping[str, float]
    """Name to value, for instance loss, ce, kl, mse; as measured, without their weights."""
    lr: float
    tokens_per_second: float
    audio_hours: float
    """Audio seen since the run began, in hours."""
    gradient_norm: float = 0.0
    epoch: float = 0.0


class Listener:
    """Hears what happens during a run; every method does nothing until it is overridden."""

    def stage(self, name: str, state: str) -> None:
        """A stage changes: `state` is a word or two such as `begins`, `done`, `nothing to do`."""

    def progress(self, name: str, done: float, total: float, unit: str) -> None:
        """A stage has done `done` of `total` units."""

    def step(self, row: StepRow) -> None:
        """A line of the training log."""

    def validated(self, step: int, values: Mapping[str, float]) -> None:
        """The validation losses (nats per token) after `step` steps."""

    def note(self, text: str) -> None:
        """Something worth knowing, in one sentence."""

    def close(self) -> None:
        """The run is over, well or not."""


class Several(Listener):
    """Passes everything on to several listeners, in order."""

    def __init__(self, listeners: Iterable[Listener]) -> None:
        self._listeners = tuple(listeners)

    def stage(self, name: str, state: str) -> None:
        for one in self._listeners:
            one.stage(name, state)

    def progress(self, name: str, done: float, total: float, unit: str) -> None:
        for one in self._listeners:
            one.progress(name, done, total, unit)

    def step(self, row: StepRow) -> None:
        for one in self._listeners:
            one.step(row)

    def validated(self, step: int, values: Mapping[str, float]) -> None:
        for one in self._listeners:
            one.validated(step, values)

    def note(self, text: str) -> None:
        for one in self._listeners:
            one.note(text)

    def close(self) -> None:
        for one in self._listeners:
            one.close()


class MetricsFile(Listener):
    """Appends rows to a JSONL file; a resumed run repeats steps, and the later row of a step counts."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)

    def step(self, row: StepRow) -> None:
        self._append({**asdict(row), "losses": dict(row.losses)})

    def validated(self, step: int, values: Mapping[str, float]) -> None:
        self._append({"step": step, "validation": dict(values)})

    def _append(self, row: Mapping[str, object]) -> None:
        try:
            with self._path.open("a+b") as file:
                file.seek(max(file.seek(0, os.SEEK_END) - 1, 0))
                gap = b"" if file.read(1) in (b"", b"\n") else b"\n"  # a killed run left half a line
                file.write(gap + json.dumps(row).encode() + b"\n")
        except OSError as error:
            raise output_error(self._path, error) from error


@dataclass(frozen=True, slots=True)
class Metrics:
    """What a metrics file holds, each step once, in order of steps."""

    steps: tuple[StepRow, ...]
    validations: tuple[tuple[int, dict[str, float]], ...]


def read_metrics(path: Path) -> Metrics:
    """Reads a metrics file; a last line that a killed run left half written is not there."""
    steps: dict[int, StepRow] = {}
    validations: dict[int, dict[str, float]] = {}
    lines = path.read_text(encoding="utf-8").split("\n") if path.is_file() else []
    for line in lines[:-1]:
        try:
            row = json.loads(line)
        except ValueError:  # half a line
            continue
        if "validation" in row:
            validations[row["step"]] = row["validation"]
        else:
            steps[row["step"]] = StepRow(**row)
    return Metrics(
        steps=tuple(steps[number] for number in sorted(steps)),
        validations=tuple((number, validations[number]) for number in sorted(validations)),
    )


class Lines(Listener):
    """Plain lines on stderr, for logs; progress at every tenth or, without a total, at powers of four."""

    def __init__(self, out: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._out = out or sys.stderr
        self._clock = clock
        self._marks: dict[str, int] = {}
        self._began: tuple[float, int] | None = None

    def stage(self, name: str, state: str) -> None:
        self._say(f"{name}: {state}")

    def progress(self, name: str, done: float, total: float, unit: str) -> None:
        mark = int(10 * done / total) if total else int(math.log(max(done, 1), 4) + 1e-9)
        if mark > self._marks.get(name, 0):
            self._marks[name] = mark
            self._say(
                f"{name}: {done:,.0f} of {total:,.0f} {unit}" if total else f"{name}: {done:,.0f} {unit}"
            )

    def step(self, row: StepRow) -> None:
        now = self._clock()
        if self._began is None or self._began[1] >= row.step:
            self._began = (now, row.step)
        eta = remaining(row, now - self._began[0], self._began[1])
        self._say(f"distil: step {row.step:,} of {row.total:,}  {detail(row)}{eta and f'  {eta} left'}")

    def validated(self, step: int, values: Mapping[str, float]) -> None:
        self._say(f"distil: step {step:,}  validation {losses_text(values)}")

    def note(self, text: str) -> None:
        self._say(text)

    def _say(self, text: str) -> None:
        self._out.write(f"{text}\n")
        self._out.flush()


class Live(Listener):
    """Bars on a terminal: one per stage, and under them the losses, the speed and the loss's curve."""

    def __init__(self) -> None:
        from rich.console import Console, RenderableType
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
        from rich.text import Text

        lines = self._lines = [""]

        class Bars(Progress):
            def get_renderables(self) -> Iterable[RenderableType]:
                yield self.make_tasks_table(self.tasks)
                yield from (Text(line) for line in lines if line)

        self._progress: Progress = Bars(
            TextColumn("{task.description:<9}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[at]}", markup=False),
            TimeRemainingColumn(compact=True),
            console=Console(stderr=True, highlight=False),
            redirect_stdout=False,
            redirect_stderr=True,
        )
        self._tasks: dict[str, Any] = {}  # Rich's task numbers
        self._history: list[float] = []
        self._progress.start()

    def stage(self, name: str, state: str) -> None:
        if name in self._tasks and state == "done":
            task = self._tasks.pop(name)
            total = self._progress.tasks[self._progress.task_ids.index(task)].total
            self._progress.update(task, completed=total or 1, total=total or 1)
            return
        self._progress.console.print(f"{name}: {state}", markup=False)

    def progress(self, name: str, done: float, total: float, unit: str) -> None:
        at = f"{done:,.0f}/{total:,.0f} {unit}" if total else f"{done:,.0f} {unit}"
        self._move(name, done, total or None, at)

    def step(self, row: StepRow) -> None:
        self._history.append(row.losses.get("loss", next(iter(row.losses.values()), 0.0)))
        self._lines[:] = [f"{losses_text(row.losses)}  {sparkline(self._history)}", speed_text(row)]
        self._move("distil", row.step, row.total, f"{row.step:,}/{row.total:,} steps")

    def validated(self, step: int, values: Mapping[str, float]) -> None:
        self.note(f"distil: step {step:,}  validation {losses_text(values)}")

    def note(self, text: str) -> None:
        self._progress.console.print(text, markup=False, soft_wrap=True)

    def close(self) -> None:
        self._progress.stop()

    def _move(self, name: str, done: float, total: float | None, at: str) -> None:
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(name, total=total, at="")
        self._progress.update(self._tasks[name], completed=done, total=total, at=at)


@dataclass(slots=True)
class Board(Listener):
    """TensorBoard events, where the package is installed."""

    folder: Path
    _writer: Any = field(init=False, default=None)  # torch's writer has no type information

    def __post_init__(self) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(self.folder))

    def step(self, row: StepRow) -> None:
        for name, value in scalars(row).items():
            self._writer.add_scalar(name, value, row.step)

    def validated(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(f"validation/{name}", value, step)
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


@dataclass(slots=True)
class WeightsAndBiases(Listener):
    """A run of Weights & Biases."""

    project: str
    name: str
    options: Mapping[str, object]
    _run: Any = field(init=False, default=None)  # the package is optional

    def __post_init__(self) -> None:
        if importlib.util.find_spec("wandb") is None:
            raise EnvironmentProblem(
                "report.wandb_project needs the wandb package, which is not installed",
                hint="pip install wandb",
            )
        wandb: Any = importlib.import_module("wandb")
        self._run = wandb.init(project=self.project, name=self.name, config=dict(self.options))

    def step(self, row: StepRow) -> None:
        self._run.log(scalars(row), step=row.step)

    def validated(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log({f"validation/{name}": value for name, value in values.items()}, step=step)

    def close(self) -> None:
        self._run.finish()


def open_listener(recipe: DistilRecipe, screen: Listener) -> Listener:
    """Returns everyone whom a recipe wants told: `screen`, the metrics file, and the services it names.

    Raises:
        EnvironmentProblem: the recipe names a service whose package is not installed.
    """
    folder = recipe.folder / "distil"
    found = [screen, MetricsFile(folder / "metrics.jsonl")]
    if recipe.report.tensorboard and importlib.util.find_spec("tensorboard") is not None:
        found.append(Board(folder / "tensorboard"))
    if recipe.report.wandb_project:
        found.append(WeightsAndBiases(recipe.report.wandb_project, recipe.folder.name, resolved(recipe)))
    return Several(found)


def scalars(row: StepRow) -> dict[str, float]:
    """A row as named numbers, for services that draw one curve per name."""
    losses = {f"train/{name}": value for name, value in row.losses.items()}
    names = ("lr", "tokens_per_second", "audio_hours", "gradient_norm", "epoch")
    return losses | {f"run/{name}": float(getattr(row, name)) for name in names}


def detail(row: StepRow) -> str:
    """Losses, rate and speed of a row on one line."""
    return f"{losses_text(row.losses)}  {speed_text(row)}"


def speed_text(row: StepRow) -> str:
    """Rate and speed of a row."""
    return f"lr {row.lr:.2e}  {row.tokens_per_second:,.0f} tokens/s  {row.audio_hours:,.2f} h of audio"


def losses_text(losses: Mapping[str, float]) -> str:
    """Losses with their unit."""
    return " ".join(f"{name} {value:.3f}" for name, value in losses.items()) + " nats/token"


def remaining(row: StepRow, seconds: float, since: int) -> str:
    """Time left as h:mm:ss, from the `seconds` that the steps after step `since` took; empty: not known."""
    done = row.step - since
    if done <= 0 or row.step >= row.total:
        return ""
    left = round(seconds / done * (row.total - row.step))
    return f"{left // 3600}:{left // 60 % 60:02d}:{left % 60:02d}"


def sparkline(values: Sequence[float], width: int = 16) -> str:
    """The last values as bars of eight heights, lowest to highest."""
    shown = [value for value in values[-width:] if math.isfinite(value)]
    low, high = min(shown, default=0.0), max(shown, default=0.0)
    scale = 7 / (high - low) if high > low else 0.0
    return "".join("▁▂▃▄▅▆▇█"[round((value - low) * scale)] for value in shown)
