"""A tiny teacher, its student, recordings of tones and their windows: what tests of distillation run on."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from distilcli.tokens import Tokenizer, Vocab
from distilcli.trainer.distill import distil
from distilcli.trainer.material import Material, open_objective
from distilcli.trainer.model_facts import model_facts
from distilcli.trainer.ranks import Ranks
from distilcli.trainer.recipe import (
    DataOptions,
    DistilOptions,
    DistilRecipe,
    InitOptions,
    PackOptions,
    SourceOptions,
    TeacherOptions,
)
from distilcli.trainer.records import Corpus, PackedWindow, Part, Recording, WindowBatch
from distilcli.trainer.step import Stepper
from distilcli.trainer.student import make_student
from distilcli.trainer.watch import Listener, StepRow
from tests.support.checkpoint import tiny_checkpoint
from tests.trainer.recordings import ROOT

VOCAB = Vocab(51865)
RATE = 16_000
OPTIONS = DistilOptions(
    steps=6,
    batch_size=2,
    lr=1e-3,
    warmup=2,
    dtype="float32",
    device="cpu",
    threads=1,
    checkpoint_every=2,
    validate_every=3,
    log_every=1,
    keep_last=9,
)


@dataclass
class Heard(Listener):
    """Remembers what it hears."""

    rows: list[StepRow] = field(default_factory=list)
    validations: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def step(self, row: StepRow) -> None:
        self.rows.append(row)

    def validated(self, step: int, values: Mapping[str, float]) -> None:
        self.validations.append((step, dict(values)))

    def note(self, text: str) -> None:
        self.notes.append(text)


def make_models(folder: Path) -> tuple[Path, Path]:
    """Writes a random teacher with two decoder layers and its student with one: (teacher, student).

    Weights are larger than at a usual start: the two would otherwise hardly differ.
    """
    teacher = tiny_checkpoint(folder / "teacher", size=VOCAB.size, layers=(1, 2))
    weights = load_file(teacher / "model.safetensors")
    for name, value in weights.items():
        if value.ndim > 1 and name.startswith("model.decoder"):
            value *= 10.0
    save_file(weights, teacher / "model.safetensors", metadata={"format": "pt"})
    make_student(teacher, folder / "init", InitOptions(decoder_layers=1))
    return teacher, folder / "init"


def tones(count: int = 10, seed: int = 0) -> tuple[Corpus, tuple[PackedWindow, ...]]:
    """Recordings of 1 to 3 s, one per window; labels of 2 to 12 random text ids between two timestamps."""
    rng = np.random.default_rng(seed)
    sounds, recordings, windows, offset = [], [], [], 0
    for number in range(count):
        steps = int(rng.integers(50, 150))  # of 20 ms
        time = np.arange(steps * RATE // 50) / RATE
        sounds.append((8000 * np.sin(2 * np.pi * rng.uniform(200, 2000) * time)).astype(np.int16))
        source = f"tones{seed}"
        recordings.append(
            Recording(id=str(number), source=source, language="en", offset=offset, samples=len(time))
        )
        offset += len(time)
        text = rng.integers(0, 50_000, int(rng.integers(2, 13))).tolist()
        tokens = (VOCAB.timestamp_begin, *text, VOCAB.timestamp_begin + steps)
        windows.append(
            PackedWindow(
                key=f"{seed}-{number}",
                parts=(Part(recording=number, start=0.0, tokens=tokens, seconds=steps / 50),),
                seconds=steps / 50,
                language="en",
                task="transcribe",
                previous=number - 1 if number else None,
            )
        )
    return Corpus(np.concatenate(sounds), tuple(recordings), (), f"{count} tones {seed}"), tuple(windows)


def recipe(run: Path, **changes: object) -> DistilRecipe:
    """A recipe in a folder, with some of `OPTIONS` changed."""
    return DistilRecipe(
        run=str(run),
        data=DataOptions(sources=(SourceOptions(path="tones.jsonl"),)),
        teacher=TeacherOptions(model="teacher"),
        pack=PackOptions(timestamp_probability=0.5, prompt_probability=0.5),
        distil=replace(OPTIONS, **changes),  # type: ignore[arg-type]  # options by name
    )


def open_stepper(
    options: DistilRecipe, teacher: Path | None, student: Path, count: int = 10
) -> tuple[Stepper, Material]:
    """A stepper in this process and the material that makes its batches."""
    material = Material(*tones(count), options, Tokenizer.from_folder(student), model_facts(student).mels)
    ranks = Ranks(torch.device("cpu"))
    objective = open_objective(options, student, teacher, [material], ranks)
    return Stepper(objective=objective, ranks=ranks), material


def make_batches(
    stepper: Stepper, material: Material, groups: Sequence[Sequence[int]], epoch: int = 0
) -> list[WindowBatch]:
    """One micro-batch per group of windows."""
    return [material.batch(group, epoch, stepper.objective) for group in groups]


def gradients_of(stepper: Stepper) -> dict[str, Tensor]:
    """The gradients of the first step: AdamW's first moments are a tenth of them."""
    states = stepper.optimizer.state
    return {name: 10.0 * states[value]["exp_avg"] for name, value in stepper.parameters.items()}


def run_distil(run: Path, models: tuple[Path, Path], listener: Listener, **changes: Any) -> Path:
    """Distils with ten windows of tones and four others to validate with."""
    (corpus, windows), validation = tones(10), tones(4, seed=1)
    return distil(
        recipe(run, **changes),
        student=models[1],
        teacher=models[0],
        corpus=corpus,
        windows=windows,
        validation=validation,
        listener=listener,
    )


@dataclass
class Told(Heard):
    """Writes down every row that it hears, for the process that waits outside."""

    file: Path = Path()

    def step(self, row: StepRow) -> None:
        with self.file.open("a", encoding="utf-8") as out:
            out.write(json.dumps({"step": row.step, **row.losses}) + "\n")

    def rows_told(self) -> list[dict[str, float]]:
        """Whole rows that are in the file."""
        lines = self.file.read_text(encoding="utf-8").split("\n") if self.file.exists() else []
        return [json.loads(line) for line in lines[:-1]]


def start(
    run: Path, models: tuple[Path, Path], told: Path, environment: Mapping[str, str], **changes: Any
) -> BaseProcess:
    """Begins to distil in a process of its own, forked from one that has imported everything."""
    os.environ["PYTHONPATH"] = str(ROOT)  # of the process that forks
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.trainer.distillation"])
    process = context.Process(target=_child, args=(run, models, told, dict(environment), changes))
    process.start()
    return process


def _child(
    run: Path, models: tuple[Path, Path], told: Path, environment: dict[str, str], changes: dict[str, Any]
) -> None:
    os.environ.update(environment)
    run_distil(run, models, Told(file=told), **changes)
