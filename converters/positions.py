"""Whisper's sinusoids: the encoder's positions, which some runtimes compute instead of reading them."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from distilcli.converters.checkpoint import Checkpoint
from distilcli.errors import ModelError

_NAME = "encoder.positional_embedding"
_TOLERANCE = 5e-3  # bfloat16 rounds numbers under 1 by up to 0.002


def sinusoids(length: int, channels: int) -> Tensor:
    """Positions of the encoder, (length, channels), float32 (openai/whisper `model.py`, `sinusoids`)."""
    step = math.log(10_000) / (channels // 2 - 1)
    rates = torch.exp(-step * torch.arange(channels // 2))
    angles = torch.arange(length)[:, None] * rates[None, :]
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def need_sinusoids(checkpoint: Checkpoint, target: str) -> None:
    """Refuse a checkpoint whose encoder learned positions of its own: `target` would drop them.

    Raises:
        ModelError: they differ by more than rounding.
    """
    found = checkpoint.openai_tensor(_NAME).float()
    difference = float((found - sinusoids(*found.shape)).abs().max())
    if difference > _TOLERANCE:
        raise ModelError(
            f"{target} computes the encoder's positions itself, and those of {checkpoint.folder} differ from "
            f"Whisper's sinusoids by up to {difference:.3f}"
        )
