"""The distillation loop: steps, validation, checkpoints, and at the end the student's folder.

`accelerate launch -m distilcli.trainer.distill --config recipe.toml [--set distil.lr=1e-4]` reads what the
earlier stages left in the run's folder. It composes the other modules; it does not know losses or formats.
"""

from __future__ import annotations

import hashlib
import math
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from distilcli.errors import EnvironmentProblem, ModelError, UsageError
from distilcli.trainer import checkpoint
from distilcli.trainer.command import run_with_recipe
from distilcli.trainer.cursor import Cursor, Place, share
from distilcli.trainer.deciding import deciding_options, refuse_changed_options
from distilcli.trainer.material import Material, Windows, open_materials, open_objective
from distilcli.trainer.only_writer import only_writer
from distilcli.trainer.packing import window_weights
from distilcli.trainer.ranks import Ranks, open_ranks
from distilcli.trainer.recipe import DistilRecipe
from distilcli.trainer.records import Corpus, PackedWindow, WindowBatch
from distilcli.trainer.run import Run
from distilcli.trainer.schedule import scale
from distilcli.trainer.step import Stepper, Sums
from distilcli.trainer.student_folder import write_student
from distilcli.trainer.watch import Lines, Listener, StepRow, open_listener
from distilcli.trainer.weights import fingerprint


def distil(
    recipe: DistilRecipe,
    *,
    student: Path,
    teacher: Path | None,
    corpus: Corpus,
    windows: Sequence[PackedWindow],
    validation: Windows | None = None,
    listener: Listener | None = None,
) -> Path:
    """Trains the student to the end of the recipe, from the newest checkpoint on, and writes RUN/student.

    Started again after any interruption, it ends with the same weights, bit for bit on a CPU in float32.
    The written student is the one with the lowest validation loss, or the last without validation; its
    averaged weights where `distil.ema` is on.

    Args:
        recipe: options.
        student: Hugging Face folder to start from.
        teacher: Hugging Face folder; None: cross-entropy on the labels only.
        corpus: recordings to learn from.
        windows: what is learnt at once.
        validation: recordings and windows whose loss is measured.
        listener: hears of steps and validations.

    Returns:
        The folder written.

    Raises:
        UsageError: models, data or options that do not fit together, or not to the checkpoint.
        NoInputError: there is nothing to learn from.
        OutputError: the disk is full; the last checkpoint is intact. Or another run is at it.
        DistilError: a loss that is not finite; the message names the recordings of its batch.
    """
    ranks = open_ranks(recipe.distil.device)
    if recipe.distil.threads:
        torch.set_num_threads(recipe.distil.threads)
    target = recipe.folder / "student"
    with only_writer(recipe.folder / "distil", "checkpoints", ranks.rank):
        material, measured = open_materials(recipe, student, (corpus, windows), validation)
        run = Distillation(recipe, student, teacher, material, measured, ranks, listener or Listener())
        run.resume()
        run.train()
        if ranks.first:
            run.write(target)
        ranks.wait()
    return target


