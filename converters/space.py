"""How much a conversion will write, and whether the disk has room for it. Knows no format."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from math import prod
from pathlib import Path

from distilcli.converters.dims import Dims
from distilcli.converters.naming import expected_shapes
from distilcli.errors import EnvironmentProblem

BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}
"""Bytes of one value."""


def count(shape: Iterable[int]) -> int:
    """Values of a tensor."""
    return prod(shape)


def parameters(dims: Dims) -> int:
    """Values of all tensors of a model, the tied output matrix not counted."""
    return sum(count(shape) for shape in expected_shapes(dims).values())


def need_space(folder: Path, needed: int, purpose: str) -> None:
    """Refuse to begin what will not fit.

    Args:
        folder: existing folder that will be written.
        needed: bytes.
        purpose: subject of the message, such as ``converting models/mine``.

    Raises:
        EnvironmentProblem: the disk has less.
    """
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise EnvironmentProblem(
            f"{purpose} needs {needed / 1e9:.1f} GB, and {folder} has {free / 1e9:.1f} GB free",
            hint="free some space, or choose a folder on a larger disk (for the cache: DISTILCLI_CACHE)",
        )
