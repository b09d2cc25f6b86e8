"""Distillation against sums made by hand, and its chunked form against the plain one."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from distilcli.trainer.losses import IGNORED, LossWeights, distillation

WEIGHTS = LossWeights(cross_entropy=0.7, kl=0.9, mse=0.5, temperature=2.0)


def kl_of_two(p: float, q: float) -> float:
    """KL divergence of two distributions over two outcomes, from the first one's probabilities."""
    return p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))


@pytest.mark.parametrize("chunk", [0, 1])
@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_two_outcomes_by_hand(temperature: float, chunk: int) -> None:
    hidden = torch.tensor([[1.0]], requires_grad=True)
    weight = torch.tensor([[math.log(3.0)], [0.0]], requires_grad=True)
    weights = LossWeights(cross_entropy=1.0, kl=0.8, temperature=temperature)
    terms = distillation(
        hidden, weight, torch.tensor([0]), torch.ones(1, 1), torch.zeros(2, 1), weights, chunk
    )
    terms.total.backward()
    # The student says 3/4 (at temperature T: 3^(1/T) to 1), the teacher 1/2.
    softened = 3 ** (1 / temperature) / (3 ** (1 / temperature) + 1)
    kl = kl_of_two(0.5, softened)
    assert terms.tokens == 1
    assert float(terms.cross_entropy) == pytest.approx(-math.log(0.75), rel=1e-5)
    assert float(terms.kl) == pytest.approx(kl, rel=1e-5)
    assert float(terms.total.detach()) == pytest.approx(-math.log(0.75) + 0.8 * temperature**2 * kl, rel=1e-5)
    by_logit = (0.75 - 1) + 0.8 * temperature * (
        softened - 0.5
    )  # of the first logit; minus that of the other
    assert hidden.grad is not None
    assert weight.grad is not None
    assert float(hidden.grad) == pytest.approx(by_logit * math.log(3.0), rel=1e-5)
    assert weight.grad.flatten().tolist() == pytest.approx([by_logit, -by_logit], rel=1e-5)


