"""The way from recordings to a student, stage by stage; each is done once for the inputs that it has.

It knows the order of stages and what each depends on; how one works is the business of its module.
"""

from __future__ import annotations

import dataclasses
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from distilcli import models
from distilcli.accuracy import spelling_of
from distilcli.backends.base import load_backend
from distilcli.errors import UsageError, closest
from distilcli.folders import new_folder
from distilcli.model_folder import TRANSFORMERS
from distilcli.quiet import without_progress_bars
from distilcli.trainer import export, filters, findings, supervised
from distilcli.trainer.card import render_card
from distilcli.trainer.config import Recipe, load_recipe
from distilcli.trainer.deciding import deciding_options, refuse_changed_options
from distilcli.trainer.distill import distil
from distilcli.trainer.durable import writing
from distilcli.trainer.evaluate import evaluate
from distilcli.trainer.packing import pack, summary, write_windows
from distilcli.trainer.pseudo_label import engine_options, label_corpus, place, teacher_hash
from distilcli.trainer.publish import push
from distilcli.trainer.recipe import DistilRecipe, resolved
from distilcli.trainer.report import render
from distilcli.trainer.run import Run
from distilcli.trainer.run_folder import fingerprint
from distilcli.trainer.shipped import find_recipe
from distilcli.trainer.states import store_for
from distilcli.trainer.student import make_student
from distilcli.trainer.text_labels import text_labels
from distilcli.trainer.warm_start import find_start
from distilcli.trainer.watch import Listener
from distilcli.writers.atomic import write_atomically


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of the way: what it needs, what it depends on, what it makes."""

    name: str
    what: str
    """For the plan, in a few words."""
    product: str
    """Path in the run's folder that is there afterwards."""
    work: Callable[[Run], None]
    inputs: Callable[[Run], Sequence[object]]
    """Options and hashes that the product depends on, besides those of the stages before it."""
    needs: tuple[str, ...] = ()
    applies: Callable[[DistilRecipe], bool] = lambda recipe: True
    serves: str = ""
    """The only stage that profits from the product, and could do without: once that is done, so is this."""


def teacher_recipe(recipe: DistilRecipe) -> Recipe:
    """The recipe that the teacher is trained by.

    Its checkpoints go into this run's folder, under the hash of recipe, manifests and the weights that it
    starts from: a changed recipe never goes on from the checkpoints of another.
    """
    found = load_recipe(find_recipe(recipe.teacher.recipe), recipe.teacher.overrides)
    names = (*found.data.manifests, *found.data.validation)
    hashes = [findings.file_hash(Path(name)) for name in names]
    if found.model.start:
        start = find_start(found.model.start)
        hashes.append(teacher_hash(start) if start.is_dir() else findings.file_hash(start))
    identity = fingerprint(found, hashes)
    return dataclasses.replace(found, run=str(recipe.folder / "teacher-run" / identity))


def _train_teacher(run: Run) -> None:
    recipe = teacher_recipe(run.recipe)
    supervised.run_recipe(recipe, lambda done, total: run.listener.progress("teacher", done, total, "steps"))
    export_supervised(recipe, run.recipe.folder / "teacher")


def export_supervised(recipe: Recipe, target: Path) -> None:
    """Writes the newest checkpoint of a supervised run as a Hugging Face folder, whole or not at all."""
    network, vocabulary = export.newest(Path(recipe.run), 1, recipe.model, recipe.data.vocabulary_size)
    shutil.rmtree(target, ignore_errors=True)
    with new_folder(target) as scratch, without_progress_bars():
        export.write_folder(scratch, network, vocabulary, recipe.model)


def _label(run: Run) -> None:
    recipe = run.recipe
    assert run.teacher is not None
    # The name decides the format: a model of the hub is fetched in the one that the backend reads.
    folder = models.resolve(recipe.teacher.model or str(run.teacher), recipe.label.backend).folder
    backend = load_backend(folder, engine_options(recipe.label, place()))
    try:
        label_corpus(
            run.corpus,
            backend,
            recipe,
            recipe.folder / "labels",
            on_progress=lambda done, total: run.listener.progress("label", done, total, "recordings"),
        )
    finally:
        backend.close()


def _label_inputs(run: Run) -> Sequence[object]:
    label = run.recipe.label
    chosen = (label.backend, label.compute_type, label.beam_size, label.timestamps, label.max_tokens)
    return run.corpus.digest, run.hash_of(run.teacher), chosen, run.recipe.data.task


