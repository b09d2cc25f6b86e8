"""Differences of tensors, against arithmetic done by hand."""

from __future__ import annotations

import math

import pytest
import torch

from distilcli.converters.compared import compare


def test_error_is_relative_to_the_spread() -> None:
    expected = torch.tensor([1.0, 3.0])  # mean 2, standard deviation 1
    found = compare("x", expected, expected + 0.25, 0.3)
    assert found.rmse == pytest.approx(0.25)
    assert found.passed
    assert not compare("x", expected, expected + 0.25, 0.2).passed


def test_a_constant_tensor_counts_relative_to_its_size() -> None:
    assert compare("x", torch.full((3,), 4.0), torch.full((3,), 5.0), 1.0).rmse == pytest.approx(0.25)
    assert compare("x", torch.zeros(3), torch.full((3,), 0.5), 1.0).rmse == pytest.approx(0.5)


def test_pieces_of_a_large_tensor_add_up() -> None:
    expected = torch.randn(1500, 1500, generator=torch.Generator().manual_seed(3))
    noise = torch.randn(1500, 1500, generator=torch.Generator().manual_seed(4))
    wanted = float(noise.mul(0.1).double().square().mean().sqrt() / expected.double().std(correction=0))
    assert compare("x", expected, expected + 0.1 * noise, 1.0).rmse == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize(
    "found",
    [
        torch.tensor([1.0, 2.0, 3.0]),
        torch.tensor([1.0, 2.0], dtype=torch.float16),
        torch.tensor([1.0, 2.000001]),
    ],
    ids=["shape", "format", "bits"],
)
def test_exact_means_shape_format_and_bits(found: torch.Tensor) -> None:
    assert compare("x", torch.tensor([1.0, 2.0]), found, 0.0).rmse == math.inf


def test_no_number_passes() -> None:
    lost = torch.tensor([1.0, math.nan])
    assert not compare("x", torch.tensor([1.0, 2.0]), lost, 0.5).passed
    over = torch.tensor([1.0, 70_000.0]).half()  # float16 ends at 65504
    assert not compare("x", over, over.clone(), 0.0).passed
