"""Corpora, labels and recipes made of nothing, for tests of packing and of what follows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from distilcli.tokens import Vocab
from distilcli.trainer.recipe import (
    AugmentOptions,
    DataOptions,
    DistilOptions,
    DistilRecipe,
    PackOptions,
    SourceOptions,
    TeacherOptions,
)
from distilcli.trainer.records import Corpus, Labelled, Recording

V3 = Vocab(51866)


@dataclass(frozen=True, kw_only=True)
class Spoken:
    """One recording to make; in its label a number is a timestamp in steps of 20 ms, a list is text."""

    seconds: float
    label: Sequence[int | list[int]] = (0, [100], 10)
    speaker: str | None = "anna"
    source: str = "speech.jsonl"
    language: str = "en"
    weight: float = 1.0
    truncated: bool = False
    level: int = 1000
    """Value of every sample."""


def label_ids(label: Sequence[int | list[int]], vocab: Vocab) -> tuple[int, ...]:
    """Turns steps and texts into ids."""
    ids: list[int] = []
    for item in label:
        ids += item if isinstance(item, list) else [vocab.timestamp_begin + item]
    return tuple(ids)


def make_corpus(spoken: Sequence[Spoken], vocab: Vocab = V3) -> tuple[Corpus, dict[str, Labelled]]:
    """Returns a corpus of constant sounds, and its labels by key."""
    recordings: list[Recording] = []
    labels: dict[str, Labelled] = {}
    sounds: list[NDArray[np.int16]] = []
    offset = 0
    for number, one in enumerate(spoken):
        samples = round(one.seconds * 16_000)
        recording = Recording(
            id=f"{number:04d}",
            source=one.source,
            language=one.language,
            offset=offset,
            samples=samples,
            speaker=one.speaker,
            weight=one.weight,
        )
        recordings.append(recording)
        sounds.append(np.full(samples, one.level, dtype=np.int16))
        labels[recording.key] = Labelled(
            key=recording.key,
            tokens=label_ids(one.label, vocab),
            language=one.language,
            task="transcribe",
            avg_logprob=-0.1,
            no_speech_prob=0.01,
            compression_ratio=1.0,
            truncated=one.truncated,
            text="",
        )
        offset += samples
    return Corpus(np.concatenate(sounds), tuple(recordings), (), "digest"), labels


def make_recipe(
    *,
    pack: PackOptions | None = None,
    augment: AugmentOptions | None = None,
    distil: DistilOptions | None = None,
) -> DistilRecipe:
    """Returns a recipe without caches, so that every option may be set."""
    return DistilRecipe(
        run="run",
        data=DataOptions(sources=(SourceOptions(path="speech.jsonl"),)),
        teacher=TeacherOptions(model="teacher"),
        pack=pack or PackOptions(),
        augment=augment or AugmentOptions(),
        distil=replace(distil or DistilOptions(), cache_encoder=False, cache_teacher=False),
    )