def _filter(run: Run) -> None:
    spelling = spelling_of([run.teacher or run.start])
    filtered = filters.filter_labels(run.corpus, run.labels, run.recipe, spelling)
    filters.write(filtered, run.recipe.folder / "filter")
    run.listener.note(
        f"filter: {len(filtered.kept):,} recordings kept, {len(filtered.dropped):,} dropped, "
        f"{filtered.kept_seconds / 3600:.2f} h kept"
    )


def _pack(run: Run) -> None:
    recipe, vocab = run.recipe, run.tokenizer.vocab
    folder = recipe.folder / "pack"
    if run.validation is not None:
        texts = text_labels(run.validation, run.tokenizer, recipe.data.task)
        usable = {key for key, label in texts.items() if not label.truncated}
        written = [index for index, one in enumerate(run.validation.recordings) if one.key in usable]
        write_windows(folder / "validation.jsonl", pack(run.validation, texts, written, recipe, vocab))
    windows = pack(run.corpus, run.labels, filters.read(recipe.folder / "filter").kept, recipe, vocab)
    write_windows(folder / "windows.jsonl", windows)
    facts = summary(windows, recipe.pack, vocab)
    run.listener.note(
        f"pack: {len(windows):,} windows, {100 * facts['filled']:.0f} % full, "
        f"the longest answer has {facts['longest_answer']:.0f} tokens"
    )


def _pack_inputs(run: Run) -> Sequence[object]:
    return run.recipe.pack, run.recipe.data.task, run.validation.digest if run.validation else None


def _init(run: Run) -> None:
    batches = run.search_batches() if run.recipe.init.search else ()
    made = make_student(run.teacher, run.recipe.folder / "init", run.recipe.init, batches)
    run.listener.note(
        f"init: encoder layers {list(made.encoder_layers)} and decoder layers {list(made.decoder_layers)} "
        f"of {made.source}, {made.parameters / 1e6:,.1f} M parameters"
    )


def _states_inputs(run: Run) -> Sequence[object]:
    return *_distil_inputs(run), run.recipe.distil.cache_encoder


def _distil(run: Run) -> None:
    refuse_changed_options(run.recipe)
    validation = None
    if run.validation is not None:
        validation = (run.validation, run.validation_windows)
    distil(
        run.recipe,
        student=run.recipe.folder / "init",
        teacher=run.teacher,
        corpus=run.corpus,
        windows=run.windows,
        validation=validation,
        listener=run.listener,
    )


def _distil_inputs(run: Run) -> Sequence[object]:
    digests = run.corpus.digest, run.validation.digest if run.validation else None
    return *digests, deciding_options(run.recipe), run.recipe.distil.steps


def _evaluate(run: Run) -> None:
    assert run.validation is not None
    teacher = {"teacher": run.teacher} if run.teacher is not None else {}
    evaluate(run.recipe, run.validation, teacher | {"student": run.recipe.folder / "student"}, run.listener)


def _evaluate_inputs(run: Run) -> Sequence[object]:
    assert run.validation is not None
    return run.validation.digest, run.hash_of(run.teacher), run.recipe.evaluate


def _report(run: Run) -> None:
    data = findings.collect(run.recipe, run.folder, run.corpus, run.validation, run.teacher)
    repository = (
        models.resolve(run.recipe.teacher.model, TRANSFORMERS).repo if run.recipe.teacher.model else None
    )
    page, card = run.recipe.folder / "report.html", run.recipe.folder / "student" / "README.md"
    for path, text in ((page, render(data)), (card, render_card(data, run.recipe, repository))):
        with writing(path):
            write_atomically(path, text)
    run.listener.note(f"report: {page}")


def _publish(run: Run) -> None:
    folder = run.recipe.folder
    address = push(folder / "student", folder / "report.html", run.recipe.report.push_to_hub)
    run.listener.note(f"publish: {address}")


