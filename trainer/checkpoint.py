"""Checkpoints that are whole or absent: everything a run needs to go on bit for bit.

It knows files and dictionaries of tensors; it does not know what they mean.
"""

from __future__ import annotations

import os
import pickle
import re
import shutil
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

import torch

from distilcli.errors import ModelError, OutputError
from distilcli.writers.atomic import output_error

NAME = re.compile(r"(step|best)-(\d{7})\.pt")


def listed(folder: Path, kind: str = "step") -> list[Path]:
    """Returns the checkpoints of a run, oldest first; half-written files are not among them.

    Args:
        folder: of the run.
        kind: `step` (the latest) or `best` (see `keep_best`).
    """
    if not folder.is_dir():
        return []
    found = ((NAME.fullmatch(path.name), path) for path in folder.iterdir())
    return sorted(path for match, path in found if match and match[1] == kind)


def step_of(path: Path) -> int:
    """Steps that a checkpoint's run had done."""
    match = NAME.fullmatch(path.name)
    assert match is not None, f"{path} is not a checkpoint"
    return int(match[2])


def save(folder: Path, step: int, state: dict[str, object], keep: int) -> Path:
    """Writes `step-NNNNNNN.pt` atomically (fsync, rename), then removes all but the newest `keep`.

    Raises:
        OutputError: the disk is full, or the folder cannot be written; earlier checkpoints are untouched.
    """
    path = folder / f"step-{step:07d}.pt"
    partial = path.with_suffix(".partial")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as out:
            torch.save(state, out)
            out.flush()
            os.fsync(out.fileno())
        partial.replace(path)
        _sync(folder)
    except OSError as error:
        raise _not_written(path, partial, output_error(path, error).message) from error
    except RuntimeError as error:  # torch's writer reports a full disk so
        raise _not_written(path, partial, f"cannot write {path}: {error}") from error
    for old in listed(folder)[:-keep]:
        old.unlink()
    return path


def keep_best(path: Path, steps: Collection[int]) -> None:
    """Keeps a checkpoint as `best-NNNNNNN.pt` too, and removes those of steps that are not in `steps`.

    A second name for the same bytes, not a copy, where the file system can do that.
    """
    step, folder = step_of(path), path.parent
    target = folder / f"best-{step:07d}.pt"
    if step in steps:
        partial = target.with_suffix(".partial")
        try:
            partial.unlink(missing_ok=True)
            try:
                os.link(path, partial)
            except OSError:
                shutil.copyfile(path, partial)
            partial.replace(target)
        except OSError as error:
            raise _not_written(target, partial, output_error(target, error).message) from error
    for old in listed(folder, "best"):
        if step_of(old) not in steps:
            old.unlink()


def load(path: Path) -> dict[str, object]:
    """Reads a checkpoint; runs no code from it.

    Raises:
        ModelError: the file is damaged.
    """
    try:
        state: dict[str, object] = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        raise ModelError(f"cannot read the checkpoint {path}: {error}") from error
    return state


def _sync(folder: Path) -> None:
    """Makes a rename survive a power cut, where folders can be opened."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _not_written(path: Path, partial: Path, message: str) -> OutputError:
    """The error for a checkpoint that could not be written; frees what was written of it."""
    with suppress(OSError):  # what else may fail here must not hide the first error
        partial.unlink(missing_ok=True)
    left = listed(path.parent)
    kept = f"; {left[-1].name} is intact" if left else ""
    return OutputError(
        f"{message}{kept}", hint="free some space and run the same command again: it goes on from there"
    )
