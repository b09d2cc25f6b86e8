"""Small corpora, recipes and teachers for tests of what happens between recordings and windows."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from distilcli.trainer.recipe import (
    DataOptions,
    DistilRecipe,
    FilterOptions,
    LabelOptions,
    SourceOptions,
    TeacherOptions,
)
from distilcli.trainer.records import Corpus, Labelled, Recording
from distilcli.types import SAMPLE_RATE


def spoken(
    number: int,
    text: str | None = None,
    *,
    seconds: float = 2.0,
    language: str = "en",
    speaker: str | None = None,
) -> Recording:
    """A recording that `corpus_of` gives a place and a sound."""
    return Recording(
        id=f"{number:03d}.wav",
        source="speech",
        language=language,
        offset=0,
        samples=round(seconds * SAMPLE_RATE),
        text=text,
        speaker=speaker,
    )


def corpus_of(recordings: Sequence[Recording], seed: int = 0) -> Corpus:
    """A corpus in memory; the sound of a recording is noise that depends on its id and `seed`."""
    placed, sounds, offset = [], [], 0
    for one in recordings:
        noise = np.random.default_rng([seed, *one.id.encode()])
        sounds.append(noise.integers(-3000, 3000, one.samples, dtype=np.int16))
        placed.append(dataclasses.replace(one, offset=offset))
        offset += one.samples
    return Corpus(np.concatenate(sounds), tuple(placed), (), f"digest-{seed}-{len(placed)}")


def labelled(recording: Recording, text: str, **changes: object) -> Labelled:
    """A label with good scores, changed where asked for; its ids mean nothing."""
    values: dict[str, object] = {
        "key": recording.key,
        "tokens": tuple(range(100, 100 + len(text.split()))),
        "language": recording.language,
        "task": "transcribe",
        "avg_logprob": -0.2,
        "no_speech_prob": 0.01,
        "compression_ratio": 1.0,
        "truncated": False,
        "text": text,
    }
    return Labelled(**values | changes)  # type: ignore[arg-type]  # names and types are those of the fields


def fake_teacher(folder: Path, weights: bytes = b"weights") -> Path:
    """A folder that can be hashed as a teacher, and not loaded."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"d_model": 8}), encoding="utf-8")
    (folder / "model.bin").write_bytes(weights)
    return folder


def recipe_for(
    folder: Path,
    teacher: Path | None = None,
    *,
    label: LabelOptions | None = None,
    filters: FilterOptions | None = None,
    data: DataOptions | None = None,
) -> DistilRecipe:
    """A recipe whose run is in `folder`, with a fake teacher unless one is given."""
    return DistilRecipe(
        run=str(folder / "run"),
        data=data or DataOptions(sources=(SourceOptions(path="speech"),)),
        teacher=TeacherOptions(model=str(teacher or fake_teacher(folder / "teacher"))),
        label=label or LabelOptions(),
        filter=filters or FilterOptions(),
    )
