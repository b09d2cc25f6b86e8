"""Checkpoints that are whole or absent: everything a run needs to go on bit for bit.

It knows files and dictionaries of tensors; it does not know what they mean.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import torch

from distilcli.errors import ModelError

NAME = re.compile(r"step-(\d{7})\.pt")


def listed(folder: Path) -> list[Path]:
    """Returns the checkpoints of a run, oldest first; half-written files are not among them."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if NAME.fullmatch(path.name))


def save(folder: Path, step: int, state: dict[str, object], keep: int) -> Path:
    """Writes `step-NNNNNNN.pt` atomically (fsync, rename), then removes all but the newest `keep`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step-{step:07d}.pt"
    partial = path.with_suffix(".partial")
    with partial.open("wb") as out:
        torch.save(state, out)
        out.flush()
        os.fsync(out.fileno())
    partial.replace(path)
    for old in listed(folder)[:-keep]:
        old.unlink()
    return path


def load(path: Path) -> dict[str, object]:
    """Reads a checkpoint; runs no code from it.

    Raises:
        ModelError: the file is damaged.
    """
    try:
        state: dict[str, object] = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError) as error:
        raise ModelError(f"cannot read the checkpoint {path}: {error}") from error
    return state
