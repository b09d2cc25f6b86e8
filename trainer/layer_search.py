"""Chooses a student's decoder layers by measurement: the lowest KL divergence before any training.

It knows one network and given batches; it does not know files of students or how batches are made.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import WhisperForConditionalGeneration

from distilcli.backends.hf_network import encode
from distilcli.errors import UsageError
from distilcli.quiet import without_progress_bars
from distilcli.trainer.labels import IGNORED
from distilcli.trainer.records import WindowBatch

EXHAUSTIVE = 500
"""Choices up to which all of them are measured: 2 of 32 layers are 496. Beyond, one layer after the other."""

Layers = tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerSearch:
    """What a search found."""

    best: Layers
    """Layers of the teacher's decoder, ascending."""
    tried: tuple[tuple[Layers, float], ...]
    """Every choice that was measured, with its KL divergence in nats per token; lowest first."""


@dataclass(frozen=True, slots=True)
class _Lesson:
    """One batch as the decoder sees it, and what the teacher answers."""

    inputs: Tensor
    encoded: Tensor
    """(batch, positions, d)."""
    valid: Tensor
    """Positions with a target (batch, tokens)."""
    answers: Tensor
    """The teacher's log-probabilities (valid positions, vocabulary) float32."""


def search_layers(teacher: Path, keep: int, batches: Sequence[WindowBatch]) -> LayerSearch:
    """Returns the `keep` decoder layers of the teacher whose student answers most like the teacher.

    Measured is the mean of KL(teacher, student) over all positions with a target, in nats, with the teacher's
    encoder. All choices are tried where they are few; else the layer that lowers it most is added until there
    are enough.

    Raises:
        UsageError: no batches, or more layers wanted than there are.
    """
    if not batches:
        raise UsageError("init.search needs packed windows to measure layers on, and none were given")
    with without_progress_bars():
        model = WhisperForConditionalGeneration.from_pretrained(teacher, dtype=torch.float32).eval()
    layers = list(model.model.decoder.layers)
    if not 1 <= keep <= len(layers):
        raise UsageError(
            f"a student of a model with {len(layers)} layers has 1 to {len(layers)} layers, not {keep}"
        )
    with torch.no_grad():
        lessons = [_lesson(model, batch) for batch in batches]
        tried: dict[Layers, float] = {}
        if comb(len(layers), keep) <= EXHAUSTIVE:
            _measure(model, layers, combinations(range(len(layers)), keep), lessons, tried)
        else:
            chosen: Layers = ()
            while len(chosen) < keep:
                larger = [
                    tuple(sorted((*chosen, layer))) for layer in range(len(layers)) if layer not in chosen
                ]
                _measure(model, layers, larger, lessons, tried)
                chosen = min(larger, key=tried.__getitem__)
    complete = [(choice, nats) for choice, nats in tried.items() if len(choice) == keep]
    ranked = tuple(sorted(complete, key=lambda found: found[1]))
    return LayerSearch(best=ranked[0][0], tried=ranked)


def _lesson(model: WhisperForConditionalGeneration, batch: WindowBatch) -> _Lesson:
    """Encodes a batch once and keeps the teacher's answers."""
    assert batch.mel is not None, "a search needs batches with sound"
    encoded = encode(model.model.encoder, batch.mel)
    valid = batch.targets != IGNORED
    answers = _answers(model, batch.inputs, encoded, valid)
    return _Lesson(batch.inputs, encoded, valid, answers)


def _answers(
    model: WhisperForConditionalGeneration, inputs: Tensor, encoded: Tensor, valid: Tensor
) -> Tensor:
    """Returns log-probabilities at valid positions, (positions, vocabulary) float32."""
    hidden = model.model.decoder(
        input_ids=inputs, encoder_hidden_states=encoded, use_cache=False
    ).last_hidden_state
    logits: Tensor = model.proj_out(hidden[valid])
    return logits.log_softmax(-1)


def _measure(
    model: WhisperForConditionalGeneration,
    layers: Sequence[nn.Module],
    choices: Iterable[Layers],
    lessons: Sequence[_Lesson],
    tried: dict[Layers, float],
) -> None:
    """Adds the KL divergence of every choice to `tried`."""
    positions = sum(len(lesson.answers) for lesson in lessons)
    for choice in choices:
        model.model.decoder.layers = nn.ModuleList(layers[layer] for layer in choice)
        nats = 0.0
        for lesson in lessons:
            own = _answers(model, lesson.inputs, lesson.encoded, lesson.valid)
            nats += float(functional.kl_div(own, lesson.answers, reduction="sum", log_target=True))
        tried[choice] = nats / positions