@dataclass(slots=True)
class Distillation:
    """One run of the loop and how far it has come; all of it is in its checkpoints."""

    recipe: DistilRecipe
    start: Path
    """The student's folder before training."""
    teacher: Path | None
    material: Material
    measured: Material | None
    ranks: Ranks
    listener: Listener
    stepper: Stepper = field(init=False)
    cursor: Cursor = field(init=False)
    place: Place = field(default_factory=Place)
    seconds: float = 0.0
    """Audio seen."""
    best: list[tuple[float, int]] = field(default_factory=list)
    """Lowest validation losses (nats per token) and their steps, lowest first."""
    identity: dict[str, str] = field(init=False)
    """Hashes of what must not change while a run goes on."""

    def __post_init__(self) -> None:
        weights = window_weights(self.material.windows, self.material.corpus)
        self.cursor = Cursor(weights=weights, seed=self.recipe.distil.seed)
        materials = [self.material, *([self.measured] if self.measured else [])]
        objective = open_objective(self.recipe, self.start, self.teacher, materials, self.ranks)
        self.stepper = Stepper(objective=objective, ranks=self.ranks, describe=self.material.describe)
        taught = objective.teacher.folder if objective.teacher else None
        self.identity = {
            "data": hashlib.sha256("".join(one.digest() for one in materials).encode()).hexdigest(),
            "student": fingerprint(self.start),
            "teacher": fingerprint(taught) if taught else "",
        }

    @property
    def folder(self) -> Path:
        """Folder of the checkpoints."""
        return self.recipe.folder / "distil"

    def train(self) -> None:
        """Takes the steps that are left."""
        options = self.recipe.distil
        logged = Log(time.monotonic())
        for place, batches in self._batches():
            step = self.stepper.steps
            torch.manual_seed(_mixed(options.seed, step, self.ranks.rank))
            lr = options.lr * scale(step, warmup=options.warmup, total=options.steps, shape=options.schedule)
            sums = self._step(batches, lr)
            step, self.seconds = self.stepper.steps, self.seconds + sums.seconds
            if place.epoch != self.place.epoch:
                self._new_epoch()
            self.place = place
            logged.add(sums)
            last = step == options.steps
            if step % options.log_every == 0 or last:
                self._log(logged, sums.gradient_norm, lr)
                logged = Log(time.monotonic())
            validates = self.measured is not None and (step % options.validate_every == 0 or last)
            saves = step % options.checkpoint_every == 0 or last
            if validates or saves:
                self.stepper.check(batches[-1:])
            improved = validates and self._validate()
            if saves or improved:
                self._save()

    def resume(self) -> None:
        """Goes on from the newest checkpoint that can be read, where there is one.

        Raises:
            UsageError: it belongs to other data or models.
        """
        for path in reversed(checkpoint.listed(self.folder)):
            try:
                state = checkpoint.load(path)
            except ModelError as error:
                self.listener.note(f"{error.message}; trying the one before")
                continue
            changed = [name for name, value in self.identity.items() if state[name] != value]
            if changed:
                raise UsageError(
                    f"{path} was made with other inputs ({', '.join(changed)} changed since)",
                    hint=f"rm -r {self.folder} to begin anew, or set another run folder: --set run=FOLDER",
                )
            self._restore(state)
            self._compare_options(path, state["options"])  # type: ignore[arg-type]  # names and values
            if self.ranks.first:  # a kill may have come between the checkpoint and its second name
                checkpoint.keep_best(path, {step for _, step in self.best})
            self.listener.note(f"going on after step {self.stepper.steps}")
            return

    def _compare_options(self, path: Path, saved: dict[str, object]) -> None:
        """Says which options have changed since a checkpoint; refuses it where no step is left for them."""
        changed = [name for name, value in deciding_options(self.recipe).items() if saved.get(name) != value]
        if not changed:
            return
        if self.stepper.steps >= self.recipe.distil.steps:
            raise UsageError(
                f"{path} is the end of a run with other options: {', '.join(changed)}",
                hint=f"rm -r {self.folder} to train anew, or go on with a higher --set distil.steps",
            )
        self.listener.note(f"changed since the checkpoint: {', '.join(changed)}")

    def write(self, target: Path) -> None:
        """Writes the best student, or the last where nothing was validated."""
        kept = [
            path
            for _, step in self.best
            for path in checkpoint.listed(self.folder, "best")
            if checkpoint.step_of(path) == step
        ]
        state = checkpoint.load(kept[0]) if kept else self._state()
        weights: dict[str, Tensor] = state["averages"] or state["weights"]  # type: ignore[assignment]
        write_student(self.start, weights, target, self.recipe.distil.elastic_seconds)
        self.listener.note(f"the student of step {state['steps']} is in {target}")

    def _batches(self) -> Iterator[tuple[Place, list[WindowBatch]]]:
        """Yields this process's micro-batches of every step left; the next are made while one is learnt."""
        left = self.recipe.distil.steps - self.stepper.steps
        with ThreadPoolExecutor(1) as ahead:
            waiting = [ahead.submit(self._make, self.place)] if left > 0 else []
            while waiting:
                place, batches = waiting.pop().result()
                left -= 1
                if left > 0:
                    waiting.append(ahead.submit(self._make, place))
                yield place, batches

    def _make(self, place: Place) -> tuple[Place, list[WindowBatch]]:
        """Returns this process's micro-batches of the step at `place`, and the place behind it."""
        options, world = self.recipe.distil, self.ranks.world
        taken = self.cursor.take(place, options.batch_size * options.accumulate * world)
        shares = share(taken.windows, options.batch_size, self.ranks.rank, world)
        objective = self.stepper.objective
        return taken.after, [self.material.batch(numbers, taken.epoch, objective) for numbers in shares]

    def _step(self, batches: list[WindowBatch], lr: float) -> Sums:
        """One step; says what to change where the device's memory is too small for it."""
        try:
            return self.stepper.train(batches, lr)
        except torch.OutOfMemoryError as error:
            size, more = self.recipe.distil.batch_size, 2 * self.recipe.distil.accumulate
            raise EnvironmentProblem(
                f"the memory of {self.ranks.device} is too small for distil.batch_size = {size}",
                hint=f"add --set distil.batch_size={max(size // 2, 1)} --set distil.accumulate={more}: "
                "the same steps in less memory",
            ) from error

    def _new_epoch(self) -> None:
        """Frees the teacher where the cache answered for it during a whole epoch."""
        teacher = self.stepper.objective.teacher
        if teacher is not None:
            teacher.release_if_idle()

    def _validate(self) -> bool:
        """Measures the validation loss; returns whether it is among the lowest so far."""
        assert self.measured is not None
        options, objective = self.recipe.distil, self.stepper.objective
        count, size = len(self.measured.windows), options.batch_size
        starts = range(self.ranks.rank * size, count, self.ranks.world * size)
        numbers = (range(start, min(start + size, count)) for start in starts)
        sums = self.stepper.measure(self.measured.batch(one, 0, objective) for one in numbers)
        values = sums.per_token(teacher=objective.teacher is not None, mse=bool(options.mse_weight))
        step = self.stepper.steps
        self.listener.validated(step, values)
        if not math.isfinite(values["loss"]):
            return False
        ranked = sorted({*self.best, (values["loss"], step)})[: options.keep_best]
        improved = ranked != self.best
        self.best = ranked
        return improved

    def _log(self, log: Log, gradient_norm: float, lr: float) -> None:
        """Tells the listener of the steps since the line before."""
        options = self.recipe.distil
        teacher = self.stepper.objective.teacher is not None
        row = StepRow(
            step=self.stepper.steps,
            total=options.steps,
            losses=log.sums.per_token(teacher=teacher, mse=bool(options.mse_weight)),
            lr=lr,
            tokens_per_second=log.sums.tokens / max(time.monotonic() - log.since, 1e-9),
            audio_hours=self.seconds / 3600.0,
            gradient_norm=gradient_norm,
            epoch=self.cursor.progress(self.place),
        )
        self.listener.step(row)

    def _save(self) -> None:
        """Writes a checkpoint, and a second name for it where it is one of the best."""
        if self.ranks.first:
            steps = {step for _, step in self.best}
            options = self.recipe.distil
            path = checkpoint.save(self.folder, self.stepper.steps, self._state(), options.keep_last)
            checkpoint.keep_best(path, steps)
        self.ranks.wait()

    def _state(self) -> dict[str, object]:
        """Everything that the rest of the run depends on.

        Random numbers need no state of their own: every step's follow from the seed and its number.
        """
        here = {"place": [self.place.epoch, self.place.taken], "seconds": self.seconds}
        best = [[value, step] for value, step in self.best]
        return {
            **self.identity,
            **here,
            "options": deciding_options(self.recipe),
            "best": best,
            **self.stepper.state(),
        }

    def _restore(self, state: dict[str, object]) -> None:
        """Goes on from `_state()`."""
        self.stepper.restore(state)
        place: list[int] = state["place"]  # type: ignore[assignment]  # a checkpoint's values have known types
        self.place = Place(*place)
        self.seconds = state["seconds"]  # type: ignore[assignment]
        self.best = [(value, step) for value, step in state["best"]]  # type: ignore[attr-defined]