def example(teacher_width: int = 6) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Random states, output matrices and targets of a batch of 3 x 5 with holes."""
    torch.manual_seed(0)
    targets = torch.randint(0, 11, (3, 5))
    targets[0, :2] = targets[2, 3:] = IGNORED
    hidden, weight = torch.randn(3, 5, 6), torch.randn(11, 6)
    return hidden, weight, targets, torch.randn(3, 5, teacher_width), torch.randn(11, teacher_width)


def outcome(chunk: int, weights: LossWeights = WEIGHTS, width: int = 6, scale: float = 1.0) -> list[Tensor]:
    """Total, terms and gradients of the example."""
    hidden, weight, targets, states, head = example(width)
    hidden.requires_grad_()
    weight.requires_grad_()
    terms = distillation(hidden, weight, targets, states, head, weights, chunk)
    (terms.total * scale).backward()
    assert hidden.grad is not None
    assert weight.grad is not None
    return [terms.total.detach(), terms.cross_entropy, terms.kl, terms.mse, hidden.grad, weight.grad]


@pytest.mark.parametrize("chunk", [1, 4, 11, 64])
@pytest.mark.parametrize("scale", [1.0, 1 / 37])
def test_chunks_of_any_size_equal_the_plain_loss(chunk: int, scale: float) -> None:
    for found, expected in zip(outcome(chunk, scale=scale), outcome(0, scale=scale), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("chunk", [0, 4])
def test_the_plain_formula_over_all_logits(chunk: int) -> None:
    hidden, weight, targets, states, head = example()
    expected = torch.zeros(4)
    for h, y, s in zip(hidden.view(-1, 6), targets.flatten(), states.view(-1, 6), strict=True):
        if y == IGNORED:
            continue
        z, wanted = weight @ h, head @ s
        p, q = (wanted / 2).softmax(0), (z / 2).softmax(0)
        ce, kl = -z.log_softmax(0)[y], (p * (p.log() - q.log())).sum()
        mse = ((h - s) ** 2).mean()
        expected += torch.stack([0.7 * ce + 0.9 * 4 * kl + 0.5 * mse, ce, kl, mse])
    found = outcome(chunk)[:4]
    torch.testing.assert_close(torch.stack(found), expected, rtol=1e-5, atol=1e-5)


def test_a_teacher_of_another_width_has_the_same_right_gradients() -> None:
    weights = replace(WEIGHTS, mse=0.0)
    for found, expected in zip(outcome(4, weights, 9), outcome(0, weights, 9), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("chunk", [0, 4])
def test_positions_without_target_are_never_read(chunk: int) -> None:
    hidden, weight, targets, states, head = example()
    hidden[targets == IGNORED] = torch.nan
    states[targets == IGNORED] = torch.nan
    hidden.requires_grad_()
    terms = distillation(hidden, weight, targets, states, head, WEIGHTS, chunk)
    terms.total.backward()
    assert terms.tokens == 11
    assert torch.isfinite(terms.total)
    assert hidden.grad is not None
    assert not hidden.grad[targets == IGNORED].any()


@pytest.mark.parametrize("chunk", [0, 4])
def test_a_student_that_is_the_teacher_has_no_divergence(chunk: int) -> None:
    hidden, weight, targets, _, _ = example()
    hidden.requires_grad_()
    weights = LossWeights(cross_entropy=0.0, kl=1.0, mse=1.0)
    terms = distillation(hidden, weight, targets, hidden.detach(), weight, weights, chunk)
    terms.total.backward()
    assert float(terms.kl) == pytest.approx(0.0, abs=1e-5)
    assert float(terms.mse) == 0.0
    assert hidden.grad is not None
    assert float(hidden.grad.abs().max()) < 1e-5


@pytest.mark.parametrize("chunk", [0, 4])
def test_without_a_teacher_it_is_cross_entropy(chunk: int) -> None:
    hidden, weight, targets, _, _ = example()
    terms = distillation(hidden, weight, targets, None, None, LossWeights(), chunk)
    expected = torch.nn.functional.cross_entropy(
        (hidden @ weight.T).view(-1, 11), targets.flatten(), ignore_index=IGNORED, reduction="sum"
    )
    assert float(terms.total) == pytest.approx(float(expected), rel=1e-5)
    assert float(terms.kl) == 0.0


def test_a_frozen_output_matrix_gets_no_gradient() -> None:
    hidden, weight, targets, states, head = example()
    hidden.requires_grad_()
    distillation(hidden, weight, targets, states, head, WEIGHTS, 4).total.backward()
    assert hidden.grad is not None
    assert weight.grad is None


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_under_autocast_both_forms_agree_within_its_precision(dtype: torch.dtype) -> None:
    with torch.autocast("cpu", dtype=dtype):
        chunked, dense = outcome(4), outcome(0)
    for found, expected in zip(chunked, dense, strict=True):
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, expected, rtol=0.05, atol=0.05)


class Largest(TorchDispatchMode):
    """Remembers the size of the largest tensor that is made."""

    elements = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        for one in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(one, Tensor):
                self.elements = max(self.elements, one.numel())
        return result


def test_no_tensor_of_tokens_by_vocabulary_exists() -> None:
    torch.manual_seed(0)
    tokens, vocabulary, chunk = 64, 500, 8
    hidden, weight = (
        torch.randn(tokens, 4, requires_grad=True),
        torch.randn(vocabulary, 4, requires_grad=True),
    )
    states, targets = torch.randn(tokens, 4), torch.randint(0, vocabulary, (tokens,))
    with Largest() as seen:
        distillation(hidden, weight, targets, states, weight.detach(), WEIGHTS, chunk).total.backward()
    assert seen.elements == chunk * vocabulary
