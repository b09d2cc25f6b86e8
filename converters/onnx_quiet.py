"""Keeps what the ONNX libraries tell their own developers off the terminal. Knows no graph."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_NOISY = ("torch.onnx", "onnx_ir", "onnxscript", "onnxruntime")


@contextmanager
def without_advice() -> Iterator[None]:
    """No warnings and no messages below errors of these libraries inside; afterwards as before."""
    root = logging.getLogger()
    loggers = [logging.getLogger(name) for name in _NOISY]
    levels = [logger.level for logger in loggers]
    # One of ONNX Runtime's quantisers sets logging up for the whole process, unless somebody has.
    taken = logging.NullHandler()
    root.addHandler(taken)
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        root.removeHandler(taken)
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
