"""What `--dry-run` prints: the stages of a recipe, which are done, and what the others will roughly cost.

It looks at files and asks models and sources for their size; it decodes, downloads and writes nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

from distilcli import models
from distilcli.audio import probe
from distilcli.errors import EnvironmentProblem, InputError
from distilcli.model_folder import TRANSFORMERS
from distilcli.trainer import plan
from distilcli.trainer.config import PhaseOptions, Recipe
from distilcli.trainer.model_facts import ModelFacts, model_facts
from distilcli.trainer.plan import Size
from distilcli.trainer.recipe import DistilRecipe, SourceOptions
from distilcli.trainer.run import Run
from distilcli.trainer.sources import Item, open_source
from distilcli.trainer.stages import is_done, stages_of, teacher_recipe
from distilcli.trainer.warm_start import find_start
from distilcli.trainer.watch import Listener

DATA_SET_FILES = ("dataset_info.json", "dataset_dict.json")
"""What a data set that was saved to disk has; its rows would have to be read to be counted."""

PROBED = 40
"""Recordings of a source whose length is looked up; their mean stands for all."""


def describe(recipe: DistilRecipe) -> Iterator[str]:
    """Yields the lines of the plan.

    Raises:
        NoInputError: a source of the recipe is not there.
        UsageError: a model or an option cannot be what the recipe says.
    """
    run = Run(recipe, Listener())
    begun = bool(run.folder.finished())
    training = size_of(recipe.data.sources, recipe.data.language)
    validation = size_of(recipe.data.validation, recipe.data.language) if recipe.data.validation else None
    teacher, start = _teacher(recipe), _start(recipe)
    known: dict[str, plan.Estimate] = {}
    if training is not None and start is not None:
        student = student_facts(recipe, start)
        known = {one.stage: one for one in plan.estimates(recipe, training, validation, teacher, student)}
        if recipe.teacher.recipe:
            known["teacher"] = _schooling(teacher_recipe(recipe))
    speed = plan.measured_speed(recipe.distil.device) if known else 0.0
    yield f"run folder  {recipe.folder}"
    yield f"data        {_size(training)}" + (f"; validation {_size(validation)}" if validation else "")
    yield f"{'stage':12}{'state':12}{'about':12}what"
    for stage in stages_of(recipe):
        done = begun and is_done(run, stage)
        estimate = known.get(stage.name)
        cost = plan.duration(estimate.seconds(speed)) if estimate and estimate.flops and not done else ""
        what = f"{stage.what}: {estimate.what}" if estimate else stage.what
        yield f"{stage.name:12}{'done' if done else 'to do':12}{cost:12}{what}"
    disk = sum(one.disk for one in known.values())
    if known:
        yield f"disk        about {plan.megabytes(disk)} in the run folder"
        yield f"speed       {speed / 1e9:,.0f} GFLOP/s measured here; times are rough, on one device"
    else:
        yield "no times: the recordings cannot be counted or the models are not on this machine yet"


def _schooling(recipe: Recipe) -> plan.Estimate:
    """What the teacher learns; not how long it takes, which depends on the lengths of its windows."""
    hours = sum(_hours(recipe, phase) for phase in recipe.phases)
    what = f"{recipe.total_steps:,} steps in {len(recipe.phases)} phases, at most {hours:,.2f} h of audio"
    return plan.Estimate(stage="teacher", what=what)


def _hours(recipe: Recipe, phase: PhaseOptions) -> float:
    """Audio of a phase, padding included."""
    return phase.steps * phase.batch_seconds * recipe.train.accumulate / 3600.0


def describe_supervised(recipe: Recipe) -> Iterator[str]:
    """Yields the lines of the plan of a recipe that trains from scratch."""
    yield f"run folder  {recipe.run}"
    model = recipe.model
    yield (
        f"network     width {model.width}, {model.encoder_layers} encoder and {model.decoder_layers} decoder "
        f"layers, {_from_options(recipe).parameters / 1e6:,.1f} M parameters"
    )
    if model.start:
        yield f"begins with {find_start(model.start)}"
    yield f"{'phase':12}{'steps':>8}  audio"
    for phase in recipe.phases:
        yield f"{phase.name:12}{phase.steps:8,}  at most {_hours(recipe, phase):,.2f} h"


def size_of(sources: Sequence[SourceOptions], language: str) -> Size | None:
    """Counts the recordings of manifests and folders and estimates their length; None: cannot be counted."""
    recordings, seconds = 0, 0.0
    for options in sources:
        path = Path(options.path)
        if options.dataset or any((path / name).is_file() for name in DATA_SET_FILES):
            return None
        items = [one for one in open_source(options, language).items() if isinstance(one, Item)]
        lengths = [found for one in items[:: max(1, len(items) // PROBED)] if (found := _length(one))]
        mean = sum(lengths) / len(lengths) if lengths else 0.0
        recordings += len(items)
        seconds += len(items) * mean
    return Size(recordings=recordings, seconds=seconds)


def student_facts(recipe: DistilRecipe, start: ModelFacts) -> ModelFacts:
    """Shape of the student that a recipe makes of `start`."""
    options = recipe.init
    decoder = len(options.decoder_layer_list) or (0 if options.student else options.decoder_layers)
    encoder = len(options.encoder_layer_list) or options.encoder_layers
    return dataclasses.replace(
        start,
        encoder_layers=encoder or start.encoder_layers,
        decoder_layers=decoder or start.decoder_layers,
    )


def _length(item: Item) -> float:
    """Seconds of a recording by its header; 0 where it cannot be read, which the run will report."""
    if isinstance(item.audio, bytes):
        return 0.0
    try:
        return probe(item.audio).duration or 0.0
    except InputError:
        return 0.0


def _teacher(recipe: DistilRecipe) -> ModelFacts | None:
    """Shape of the teacher; None where there is none or it is not on this machine."""
    if recipe.teacher.recipe:
        return _from_options(teacher_recipe(recipe))
    return _local(recipe.teacher.model) if recipe.teacher.model else None


def _start(recipe: DistilRecipe) -> ModelFacts | None:
    return _local(recipe.init.student) if recipe.init.student else _teacher(recipe)


def _local(name: str) -> ModelFacts | None:
    try:
        return model_facts(models.resolve(name, TRANSFORMERS, offline=True).folder)
    except EnvironmentProblem:
        return None


def _from_options(recipe: Recipe) -> ModelFacts:
    model = recipe.model
    return ModelFacts(
        width=model.width,
        encoder_layers=model.encoder_layers,
        decoder_layers=model.decoder_layers,
        encoder_hidden=4 * model.width,
        decoder_hidden=4 * model.width,
        vocabulary=recipe.data.vocabulary_size,
        mels=model.mels,
    )


def _size(size: Size | None) -> str:
    if size is None:
        return "counted when it is read"
    return f"{size.recordings:,} recordings, about {size.hours:,.2f} h"