@dataclass(slots=True)
class Log:
    """What has been added up since the last line of the log."""

    since: float
    """Time of that line, monotonic seconds."""
    sums: Sums = field(default_factory=Sums)

    def add(self, sums: Sums) -> None:
        """Adds one step."""
        self.sums += sums


def _mixed(*numbers: int) -> int:
    """One seed from several numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0])


def run_stage(recipe: DistilRecipe) -> Path:
    """Distils from what the earlier stages left in the run's folder; only the first process reports.

    Raises:
        NoInputError: a stage has not run yet.
        UsageError: there are checkpoints that were made with other options.
    """
    first = open_ranks(recipe.distil.device).first
    if first:
        refuse_changed_options(recipe)
    listener = open_listener(recipe, Lines()) if first else Listener()
    try:
        run = Run(recipe, listener)
        return distil(
            recipe,
            student=recipe.folder / "init",
            teacher=run.teacher,
            corpus=run.corpus,
            windows=run.windows,
            validation=None if run.validation is None else (run.validation, run.validation_windows),
            listener=listener,
        )
    finally:
        listener.close()


def main(arguments: list[str] | None = None) -> int:
    """Command line of the loop, for one process or many."""
    return run_with_recipe("Distil a student: the stages before this one have run.", run_stage, arguments)


if __name__ == "__main__":
    sys.exit(main())
