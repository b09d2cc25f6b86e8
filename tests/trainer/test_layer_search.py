"""The search for layers: teachers with layers that do nothing, whose best students are known."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import WhisperForConditionalGeneration

from distilcli.backends.hf_network import encode
from distilcli.errors import UsageError
from distilcli.trainer import layer_search
from distilcli.trainer.layer_search import search_layers
from distilcli.trainer.recipe import InitOptions
from distilcli.trainer.records import WindowBatch
from distilcli.trainer.student import make_student
from tests.support.checkpoint import tiny_checkpoint

IDLE = (1, 2)
"""Layers that add nothing."""


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four decoder layers, of which two add nothing and two much."""
    folder = tiny_checkpoint(tmp_path_factory.mktemp("teacher") / "teacher", layers=(1, 4))
    model = WhisperForConditionalGeneration.from_pretrained(folder)
    with torch.no_grad():
        for number, layer in enumerate(model.model.decoder.layers):
            for part in (layer.self_attn.out_proj, layer.encoder_attn.out_proj, layer.fc2):
                part.weight.mul_(0.0 if number in IDLE else 40.0)
                part.bias.zero_()
    model.save_pretrained(folder)
    return folder


def batch(seed: int) -> WindowBatch:
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randint(0, 50_000, (2, 6), generator=generator)
    targets = inputs.roll(-1, dims=1)
    targets[:, 0] = targets[1, 3:] = -100
    return WindowBatch(
        mel=torch.randn(2, 80, 400, generator=generator),
        inputs=inputs,
        targets=targets,
        keys=("a", "b"),
        variants=("a", "b"),
        seconds=8.0,
    )


@pytest.mark.parametrize("exhaustive", [500, 0])
def test_layers_that_do_nothing_are_left_out(
    teacher: Path, monkeypatch: pytest.MonkeyPatch, exhaustive: int
) -> None:
    monkeypatch.setattr(layer_search, "EXHAUSTIVE", exhaustive)
    found = search_layers(teacher, 2, [batch(0), batch(1)])
    assert found.best == (0, 3)
    assert found.tried[0][1] == pytest.approx(0.0, abs=1e-6)
    assert len(found.tried) == (6 if exhaustive else 3)
    assert [nats for _, nats in found.tried] == sorted(nats for _, nats in found.tried)


def test_the_divergence_is_that_of_the_student_that_is_made(teacher: Path, tmp_path: Path) -> None:
    batches = [batch(0), batch(1)]
    measured = dict(search_layers(teacher, 1, batches).tried)[(3,)]
    make_student(teacher, tmp_path / "init", InitOptions(decoder_layer_list=(3,)))
    whole, student = (
        WhisperForConditionalGeneration.from_pretrained(folder).eval()
        for folder in (teacher, tmp_path / "init")
    )
    nats, positions = 0.0, 0
    for one in batches:
        with torch.no_grad():
            encoded = encode(whole.model.encoder, one.mel)  # type: ignore[arg-type]
            logits = [
                model(encoder_outputs=(encoded,), decoder_input_ids=one.inputs).logits.double()
                for model in (whole, student)
            ]
        p, q = (logit[one.targets != -100].softmax(-1) for logit in logits)
        nats += float((p * (p / q).log()).sum())
        positions += len(p)
    assert measured == pytest.approx(nats / positions, rel=1e-4)


def test_a_student_of_searched_layers(teacher: Path, tmp_path: Path) -> None:
    report = make_student(teacher, tmp_path / "init", InitOptions(search=True), [batch(0)])
    assert report.decoder_layers == (0, 3)
    assert report.search is not None
    assert len(report.search.tried) == 6


def test_no_windows_and_too_many_layers_are_errors(teacher: Path) -> None:
    with pytest.raises(UsageError, match="none were given"):
        search_layers(teacher, 2, [])
    with pytest.raises(UsageError, match="1 to 4 layers, not 5"):
        search_layers(teacher, 5, [batch(0)])
