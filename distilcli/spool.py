"""Decoded samples on disk, in a nameless file of the cache folder. Knows nothing of media formats.

The file never has a name (on Windows: is deleted with its last handle), so nothing is left behind however the
process ends.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import IO, BinaryIO

import numpy as np
from numpy.typing import NDArray

from distilcli.errors import EnvironmentProblem
from distilcli.paths import cache_dir

_SAMPLE_BYTES = 2
_COPY_BYTES = 1 << 20


class Spool:
    """Mono samples that are appended as int16 and read as float32 in [-1, 1): a `Samples` that lives on disk.

    Only the slice that is asked for is read, so memory does not grow with the recording. It is read and not
    mapped: a map that reaches behind the end of a file that was cut short ends the process without a word.
    Slices may be read from several threads. Leaving the context frees the disk space.
    """

    def __init__(self) -> None:
        self._file = temporary_file()
        self._length = 0
        self._hash = hashlib.blake2b(digest_size=16)
        self._turn = threading.Lock()

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def append(self, block: NDArray[np.int16]) -> None:
        """Add samples, shape (n,). Raises `EnvironmentProblem` where the disk is full."""
        data = np.ascontiguousarray(block).data.cast("B")
        _write(self._file, data)
        self._hash.update(data)
        self._length += len(block)

    @property
    def digest(self) -> str:
        """BLAKE2b of the samples so far, 32 hexadecimal digits."""
        return self._hash.hexdigest()

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, window: slice, /) -> NDArray[np.float32]:
        """The samples of a slice without step, shape (n,), float32.

        Raises:
            EnvironmentProblem: the file holds less than was written to it, or cannot be read.
        """
        start, stop, step = window.indices(self._length)
        assert step == 1, "a spool is read forwards, sample by sample"
        if start >= stop:
            return np.zeros(0, np.float32)
        return as_float(np.frombuffer(self._read(start * _SAMPLE_BYTES, stop * _SAMPLE_BYTES), np.int16))

    def _read(self, start: int, stop: int) -> bytes:
        """The bytes of the file from `start` to `stop`."""
        try:
            if hasattr(os, "pread"):
                data = os.pread(self._file.fileno(), stop - start, start)
            else:
                with self._turn:
                    self._file.seek(start)
                    data = self._file.read(stop - start)
                    self._file.seek(0, os.SEEK_END)
        except OSError as error:
            raise _unreadable(error.strerror or str(error)) from error
        if len(data) < stop - start:
            raise _unreadable(f"expected {stop} bytes, found {start + len(data)}")
        return data


def as_float(samples: NDArray[np.int16]) -> NDArray[np.float32]:
    """The samples in [-1, 1), float32."""
    return samples.astype(np.float32) / np.float32(32768)


def temporary_file() -> IO[bytes]:
    """An empty, nameless, unbuffered file in the cache folder. Raises `EnvironmentProblem`."""
    with _writing_to_cache():
        folder = cache_dir()
        folder.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryFile(dir=folder, buffering=0)


def copy(source: BinaryIO, file: IO[bytes], check: Callable[[], None] = lambda: None) -> int:
    """Append a stream to a file of the cache folder, rewind the file, and return the bytes copied.

    `check` is called now and then, and may raise to give up.
    """
    size = 0
    while block := source.read(_COPY_BYTES):
        check()
        _write(file, memoryview(block))
        size += len(block)
    file.seek(0)
    return size


def _write(file: IO[bytes], data: memoryview) -> None:
    with _writing_to_cache():
        while data:  # an unbuffered file may take less than all
            data = data[file.write(data) :]


def _unreadable(reason: str) -> EnvironmentProblem:
    return EnvironmentProblem(
        f"the decoded audio in the cache folder {cache_dir()} was damaged while it was in use: {reason}",
        hint="check the disk, or use another one: export DISTILCLI_CACHE=FOLDER",
    )


@contextmanager
def _writing_to_cache() -> Iterator[None]:
    """Translate the operating system's complaints about the cache folder."""
    try:
        yield
    except OSError as error:
        raise EnvironmentProblem(
            f"cannot keep the decoded audio in the cache folder {cache_dir()}: {error.strerror or error}",
            hint="export DISTILCLI_CACHE=FOLDER (a recording needs 120 MB there per hour)",
        ) from error
