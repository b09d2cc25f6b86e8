"""One step: the right loss and gradients, however the batch is cut, cached, frozen or averaged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional
from transformers import WhisperForConditionalGeneration

from distilcli.errors import DistilError
from distilcli.trainer.losses import IGNORED
from distilcli.trainer.recipe import PackOptions
from distilcli.trainer.records import WindowBatch
from distilcli.trainer.step import Stepper
from tests.trainer.distillation import gradients_of, make_batches, make_models, open_stepper, recipe

GROUPS = ((0, 1, 2, 3), (4, 5, 6, 7))
LIVE = {"cache_encoder": False, "cache_teacher": False}

Models = tuple[Path, Path]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    """Teacher and student."""
    return make_models(tmp_path_factory.mktemp("models"))


def stepped(
    run: Path, models: Models, groups: Sequence[Sequence[int]] = GROUPS, lr: float = 1e-3, **options: Any
) -> Stepper:
    """A stepper after one step on some micro-batches."""
    stepper, material = open_stepper(recipe(run, clip=1e9, **options), *models)
    stepper.train(make_batches(stepper, material, groups), lr)
    return stepper


def assert_same_gradients(one: Stepper, other: Stepper) -> None:
    """Compares the gradients of two first steps, within the rounding of float32."""
    mine, theirs = gradients_of(one), gradients_of(other)
    assert mine.keys() == theirs.keys()
    for name, value in mine.items():
        torch.testing.assert_close(value, theirs[name], rtol=1e-3, atol=2e-6)


def reference(batch: WindowBatch, models: Models, temperature: float) -> tuple[float, float]:
    """Summed cross-entropy and KL of a batch by Transformers' own forward pass, both given all inputs."""
    teacher, student = (WhisperForConditionalGeneration.from_pretrained(one).eval() for one in models)
    valid = batch.targets != IGNORED
    with torch.no_grad():
        both = {"input_features": batch.mel, "decoder_input_ids": batch.inputs, "use_cache": False}
        answer = student(**both, labels=batch.targets)
        taught = teacher(**both).logits
    q = (answer.logits[valid] / temperature).log_softmax(-1)
    p = (taught[valid] / temperature).log_softmax(-1)
    divergence = functional.kl_div(q, p, reduction="sum", log_target=True)
    return float(answer.loss * valid.sum()), float(divergence)


@pytest.mark.parametrize("caches", [True, False])
def test_the_loss_is_that_of_transformers_with_the_prompt_in_both_contexts(
    caches: bool, tmp_path: Path, models: Models
) -> None:
    forms = PackOptions(prompt_probability=1.0, timestamp_probability=1.0)
    options = replace(recipe(tmp_path, cache_encoder=caches, cache_teacher=caches), pack=forms)
    stepper, material = open_stepper(options, *models)
    (batch,) = make_batches(stepper, material, [(3, 6, 8)])
    assert (batch.targets[:, :3] == IGNORED).all()  # the prompts
    cross_entropy, kl = reference(batch, models, temperature=2.0)
    sums = stepper.train([batch], 0.0)
    assert sums.tokens == int((batch.targets != IGNORED).sum())
    assert kl > 0.1
    assert sums.cross_entropy == pytest.approx(cross_entropy, rel=1e-5)
    assert sums.kl == pytest.approx(kl, rel=1e-3)
    assert sums.total == pytest.approx(cross_entropy + 0.8 * 4 * kl, rel=1e-4)


def test_chunks_equal_the_plain_loss_and_its_gradients(tmp_path: Path, models: Models) -> None:
    plain, chunked = (stepped(tmp_path, models, chunk_tokens=chunk, **LIVE) for chunk in (0, 7))
    assert_same_gradients(plain, chunked)


def test_four_micro_batches_of_one_equal_one_of_four(tmp_path: Path, models: Models) -> None:
    single = stepped(tmp_path, models, [(0,), (1,), (2,), (3,)], **LIVE)
    whole = stepped(tmp_path, models, [(0, 1, 2, 3)], **LIVE)
    assert_same_gradients(single, whole)


def test_cached_states_give_the_same_bits_as_live_ones(tmp_path: Path, models: Models) -> None:
    live = stepped(tmp_path, models, **LIVE)
    filling = stepped(tmp_path, models)
    cached, material = open_stepper(recipe(tmp_path, clip=1e9), *models)
    batches = make_batches(cached, material, GROUPS)
    assert all(batch.mel is None for batch in batches)
    cached.train(batches, 1e-3)
    teacher = cached.objective.teacher
    assert teacher is not None
    assert not teacher.loaded
    for name, value in live.parameters.items():
        assert torch.equal(value, filling.parameters[name]), name
        assert torch.equal(value, cached.parameters[name]), name


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_cached_states_equal_live_ones_in_half_precision(dtype: str, tmp_path: Path, models: Models) -> None:
    sums = []
    for options in (LIVE, {}, {}):
        stepper, material = open_stepper(recipe(tmp_path, dtype=dtype, **options), *models)
        sums.append(stepper.train(make_batches(stepper, material, GROUPS), 1e-3))
    assert sums[0] == sums[1] == sums[2]


