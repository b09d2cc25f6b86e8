"""Keeps two runs out of one folder: who comes second is refused, and a kill leaves nothing locked.

It knows folders and locks; it does not know what is written.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from distilcli.errors import OutputError
from distilcli.folders import acquired
from distilcli.trainer.durable import writing


@contextmanager
def only_writer(folder: Path, what: str, rank: int = 0) -> Iterator[None]:
    """Keeps other runs from writing into a folder meanwhile.

    Args:
        folder: made where it is not there.
        what: is written, for the message.
        rank: of this process; the processes of one run have different ranks and write side by side.

    Raises:
        OutputError: another run is at it, or the folder cannot be written.
    """
    import filelock

    lock = filelock.FileLock(folder / f".writer-{rank:04d}.lock")
    try:
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            taken = acquired(lock)
        if not taken:
            raise OutputError(
                f"another run is writing {what} into {folder}",
                hint="wait until it has ended, or choose another folder: --set run=FOLDER",
            )
        yield
    finally:
        lock.release()
