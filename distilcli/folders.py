"""Folders that appear whole or not at all, made by one process at a time. Knows no content."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from distilcli.errors import EnvironmentProblem

if TYPE_CHECKING:
    from filelock import BaseFileLock


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A scratch folder beside `target` that becomes `target` when the block ends well, and else disappears.

    Another process that wants the same `target` waits; where it was first, its folder stays.
    Unlike a folder of `tempfile`, this one honours the umask.

    Raises:
        EnvironmentProblem: the folder cannot be written.
    """
    import filelock

    scratch = target.with_name(f".{target.name}.{uuid4().hex[:8]}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(target.with_name(f".{target.name}.lock")):
            _remove_leftovers(target)
            scratch.mkdir()
            yield scratch
            if not target.exists():
                os.replace(scratch, target)
    except OSError as error:
        raise EnvironmentProblem(
            f"{target.parent} cannot be written: {error.strerror or error}",
            hint="choose a folder that can be written and has space (for the cache: DISTILCLI_CACHE)",
        ) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def acquired(lock: BaseFileLock) -> bool:
    """Take a lock that is free; returns whether it was."""
    import filelock

    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        return False
    return True


def size_of(folder: Path) -> int:
    """Bytes of all files in a folder, links not counted; 0 when it is not there."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def _remove_leftovers(target: Path) -> None:
    """Scratch folders of processes that were killed: whoever holds the lock knows that nobody uses them."""
    for path in target.parent.glob(f".{target.name}.????????"):
        if path.is_dir():
            shutil.rmtree(path)
