"""A recipe small enough to run every stage in a test: the toy teacher, which knows two melodies by heart."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from distilcli.sound_files import write_wave
from distilcli.trainer.recipe import DistilRecipe, load_distil_recipe
from distilcli.trainer.watch import Listener, StepRow
from tests.support.toy import LANGUAGE, toy_clip, toy_folder, toy_text

RECIPE = """
run = {run}
[data]
[[data.sources]]
path = {manifest}
[[data.validation]]
path = {manifest}
[teacher]
model = {teacher}
[label]
compute_type = "float32"
threads = 1
[pack]
max_tokens = 64
[init]
decoder_layers = 1
[distil]
steps = 4
batch_size = 1
lr = 1e-3
warmup = 1
dtype = "float32"
device = "cpu"
threads = 1
checkpoint_every = 2
validate_every = 2
log_every = 1
[evaluate]
modes = ["short"]
compute_type = "float32"
bootstrap = 20
[report]
tensorboard = false
"""


@dataclass
class Log(Listener):
    """Remembers what the stages said."""

    stages: list[tuple[str, str]] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def stage(self, name: str, state: str) -> None:
        self.stages.append((name, state))

    def step(self, row: StepRow) -> None:
        self.steps.append(row.step)

    def validated(self, step: int, values: Mapping[str, float]) -> None:
        self.notes.append(f"validated {step}")

    def note(self, text: str) -> None:
        self.notes.append(text)

    def begun(self) -> list[str]:
        """Stages that had something to do."""
        return [name for name, state in self.stages if state == "begins"]


def write_melodies(folder: Path) -> Path:
    """Writes the two melodies and a line each; returns the manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for name, language in LANGUAGE.items():
        write_wave(folder / f"{name}.wav", (toy_clip(name) * 32767).astype(np.int16))
        row = {"audio": f"{name}.wav", "text": toy_text(name).strip(), "language": language, "speaker": name}
        lines.append(json.dumps(row) + "\n")
    (folder / "melodies.jsonl").write_text("".join(lines), encoding="utf-8")
    return folder / "melodies.jsonl"


def write_recipe(folder: Path) -> Path:
    """Writes melodies and a recipe whose run is in `folder`."""
    values = {
        "run": folder / "run",
        "manifest": write_melodies(folder / "data"),
        "teacher": toy_folder("multi"),
    }
    path = folder / "recipe.toml"
    text = RECIPE.format(**{name: json.dumps(str(value)) for name, value in values.items()})
    path.write_text(text, encoding="utf-8")
    return path


def toy_recipe(folder: Path, *overrides: str) -> DistilRecipe:
    """The recipe in a folder, written there on the first call."""
    path = folder / "recipe.toml"
    return load_distil_recipe(path if path.is_file() else write_recipe(folder), overrides)
