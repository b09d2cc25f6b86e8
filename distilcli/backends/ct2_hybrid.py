"""When the encoder runs in bfloat16 in PyTorch, and CTranslate2 only decodes. Knows no weights, no windows.

On CPUs CTranslate2 has no bfloat16. Its encoder in int8 is slower than PyTorch's in bfloat16 where the
processor multiplies such numbers fast, and less exact, since it rounds what flows between the layers as well.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from distilcli.backends.bf16_probe import speedup
from distilcli.errors import EnvironmentProblem

HYBRID = "int8_bfloat16"
"""The compute type that says so on CPUs; on CUDA it is one of CTranslate2's own."""

NARROWEST = 768
"""Smallest width of a model for ``auto``. Importing PyTorch takes 1.3 s, which two threads win back in some
fifteen windows of tiny (width 384; eight minutes of sound), but in three of small (768)."""

LEAST = 3.0
"""Smallest `speedup` for ``auto``. By the share of its products in the time, the encoder in bfloat16 takes as
long as that in int8 where it is 2.9 (width 1280), or 2.1 (768)."""

_WAITING = ("GOMP_SPINCOUNT", "1000")
"""How often PyTorch's threads look for each other before they give their core up; the GNU library of threads
reads it when it is loaded. With its own 300,000 a window takes 1.4 times as long where another thread is busy
on one of two cores, and no less where nothing else runs."""

Encode = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Features of a window, (mel bands, frames) -> states, (frames / 2, d_model)."""


def wants_own_encoder(asked: str, device: str, width: int) -> tuple[bool, tuple[str, ...]]:
    """Whether the encoder is PyTorch's, and why; `asked` is a compute type, `device` cpu or cuda.

    It depends on the model and the machine alone, never on a recording. PyTorch is imported where its speed
    has to be measured: once, for who asks for it, and where ``auto`` may choose it.
    """
    if device != "cpu" or not (asked == HYBRID or (asked == "auto" and width >= NARROWEST)):
        return False, ()
    with _short_waits():
        found = speedup()
    wanted = asked == HYBRID or (found is not None and found >= LEAST)
    return wanted, (verdict(found),) if wanted and found else ()


def load_own_encoder(folder: Path, threads: int, asked: str) -> Encode | None:
    """The encoder of a folder in PyTorch; None where ``auto`` would have it, and PyTorch cannot be imported.

    Raises:
        EnvironmentProblem: it is asked for by name, and PyTorch cannot be imported.
        ModelError: a tensor is missing.
    """
    try:
        with _short_waits():
            from distilcli.backends.ct2_encoder import load_encoder
    except (ImportError, OSError) as error:
        if asked != HYBRID:
            return None
        raise EnvironmentProblem(
            f"--compute-type {HYBRID} needs PyTorch on a CPU, which cannot be imported: {error}",
            hint="pip install torch",
        ) from error
    return load_encoder(folder, threads)


def verdict(found: float) -> str:
    """What a `speedup` means, as a sentence."""
    told = f"encoder in bfloat16: {found:.1f} times as fast as float32 here"
    return told if found >= LEAST else f"{told}, which is too little: int8 is faster"


@contextmanager
def _short_waits() -> Iterator[None]:
    """Import PyTorch with `_WAITING`, unless the user has said how threads wait."""
    name, turns = _WAITING
    if name in os.environ or "OMP_WAIT_POLICY" in os.environ:
        yield
        return
    os.environ[name] = turns
    try:
        yield
    finally:
        del os.environ[name]
