"""What a distillation learns from: windows with their sound, and the models with their caches on disk.

It refuses what does not fit together before the first step; it does not know steps or checkpoints.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from distilcli.errors import OutputError, UsageError
from distilcli.tokens import Tokenizer
from distilcli.trainer.caches import StateCache, open_cache
from distilcli.trainer.model_facts import FRAMES, model_facts
from distilcli.trainer.objective import Objective
from distilcli.trainer.ranks import Ranks
from distilcli.trainer.recipe import AugmentOptions, DistilOptions, DistilRecipe
from distilcli.trainer.records import Corpus, PackedWindow, WindowBatch
from distilcli.trainer.student_folder import load_student
from distilcli.trainer.teacher import Teacher
from distilcli.trainer.weights import ENCODER, fingerprint
from distilcli.trainer.window_batches import make_window_batch

Windows = tuple[Corpus, Sequence[PackedWindow]]
"""Recordings and the windows made of them."""


@dataclass(frozen=True, slots=True)
class Material:
    """Windows and everything that turns them into batches."""

    corpus: Corpus
    windows: Sequence[PackedWindow]
    recipe: DistilRecipe
    tokenizer: Tokenizer
    mels: int

    def batch(self, numbers: Sequence[int], epoch: int, objective: Objective) -> WindowBatch:
        """Returns a micro-batch, without its sound where the caches have all that is needed of it."""
        if objective.caches:
            silent = self.silent(numbers, epoch)
            if not objective.needs_sound(silent):
                return silent
        return self._made(numbers, epoch, with_mel=True)

    def silent(self, numbers: Sequence[int], epoch: int) -> WindowBatch:
        """Returns a micro-batch without its sound."""
        return self._made(numbers, epoch, with_mel=False)

    def _made(self, numbers: Sequence[int], epoch: int, *, with_mel: bool) -> WindowBatch:
        shared = (self.windows, self.corpus, self.tokenizer, self.recipe, epoch, self.mels)
        return make_window_batch(numbers, *shared, with_mel=with_mel)

    def describe(self, key: str) -> str:
        """Names the recordings of a window."""
        for window in self.windows:
            if window.key == key:
                return " + ".join(self.corpus.recordings[part.recording].key for part in window.parts)
        return key

    def digest(self) -> str:
        """Hash of all windows and their sound."""
        content = "".join(map(repr, self.windows))
        return hashlib.sha256(f"{self.corpus.digest}|{content}".encode()).hexdigest()


def plain(recipe: DistilRecipe) -> DistilRecipe:
    """Returns a recipe without augmentation and with windows of 30 s only: what is measured never changes."""
    return replace(recipe, augment=AugmentOptions(), distil=replace(recipe.distil, elastic_seconds=()))


def open_materials(
    recipe: DistilRecipe, student: Path, learnt: Windows, measured: Windows | None
) -> tuple[Material, Material | None]:
    """Returns what is learnt and what is measured, for the student in a folder."""
    tokenizer, mels = Tokenizer.from_folder(student), model_facts(student).mels
    validation = None if measured is None else Material(*measured, plain(recipe), tokenizer, mels)
    return Material(*learnt, recipe, tokenizer, mels), validation


def open_objective(
    recipe: DistilRecipe, student: Path, teacher: Path | None, materials: Sequence[Material], ranks: Ranks
) -> Objective:
    """Loads the student, checks that everything fits, and opens the teacher and the caches.

    The encoder is the teacher's too only where both have the same weights, and where it is frozen.

    Args:
        recipe: options.
        student: Hugging Face folder to start from.
        teacher: Hugging Face folder; not used where neither KL nor MSE has a weight.
        materials: all that the objective will see: to learn from, and to validate with.
        ranks: this process.

    Raises:
        UsageError: vocabularies, mel bands, widths or options that do not fit together.
        OutputError: the disk has no room for the encoder's states.
        ModelError: a model folder is damaged.
    """
    options = recipe.distil
    if not options.kl_weight and not options.mse_weight:
        teacher = None
    encoder = fingerprint(student, ENCODER) if options.freeze_encoder else ""
    dtype: torch.dtype = getattr(torch, options.dtype)
    opened = None
    if teacher is not None:
        _refuse_useless_cache(recipe)
        shares = encoder == fingerprint(teacher, ENCODER)
        _fit(student, teacher, options, shares)
        opened = Teacher(teacher, device=ranks.device, dtype=dtype, shares_encoder=shares)
    sound = "|".join(material.corpus.digest for material in materials)
    folder = recipe.folder / "distil" / "cache"
    states = taught = None
    if options.cache_encoder and options.freeze_encoder:
        facts = model_facts(student)
        states = open_cache(folder / "encoder", f"{encoder}|{sound}", facts.width, dtype, ranks.rank)
        windows = sum(len(material.windows) for material in materials)
        what = f"the encoder's states of {windows:,} windows"
        insist_on_room(states, windows * FRAMES, what, "cache_encoder")
    if options.cache_teacher and teacher is not None:
        width = model_facts(teacher).width
        taught = open_cache(folder / "teacher", f"{fingerprint(teacher)}|{sound}", width, dtype, ranks.rank)
    return Objective(
        student=load_student(student, ranks.device),
        options=options,
        device=ranks.device,
        teacher=opened,
        encoder_cache=states,
        teacher_cache=taught,
    )


def _refuse_useless_cache(recipe: DistilRecipe) -> None:
    """Refuses to store the teacher's states where no later epoch can use them."""
    changing = {
        "augmentation of the sound": recipe.augment.changes_sound,
        "distil.elastic_seconds": bool(recipe.distil.elastic_seconds),
        "augment.bpe_dropout": bool(recipe.augment.bpe_dropout),
    }
    guilty = [name for name, is_on in changing.items() if is_on]
    if recipe.distil.cache_teacher and guilty:
        raise UsageError(
            f"distil.cache_teacher cannot be used with {guilty[0]}: no epoch has the inputs of another",
            hint="add --set distil.cache_teacher=false",
        )


