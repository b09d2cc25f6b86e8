"""The learning rate's factor at chosen steps."""

from __future__ import annotations

import pytest

from distilcli.trainer.schedule import scale


@pytest.mark.parametrize(
    ("shape", "step", "expected"),
    [
        ("linear", 0, 0.1),
        ("linear", 9, 1.0),
        ("linear", 10, 1.0),
        ("linear", 60, 0.5),
        ("linear", 110, 0.0),
        ("cosine", 35, 0.5 * (1 + 2**-0.5)),
        ("cosine", 60, 0.5),
        ("cosine", 110, 0.0),
        ("constant", 0, 0.1),
        ("constant", 99, 1.0),
    ],
)
def test_warmup_then_shape(shape: str, step: int, expected: float) -> None:
    assert scale(step, warmup=10, total=110, shape=shape) == pytest.approx(expected)
