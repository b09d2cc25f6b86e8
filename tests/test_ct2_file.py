"""What CTranslate2's own writer has written is read again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ctranslate2.specs import LayerSpec, ModelSpec
from ctranslate2.specs.model_spec import OPTIONAL
from numpy.typing import NDArray

from distilcli.ct2_file import values, variables
from distilcli.errors import ModelError

RANDOM = np.random.default_rng(0)
MATRIX = RANDOM.normal(0, 0.3, (6, 8)).astype(np.float32)
KERNEL = RANDOM.normal(0, 0.3, (4, 5, 3)).astype(np.float32)
BIAS = RANDOM.normal(0, 1, 6).astype(np.float32)


class _Part(LayerSpec):  # type: ignore[misc]  # the library has no annotations
    def __init__(self, weight: NDArray[np.float32], bias: NDArray[np.float32]) -> None:
        self.weight, self.bias = weight.copy(), bias.copy()  # quantising changes them
        self.weight_scale = OPTIONAL


class _Model(ModelSpec):  # type: ignore[misc]  # the library has no annotations
    name, revision = "Parts", 1

    def __init__(self) -> None:
        super().__init__()
        self.linear = _Part(MATRIX, BIAS)
        self.again = _Part(MATRIX, BIAS)
        self.conv = _Part(KERNEL, BIAS[:4])
        self.number = np.dtype("int16").type(20)


def _written(folder: Path, kind: str) -> Path:
    spec = _Model()
    spec.validate()
    spec.optimize(kind)
    spec.save(str(folder))
    return folder / "model.bin"


@pytest.mark.parametrize(
    ("kind", "digits"), [("float32", None), ("float16", 11), ("bfloat16", 8), ("int16", None), ("int8", None)]
)
def test_every_number_format_is_read(tmp_path: Path, kind: str, digits: int | None) -> None:
    path = _written(tmp_path, kind)
    found = variables(path)
    assert found["again/weight"] == found["linear/weight"]  # equal tensors are stored once
    assert int(values(path, found, "number")) == 20
    for name, expected in (("linear/weight", MATRIX), ("again/weight", MATRIX), ("conv/weight", KERNEL)):
        read = values(path, found, name)
        assert (read.dtype, read.shape) == (np.float32, expected.shape)
        np.testing.assert_array_less(np.abs(read - expected), _half_step(expected, kind, digits) + 1e-7)
    np.testing.assert_allclose(values(path, found, "linear/bias"), BIAS, atol=2**-8 * 4)


def _half_step(expected: NDArray[np.float32], kind: str, digits: int | None) -> NDArray[np.float32]:
    """Half of the distance between neighbouring numbers of the format, shape as `expected`."""
    if kind == "int8":  # 127 steps for the largest value of a row
        rows = np.abs(expected).max(tuple(range(1, expected.ndim)), keepdims=True)
        return np.broadcast_to(rows / 127 / 2, expected.shape)
    if kind == "int16":  # 1024 for the largest of the tensor
        return np.full(expected.shape, np.abs(expected).max() / 1024 / 2, np.float32)
    return np.abs(expected) * (0.0 if digits is None else 2.0**-digits)


def test_a_missing_variable_is_named(tmp_path: Path) -> None:
    path = _written(tmp_path, "int8")
    found = variables(path)
    with pytest.raises(ModelError, match=r"model.bin has no encoder/conv1/weight"):
        values(path, found, "encoder/conv1/weight")
    scale = f"{found['linear/weight'].name}_scale"
    del found[scale]
    with pytest.raises(ModelError, match=f"has no {scale}"):
        values(path, found, "linear/weight")
