"""Tensors in new memory hold what torch itself makes of them."""

from __future__ import annotations

import pytest
import torch

from distilcli.converters.memory import converted, joined

NUMBERS = torch.randn(5, 3, 2, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_numbers_are_those_of_torch(dtype: torch.dtype) -> None:
    for source in (NUMBERS, NUMBERS.mT, NUMBERS[0, 0, 0], NUMBERS.half()):
        assert torch.equal(converted(source, dtype), source.to(dtype))
    parts = [NUMBERS, NUMBERS[:2].half()]
    assert torch.equal(joined(parts, dtype), torch.cat([part.to(dtype) for part in parts]))


def test_nothing_is_copied_that_fits() -> None:
    assert converted(NUMBERS, torch.float32) is NUMBERS
    assert joined([NUMBERS], torch.float32) is not NUMBERS
