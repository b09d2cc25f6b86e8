"""SHA-256 of files, computed once for as long as a large file stays as it is. Knows no format."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path

from distilcli.errors import OutputError
from distilcli.paths import cache_dir
from distilcli.writers.atomic import write_atomically

_LARGE = 16 * 2**20
"""Bytes from which a digest is worth remembering: reading 1.5 GB for it takes seconds."""


def digest_of(paths: Iterable[Path]) -> str:
    """One digest of several files and their names, whatever their order. Raises `OSError`."""
    total = hashlib.sha256()
    for path in sorted(paths, key=lambda one: one.name):
        total.update(f"{path.name}\0{file_digest(path)}\n".encode())
    return total.hexdigest()


def file_digest(path: Path) -> str:
    """The digest of a file as hexadecimal digits.

    That of a large file is remembered in the cache folder, and holds until the file's inode, size or one of
    its times changes: whatever is written into a file, or put in its place, changes the time of the inode,
    which no program can set back. Raises `OSError`.
    """
    path = path.resolve()
    state = path.stat()
    if state.st_size < _LARGE:
        return _computed(path)
    seen = [state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns]
    note = cache_dir() / "digests" / f"{hashlib.sha256(os.fsencode(path)).hexdigest()[:32]}.json"
    remembered = _remembered(note)
    if remembered and remembered[0] == seen:
        return remembered[1]
    digest = _computed(path)
    # Where the cache cannot be written, the next run reads the file again, and nothing else is lost.
    with contextlib.suppress(OSError, OutputError):
        note.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(note, json.dumps({"path": str(path), "state": seen, "sha256": digest}) + "\n")
    return digest


def _remembered(note: Path) -> tuple[list[int], str] | None:
    try:
        found = json.loads(note.read_text(encoding="utf-8"))
        return list(found["state"]), str(found["sha256"])
    except (OSError, ValueError, KeyError, TypeError):  # not there, or damaged: as if it were not there
        return None


def _computed(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
