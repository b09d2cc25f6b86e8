"""A recipe that is being worked on: corpus, models, labels and windows, opened when they are first needed.

It knows where in the run's folder things are; it does not know the order of stages or make anything.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from distilcli import models
from distilcli.model_folder import TRANSFORMERS, inspect
from distilcli.tokens import Tokenizer
from distilcli.trainer.corpus import open_corpus
from distilcli.trainer.packing import read_windows
from distilcli.trainer.pseudo_label import read_labels, teacher_hash
from distilcli.trainer.recipe import DistilRecipe
from distilcli.trainer.records import Corpus, Labelled, PackedWindow, WindowBatch
from distilcli.trainer.run_folder import RunFolder
from distilcli.trainer.text_labels import text_labels
from distilcli.trainer.watch import Listener
from distilcli.trainer.window_batches import make_window_batch


class Run:
    """A recipe that is being worked on: what its stages share."""

    def __init__(self, recipe: DistilRecipe, listener: Listener) -> None:
        self.recipe = recipe
        self.listener = listener
        self.folder = RunFolder(recipe.folder)
        self._hashes: dict[Path, str] = {}

    @property
    def has_teacher(self) -> bool:
        """Whether there is a model to learn from."""
        return bool(self.recipe.teacher.model or self.recipe.teacher.recipe)

    @cached_property
    def corpus(self) -> Corpus:
        """Recordings to learn from."""
        corpus = open_corpus(
            self.recipe.data.sources,
            self.recipe.data,
            self.recipe.folder / "corpus",
            self._decoding("corpus"),
        )
        for one in corpus.rejected:
            self.listener.note(f"skipped {one.where}: {one.reason}")
        return corpus

    @cached_property
    def validation(self) -> Corpus | None:
        """Recordings to measure with; None where the recipe names none."""
        sources = self.recipe.data.validation
        if not sources:
            return None
        cache = self.recipe.folder / "corpus"
        return open_corpus(sources, self.recipe.data, cache, self._decoding("validation"))

    @cached_property
    def teacher(self) -> Path | None:
        """The teacher's Hugging Face folder."""
        if self.recipe.teacher.recipe:
            return self.recipe.folder / "teacher"
        if self.recipe.teacher.model:
            return models.resolve(self.recipe.teacher.model, TRANSFORMERS).folder
        return None

    @cached_property
    def start(self) -> Path:
        """The Hugging Face folder that the student's weights come from."""
        if self.recipe.init.student:
            return models.resolve(self.recipe.init.student, TRANSFORMERS).folder
        assert self.teacher is not None, "the recipe has a teacher or a student"
        return self.teacher

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer of labels."""
        return Tokenizer.from_folder(self.teacher or self.start)

    @cached_property
    def labels(self) -> dict[str, Labelled]:
        """Labels by recording: the teacher's, or the texts themselves."""
        if self.has_teacher:
            return read_labels(self.recipe.folder / "labels")
        return text_labels(self.corpus, self.tokenizer, self.recipe.data.task)

    @cached_property
    def windows(self) -> tuple[PackedWindow, ...]:
        """What is learnt."""
        return read_windows(self.recipe.folder / "pack" / "windows.jsonl")

    @cached_property
    def validation_windows(self) -> tuple[PackedWindow, ...]:
        """What the loss of validation is measured on."""
        return read_windows(self.recipe.folder / "pack" / "validation.jsonl")

    def search_batches(self) -> list[WindowBatch]:
        """The first windows, for the search of layers."""
        count = min(self.recipe.init.search_windows, len(self.windows))
        step = self.recipe.distil.batch_size
        mels = inspect(self.start, prefer=TRANSFORMERS).n_mels
        return [
            make_window_batch(
                range(at, min(at + step, count)),
                self.windows,
                self.corpus,
                self.tokenizer,
                self.recipe,
                0,
                mels,
            )
            for at in range(0, count, step)
        ]

    def hash_of(self, folder: Path | None) -> str | None:
        """Hash of a model; computed once, until a stage has changed something."""
        if folder is None:
            return None
        if folder not in self._hashes:
            self._hashes[folder] = teacher_hash(folder)
        return self._hashes[folder]

    def changed(self) -> None:
        """Forgets what a stage may have changed: models in the run's folder."""
        inside = self.recipe.folder
        self._hashes = {path: one for path, one in self._hashes.items() if inside not in path.parents}

    def hashes(self) -> dict[str, str]:
        """Hashes of data and models, as far as they are there."""
        found = {"corpus": self.corpus.digest}
        if self.validation is not None:
            found["validation"] = self.validation.digest
        if self.teacher is not None and (self.teacher / "config.json").is_file():
            found["teacher"] = str(self.hash_of(self.teacher))
        return found

    def _decoding(self, name: str) -> Callable[[int], None]:
        return lambda done: self.listener.progress(name, done, 0, "recordings decoded")
