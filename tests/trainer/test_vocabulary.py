"""The shared row equals the full softmax with tied rows: loss, gradients, expansion."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from distilcli.errors import UsageError
from distilcli.trainer import losses
from distilcli.trainer.vocabulary import CompactVocabulary


def test_loss_and_gradients_equal_the_full_softmax_with_tied_rows() -> None:
    torch.manual_seed(0)
    vocabulary = CompactVocabulary([3, 7, 8], size=50)
    weight = torch.randn(vocabulary.rows, 6, dtype=torch.float64, requires_grad=True)
    hidden = torch.randn(2, 5, 6, dtype=torch.float64)
    targets = torch.tensor([[3, 8, 7, 7, losses.IGNORED], [7, 8, 8, 3, 3]])

    full = vocabulary.expand(weight)
    dense = functional.cross_entropy(
        (hidden @ full.T).flatten(0, 1), targets.flatten(), ignore_index=losses.IGNORED, reduction="sum"
    )
    (dense_gradient,) = torch.autograd.grad(dense, weight)
    compact, tokens = losses.token_cross_entropy(
        hidden, weight, vocabulary.compress(targets), vocabulary.log_multiplicity()
    )
    (gradient,) = torch.autograd.grad(compact, weight)
    assert tokens == 9
    assert float(compact) == pytest.approx(float(dense), rel=1e-6)
    torch.testing.assert_close(gradient, dense_gradient, rtol=1e-5, atol=1e-6)


def test_unused_ids_share_the_last_row() -> None:
    vocabulary = CompactVocabulary([1, 3], size=5)
    assert vocabulary.compress(torch.tensor([0, 1, 2, 3, 4, -100])).tolist() == [2, 0, 2, 1, 2, -100]
    rows = torch.tensor([[1.0], [3.0], [9.0]])
    assert vocabulary.expand(rows).flatten().tolist() == [9.0, 1.0, 9.0, 3.0, 9.0]


def test_rows_of_a_smaller_choice_are_taken_over_and_new_ids_begin_as_the_shared_one() -> None:
    small, large = CompactVocabulary([1, 3], size=6), CompactVocabulary([1, 2, 3], size=6)
    rows = torch.tensor([[1.0], [3.0], [9.0]])
    assert torch.equal(small.adopt(rows, small), rows)
    assert large.adopt(rows, small).flatten().tolist() == [1.0, 9.0, 3.0, 9.0]
    everything = CompactVocabulary(range(6), size=6)
    assert torch.equal(everything.adopt(rows, small), small.expand(rows))


def test_a_vocabulary_that_keeps_everything_has_no_shared_row() -> None:
    vocabulary = CompactVocabulary(range(4), size=4)
    assert vocabulary.rows == 4
    assert vocabulary.log_multiplicity().tolist() == [0.0] * 4


@pytest.mark.parametrize("kept", [[], [-1, 2], [5]])
def test_ids_outside_the_vocabulary_are_refused(kept: list[int]) -> None:
    with pytest.raises(UsageError, match="token ids"):
        CompactVocabulary(kept, size=5)
