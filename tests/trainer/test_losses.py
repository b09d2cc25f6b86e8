"""Losses against sums made by hand and plain dense formulas."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from distilcli.trainer import losses


def test_cross_entropy_counts_only_valid_positions() -> None:
    hidden = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [5.0, 5.0]]])
    weight = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    targets = torch.tensor([[0, 0, losses.IGNORED]])
    summed, tokens = losses.token_cross_entropy(hidden, weight, targets, torch.zeros(2))
    # logits (1, 0) and (0, 1), answer 0 both times: log(1 + e^-1) and log(1 + e)
    assert tokens == 2
    assert float(summed) == pytest.approx(math.log(1 + math.exp(-1)) + math.log(1 + math.e))


def test_two_micro_batches_weigh_every_token_alike() -> None:
    torch.manual_seed(0)
    hidden, weight = torch.randn(2, 4, 8), torch.randn(5, 8)
    targets = torch.tensor([[0, 1, 2, 3], [4, losses.IGNORED, losses.IGNORED, losses.IGNORED]])
    whole, tokens = losses.token_cross_entropy(hidden, weight, targets, torch.zeros(5))
    parts = [
        losses.token_cross_entropy(hidden[i : i + 1], weight, targets[i : i + 1], torch.zeros(5))[0]
        for i in range(2)
    ]
    assert tokens == 5
    assert float(sum(parts)) == pytest.approx(float(whole), rel=1e-6)


def test_ctc_equals_the_sum_over_all_alignments() -> None:
    torch.manual_seed(0)
    logits = torch.randn(1, 4, 3)
    log_probs = logits[0].log_softmax(-1)

    def collapse(path: tuple[int, ...]) -> list[int]:
        return [label for label, _ in itertools.groupby(path) if label]

    paths = [path for path in itertools.product(range(3), repeat=4) if collapse(path) == [1, 2]]
    total = sum(math.exp(sum(float(log_probs[t, label]) for t, label in enumerate(path))) for path in paths)
    loss = losses.ctc(logits, [[1, 2]], [4])
    assert float(loss) == pytest.approx(-math.log(total) / 2, rel=1e-5)  # nats per character


def test_ctc_leaves_silent_windows_out() -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, 6, 3)
    both = losses.ctc(logits, [[1, 2], []], [6, 6])
    assert float(both) == pytest.approx(float(losses.ctc(logits[:1], [[1, 2]], [6])), rel=1e-6)
    assert float(losses.ctc(logits, [[], []], [6, 6])) == 0.0


def test_guided_attention_is_free_at_the_expected_time_and_dear_far_away() -> None:
    seconds = torch.tensor([0.0, 1.0, 2.0])
    expected = torch.tensor([[1.0, math.nan]])
    there = torch.tensor([[[[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]]])  # the second token expects nothing
    assert float(losses.guided_attention(there, expected, seconds, 0.5)) == 0.0
    away = torch.tensor([[[[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]]]])
    penalty = 0.5 * (1 - math.exp(-(1.0**2) / (2 * 0.5**2)))
    assert float(losses.guided_attention(away, expected, seconds, 0.5)) == pytest.approx(penalty, rel=1e-6)


def test_guided_attention_without_any_expectation_is_zero() -> None:
    weights = torch.full((1, 1, 2, 3), 1 / 3)
    expected = torch.full((1, 2), math.nan)
    assert float(losses.guided_attention(weights, expected, torch.arange(3.0), 0.5)) == 0.0
