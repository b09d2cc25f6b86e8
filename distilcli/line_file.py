"""A file of JSON lines that only grows, each of which is on the disk when `append` returns. Knows no content.

A process that is killed leaves whole lines and at most a piece of one, which the next reader drops.
"""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

from distilcli.errors import InputError

Record = dict[str, Any]
"""One line: plain JSON values, whose floats come back as they were."""


def read_lines(path: Path) -> tuple[list[Record], int]:
    """The whole lines of a file and the bytes that they take; none where there is no such file.

    Raises:
        InputError: a line other than the last is damaged; the message names it.
        OSError: the file cannot be read.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return [], 0
    whole = content.split(b"\n")[:-1]  # what follows the last line break is torn
    records: list[Record] = []
    size = 0
    for number, line in enumerate(whole, start=1):
        try:
            record = json.loads(line)
            if not isinstance(record, dict):
                raise ValueError("it is no JSON object")
        except ValueError as error:
            if number == len(whole):  # torn by a power cut, which may leave any bytes behind
                break
            raise InputError(f"line {number} of {path} is damaged: {error}") from error
        records.append(record)
        size += len(line) + 1
    return records, size


class LineFile:
    """A file of lines that is open for more of them."""

    def __init__(self, path: Path, size: int = 0) -> None:
        """Keep the first `size` bytes of the file and drop the rest. Raises `OSError`."""
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
        self._descriptor = os.open(path, flags, 0o600)
        self._size = size
        try:
            os.ftruncate(self._descriptor, size)
            _sync_folder(path.parent)
        except OSError:
            self.close()
            raise

    def append(self, record: Record) -> None:
        """Add a line in one write and wait until it is on the disk.

        Raises:
            OSError: it is not there; the lines before it are. Also where the file has lost its name, so that
                nobody could read it again.
        """
        data = json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        if os.fstat(self._descriptor).st_nlink == 0:
            raise OSError(errno.ENOENT, "the file has been removed")
        try:
            if os.write(self._descriptor, data) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._descriptor)
        except OSError:
            os.ftruncate(self._descriptor, self._size)
            raise
        self._size += len(data)

    def close(self) -> None:
        """Close the file; what was appended stays."""
        os.close(self._descriptor)


def _sync_folder(folder: Path) -> None:
    """Have the names in a folder outlive a power cut, where the system can say so."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