def _fit(student: Path, teacher: Path, options: DistilOptions, shares_encoder: bool) -> None:
    """Refuses a teacher and a student that do not go together."""
    mine, theirs = model_facts(student), model_facts(teacher)
    if mine.vocabulary != theirs.vocabulary:
        raise UsageError(
            f"teacher and student need the same vocabulary: {teacher} has {theirs.vocabulary} tokens, "
            f"{student} has {mine.vocabulary}",
            hint="start from this teacher's layers, with an empty init.student, or choose another teacher",
        )
    if options.mse_weight and mine.width != theirs.width:
        raise UsageError(
            f"distil.mse_weight needs states of one width: the teacher's have {theirs.width} elements, "
            f"the student's {mine.width}",
            hint="add --set distil.mse_weight=0.0",
        )
    if mine.mels != theirs.mels and not shares_encoder:
        raise UsageError(
            f"teacher and student need the same number of mel bands: {teacher} has {theirs.mels}, "
            f"{student} has {mine.mels}"
        )


def insist_on_room(cache: StateCache, rows: int, what: str, switch: str) -> None:
    """Refuses to begin what the disk cannot hold.

    Args:
        cache: where the states go; what it has already counts.
        rows: states that it will hold in the end.
        what: names them in the message.
        switch: option of `distil` that does without them.

    Raises:
        OutputError: there is no room.
    """
    wanted = rows * cache.width * cache.dtype.itemsize
    there = sum(path.stat().st_size for path in cache.folder.glob("*.bin"))
    free = shutil.disk_usage(cache.folder).free
    if wanted - there > free:
        raise OutputError(
            f"{what} need {wanted / 1e9:,.1f} GB; {cache.folder} has {free / 1e9:,.1f} GB free",
            hint=f"free some space, or add --set distil.{switch}=false",
        )