def test_a_changed_encoder_is_not_taken_for_the_teacher_s(tmp_path: Path, models: Models) -> None:
    teacher, student = models
    changed = tmp_path / "changed"
    changed.mkdir()
    for path in student.iterdir():
        (changed / path.name).write_bytes(path.read_bytes())
    weights = load_file(changed / "model.safetensors")
    weights["model.encoder.conv1.weight"] *= 1.5
    save_file(weights, changed / "model.safetensors", metadata={"format": "pt"})
    stepper, material = open_stepper(recipe(tmp_path / "run"), teacher, changed)
    assert stepper.objective.teacher is not None
    assert not stepper.objective.teacher.shares_encoder
    (batch,) = make_batches(stepper, material, [(1, 2)])
    _, kl = reference(batch, (teacher, changed), temperature=2.0)
    assert stepper.train([batch], 0.0).kl == pytest.approx(kl, rel=1e-3)
    assert make_batches(stepper, material, [(1, 2)])[0].mel is None


def test_frozen_parts_stay_and_the_others_move(tmp_path: Path, models: Models) -> None:
    before = load_file(models[1] / "model.safetensors")
    for options, moving in (
        ({"freeze_encoder": False, "cache_encoder": False}, {"encoder", "embed_tokens", "embed_positions"}),
        ({"freeze_embeddings": True, "freeze_positions": True}, set()),
    ):
        stepper = stepped(tmp_path, models, **options)  # type: ignore[arg-type]  # options by name
        after = stepper.objective.student.state_dict()
        changed = {name for name, value in before.items() if not torch.equal(value, after[name])}
        assert any("decoder.layers" in name for name in changed)
        assert any("model.encoder" in name for name in changed) == ("encoder" in moving)
        assert ("model.decoder.embed_tokens.weight" in changed) == ("embed_tokens" in moving)
        assert ("model.decoder.embed_positions.weight" in changed) == ("embed_positions" in moving)
        assert "model.encoder.embed_positions.weight" not in changed


def test_gradient_checkpointing_changes_nothing(tmp_path: Path, models: Models) -> None:
    plain, saving = (
        stepped(tmp_path, models, gradient_checkpointing=on, freeze_encoder=False, **LIVE)
        for on in (False, True)
    )
    assert_same_gradients(plain, saving)


def test_averages_follow_the_weights(tmp_path: Path, models: Models) -> None:
    stepper, material = open_stepper(recipe(tmp_path, ema=0.999), *models)
    name = "model.decoder.layer_norm.weight"
    values = [stepper.parameters[name].detach().clone()]
    for group in GROUPS:
        stepper.train(make_batches(stepper, material, [group]), 1e-2)
        values.append(stepper.parameters[name].detach().clone())
    first = values[0] + (1 - 2 / 11) * (values[1] - values[0])
    expected = first + (1 - 3 / 12) * (values[2] - first)
    assert stepper.averages is not None
    torch.testing.assert_close(stepper.averages.state()[name], expected)
    with stepper.averages.in_place():
        torch.testing.assert_close(stepper.parameters[name].detach(), expected)
    assert torch.equal(stepper.parameters[name], values[2])


def test_measuring_changes_nothing_and_has_no_temperature(tmp_path: Path, models: Models) -> None:
    stepper, material = open_stepper(recipe(tmp_path, **LIVE), *models)
    batches = make_batches(stepper, material, GROUPS)
    sums = stepper.measure(batches)
    expected = [reference(batch, models, temperature=1.0) for batch in batches]
    assert sums.cross_entropy == pytest.approx(sum(one[0] for one in expected), rel=1e-5)
    assert sums.kl == pytest.approx(sum(one[1] for one in expected), rel=1e-3)
    assert sums.total == pytest.approx(sums.cross_entropy + 0.8 * sums.kl, rel=1e-5)
    assert sums == stepper.measure(batches)
    assert all(value.grad is None for value in stepper.parameters.values())


def test_a_loss_that_is_not_finite_stops_before_the_weights_and_names_the_window(
    tmp_path: Path, models: Models
) -> None:
    stepper, material = open_stepper(recipe(tmp_path, **LIVE), *models)
    good, bad = make_batches(stepper, material, [(0, 1), (2,)])
    assert bad.mel is not None
    bad.mel[:] = torch.nan
    before = {name: value.detach().clone() for name, value in stepper.parameters.items()}
    with pytest.raises(DistilError, match=r"loss of step 1 is nan; its batch: 0-2$"):
        stepper.train([good, bad], 1e-3)
    for name, value in stepper.parameters.items():
        assert torch.equal(value, before[name])
