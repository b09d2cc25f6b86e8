"""What a distillation will ask of its frozen networks, stored beforehand: it then has no teacher in memory.

`accelerate launch -m distilcli.trainer.states --config recipe.toml` shares the work among processes. It knows
which windows the steps of a recipe draw, and in which forms; it does not know losses, optimisers or files.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path

import torch

from distilcli.trainer.command import run_with_recipe
from distilcli.trainer.cursor import Cursor, Place
from distilcli.trainer.losses import IGNORED
from distilcli.trainer.material import Material, Windows, insist_on_room, open_materials, open_objective
from distilcli.trainer.objective import Objective
from distilcli.trainer.only_writer import only_writer
from distilcli.trainer.packing import window_weights
from distilcli.trainer.ranks import Ranks, open_ranks
from distilcli.trainer.recipe import DistilRecipe
from distilcli.trainer.run import Run
from distilcli.trainer.variants import WindowForm, draw_form
from distilcli.trainer.watch import Lines, Listener

Progress = Callable[[int, int], None]
"""Hears how many of this process's windows are stored, each form counted, and how many there are."""


@dataclass(frozen=True, slots=True)
class Question:
    """A micro-batch that training will ask the frozen networks about."""

    material: Material
    epoch: int
    """In which its windows have the forms that are meant."""
    windows: tuple[int, ...]


def store_states(
    recipe: DistilRecipe,
    *,
    student: Path,
    teacher: Path,
    learnt: Windows,
    measured: Windows | None = None,
    ranks: Ranks | None = None,
    on_progress: Progress | None = None,
) -> None:
    """Stores the states of every window in every form that the recipe's steps will draw for it.

    Forms follow from seed, epoch and window, so they are known beforehand. What is stored already stays: a
    run that was killed repeats at most one micro-batch per process, and more steps add what they need. Should
    training ask for something else after all, it loads the teacher and stores the answer itself.

    Args:
        recipe: options.
        student: Hugging Face folder that training will start from; its encoder may be the teacher's.
        teacher: Hugging Face folder.
        learnt: recordings and windows to learn from.
        measured: those whose loss will be measured.
        ranks: this process among those that store, and later train, together.
        on_progress: called after every micro-batch.

    Raises:
        UsageError: vocabularies, widths or options that do not fit together.
        OutputError: the disk has no room for the states, or another run is writing into the folder.
        ModelError: a model folder is damaged.
    """
    ranks = ranks or open_ranks(recipe.distil.device)
    with only_writer(recipe.folder / "distil", "states", ranks.rank):
        learning, measuring = open_materials(recipe, student, learnt, measured)
        materials = [one for one in (learning, measuring) if one is not None]
        objective = open_objective(recipe, student, teacher, materials, ranks)
        objective.student.eval()
        asked = [*questions(learning, ranks.world), *(validation_questions(measuring) if measuring else ())]
        _insist_on_room(objective, asked)
        # Shared out before anybody looks at what is there: the others are writing meanwhile.
        _store(objective, asked[ranks.rank :: ranks.world], on_progress)


def _store(objective: Objective, asked: Sequence[Question], on_progress: Progress | None) -> None:
    """Answers the questions that have no answer yet."""
    done, total = 0, sum(len(one.windows) for one in asked)
    for one in asked:
        if not objective.stored(one.material.silent(one.windows, one.epoch)):
            objective.store(one.material.batch(one.windows, one.epoch, objective))
        done += len(one.windows)
        if on_progress:
            on_progress(done, total)


def questions(material: Material, world: int = 1) -> Iterator[Question]:
    """Yields every window once in every form in which the steps of `world` processes learn it."""
    options = material.recipe.distil
    size = options.batch_size
    cursor = Cursor(weights=window_weights(material.windows, material.corpus), seed=options.seed)
    drawn = _first_draws(material, cursor, size * options.accumulate * world)
    for epoch, group in itertools.groupby(drawn, itemgetter(0)):
        numbers = sorted(number for _, number in group)  # neighbours on disk
        yield from _in_batches(material, epoch, numbers)


def validation_questions(material: Material) -> Iterator[Question]:
    """Yields all windows in micro-batches, in the one form in which their loss is measured."""
    yield from _in_batches(material, 0, range(len(material.windows)))


def _first_draws(material: Material, cursor: Cursor, per_step: int) -> Iterator[tuple[int, int]]:
    """Yields (epoch, window) wherever a window is drawn in a form that it did not have before."""
    seen: set[tuple[int, WindowForm]] = set()
    place = Place()
    for _ in range(material.recipe.distil.steps):
        taken = cursor.take(place, per_step)
        place = taken.after
        for number in taken.windows:
            form = draw_form(material.windows[number], material.recipe, taken.epoch)
            if (number, form) not in seen:
                seen.add((number, form))
                yield taken.epoch, number


def _in_batches(material: Material, epoch: int, numbers: Sequence[int]) -> Iterator[Question]:
    size = material.recipe.distil.batch_size
    for first in range(0, len(numbers), size):
        yield Question(material, epoch, tuple(numbers[first : first + size]))


def _insist_on_room(objective: Objective, asked: Sequence[Question]) -> None:
    """Refuses to begin what the disk cannot hold: a state per token of every answer."""
    if objective.teacher_cache is None:
        return
    batches = (one.material.silent(one.windows, one.epoch) for one in asked)
    rows = sum(int((batch.targets != IGNORED).sum()) for batch in batches)
    what = f"the teacher's states of {sum(len(one.windows) for one in asked):,} windows"
    insist_on_room(objective.teacher_cache, rows, what, "cache_teacher")


def run_stage(recipe: DistilRecipe) -> None:
    """Stores the states for what the earlier stages left in the run's folder, alone or under a launcher.

    Raises:
        NoInputError: a stage has not run yet.
    """
    ranks = open_ranks(recipe.distil.device)
    store_for(Run(recipe, Lines() if ranks.first else Listener()), ranks)
    ranks.wait()


def store_for(run: Run, ranks: Ranks | None = None) -> None:
    """Stores the states of a run whose windows and student are there."""
    recipe = run.recipe
    if not recipe.distil.stores_ahead:
        run.listener.note("states: nothing to store with these options")
        return
    assert run.teacher is not None, "a recipe with these weights has a teacher"
    if recipe.distil.threads:
        torch.set_num_threads(recipe.distil.threads)
    store_states(
        recipe,
        student=recipe.folder / "init",
        teacher=run.teacher,
        learnt=(run.corpus, run.windows),
        measured=None if run.validation is None else (run.validation, run.validation_windows),
        ranks=ranks,
        on_progress=lambda done, total: run.listener.progress("states", done, total, "windows"),
    )


def main(arguments: list[str] | None = None) -> int:
    """Command line of this stage, for one process or many."""
    return run_with_recipe("Store the teacher's states: the stages before have run.", run_stage, arguments)


if __name__ == "__main__":
    sys.exit(main())
