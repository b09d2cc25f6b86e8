"""Transformers' speech recognition pipeline over a folder, as a program of somebody else would use it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from transformers import pipeline

from distilcli.types import SAMPLE_RATE


def batched_texts(folder: Path) -> list[str]:
    """Texts of two half seconds of noise, decoded in one batch."""
    draw = np.random.default_rng(0)
    recogniser = pipeline("automatic-speech-recognition", model=str(folder), batch_size=2)
    noise = [0.1 * draw.standard_normal(SAMPLE_RATE // 2).astype(np.float32) for _ in range(2)]
    return [found["text"] for found in recogniser(noise, generate_kwargs={"max_new_tokens": 2})]
