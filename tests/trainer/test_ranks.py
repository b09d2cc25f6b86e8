"""One process alone: its device, and sums that are its own. Several processes: `test_distill`."""

from __future__ import annotations

import pytest
import torch

from distilcli.errors import EnvironmentProblem
from distilcli.trainer.ranks import Ranks, open_ranks


def test_a_single_process_is_the_first_and_sums_are_its_own() -> None:
    ranks = open_ranks("cpu")
    assert ranks == Ranks(torch.device("cpu"), rank=0, world=1)
    assert ranks.first
    values = torch.arange(3.0)
    assert ranks.sum(values) is values
    parameter = torch.nn.Parameter(torch.ones(2))
    ranks.sum_gradients([parameter])
    assert parameter.grad is None
    ranks.wait()


def test_a_device_that_is_not_there_is_a_clear_error() -> None:
    with pytest.raises(EnvironmentProblem, match=r"distil\.device is 'nonsense'"):
        open_ranks("nonsense")