STAGES = (
    Stage(
        "teacher",
        "train the teacher from scratch",
        "teacher/config.json",
        _train_teacher,
        lambda run: (Path(teacher_recipe(run.recipe).run).name,),
        applies=lambda recipe: bool(recipe.teacher.recipe),
    ),
    Stage(
        "label",
        "the teacher transcribes every recording",
        "labels",
        _label,
        _label_inputs,
        ("teacher",),
        lambda recipe: bool(recipe.teacher.model or recipe.teacher.recipe),
    ),
    Stage(
        "filter",
        "leave out labels that are wrong or doubtful",
        "filter/filter.json",
        _filter,
        lambda run: (run.corpus.digest, run.recipe.filter, run.recipe.data.task),
        ("label",),
    ),
    Stage(
        "pack",
        "fill windows with recordings",
        "pack/windows.jsonl",
        _pack,
        _pack_inputs,
        ("filter",),
    ),
    Stage(
        "init",
        "make the student of the teacher's layers",
        "init/config.json",
        _init,
        lambda run: (run.hash_of(run.start), run.recipe.init),
        ("teacher", "pack"),
    ),
    Stage(
        "states",
        "store what the teacher makes of every window",
        "distil/cache",
        store_for,
        _states_inputs,
        ("pack", "init"),
        lambda recipe: recipe.distil.stores_ahead,
        serves="distil",
    ),
    Stage("distil", "train the student", "student/config.json", _distil, _distil_inputs, ("pack", "init")),
    Stage(
        "evaluate",
        "measure teacher and student",
        "evaluate/results.json",
        _evaluate,
        _evaluate_inputs,
        ("distil",),
        lambda recipe: bool(recipe.data.validation),
    ),
    Stage(
        "report",
        "write report and model card",
        "report.html",
        _report,
        lambda run: (run.recipe.report.worst,),
        ("distil", "evaluate", "filter"),
    ),
    Stage(
        "publish",
        "upload the student to the hub",
        "student/README.md",
        _publish,
        lambda run: (run.recipe.report.push_to_hub,),
        ("report",),
        lambda recipe: bool(recipe.report.push_to_hub),
    ),
)
"""In the order in which they run."""


def stages_of(recipe: DistilRecipe) -> tuple[Stage, ...]:
    """The stages that a recipe has."""
    return tuple(stage for stage in STAGES if stage.applies(recipe))


def chosen(recipe: DistilRecipe, name: str | None) -> tuple[Stage, ...]:
    """All stages of a recipe, or the one that is named.

    Raises:
        UsageError: no such stage, or the recipe has no use for it.
    """
    found = stages_of(recipe)
    if name is None:
        return found
    names = [stage.name for stage in STAGES]
    if name not in names:
        raise UsageError(f"--stage must be one of {', '.join(names)}, not '{name}'{closest(name, names)}")
    if name not in [stage.name for stage in found]:
        raise UsageError(
            f"this recipe has no stage '{name}': it has {', '.join(stage.name for stage in found)}"
        )
    return tuple(stage for stage in found if stage.name == name)


def inputs_of(run: Run, stage: Stage) -> str:
    """Hash of everything that a stage's product depends on, the stages before it included."""
    before = [inputs_of(run, one) for one in stages_of(run.recipe) if one.name in stage.needs]
    return fingerprint(stage.name, before, list(stage.inputs(run)))


def is_done(run: Run, stage: Stage) -> bool:
    """Whether a stage's product is there and was made from what it would be made from now.

    A stage that only serves another is done, too, where that one is.
    """
    if any(is_done(run, one) for one in stages_of(run.recipe) if one.name == stage.serves):
        return True
    found = run.folder.finished().get(stage.name)
    if found is None or not (run.recipe.folder / stage.product).exists():
        return False
    needed = [one for one in stages_of(run.recipe) if one.name in stage.needs]
    return all(is_done(run, one) for one in needed) and found.inputs == inputs_of(run, stage)


def run_stages(recipe: DistilRecipe, listener: Listener, only: str | None = None) -> Path:
    """Does what is not done yet, or the stage `only`; returns the run's folder.

    Raises:
        UsageError: the stage does not exist, or what it needs has not been made with these options.
        DistilError: what a stage raises; what was finished stays, and the same command goes on from there.
    """
    run = Run(recipe, listener)
    for stage in chosen(recipe, only):
        missing = [one.name for one in stages_of(recipe) if one.name in stage.needs and not is_done(run, one)]
        if missing:
            raise UsageError(
                f"stage '{stage.name}' needs '{missing[0]}', which has not been run with these options",
                hint=f"add --stage {missing[0]} first, or leave --stage out",
            )
        if is_done(run, stage):
            listener.stage(stage.name, "already done")
            continue
        _work(run, stage)
    return recipe.folder


def _work(run: Run, stage: Stage) -> None:
    inputs = inputs_of(run, stage)
    run.listener.stage(stage.name, "begins")
    run.folder.describe(resolved(run.recipe), run.hashes())
    run.folder.forget(stage.name)
    began = time.monotonic()
    with writing(run.recipe.folder):
        stage.work(run)
    run.changed()
    run.folder.finish(stage.name, inputs, time.monotonic() - began)
    run.folder.describe(resolved(run.recipe), run.hashes())
    run.listener.stage(stage.name, "done")
