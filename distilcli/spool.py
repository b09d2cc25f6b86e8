"""Decoded samples on disk, in a nameless file of the cache folder. Knows nothing of media formats.

The file never has a name (on Windows: is deleted with its last handle), so nothing is left behind however the
process ends.
"""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Iterator
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

    Only the slice that is asked for is mapped, and only while it is converted, so memory does not grow with
    the recording. Slices may be read from several threads. Leaving the context frees the disk space.
    """

    def __init__(self) -> None:
        self._file = temporary_file()
        self._length = 0

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def append(self, block: NDArray[np.int16]) -> None:
        """Add samples, shape (n,). Raises `EnvironmentProblem` where the disk is full."""
        _write(self._file, np.ascontiguousarray(block).data.cast("B"))
        self._length += len(block)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, window: slice, /) -> NDArray[np.float32]:
        """The samples of a slice without step, shape (n,), float32."""
        start, stop, step = window.indices(self._length)
        assert step == 1, "a spool is read forwards, sample by sample"
        if start >= stop:
            return np.zeros(0, np.float32)
        first = start * _SAMPLE_BYTES
        offset = first - first % mmap.ALLOCATIONGRANULARITY
        size = stop * _SAMPLE_BYTES - offset
        mapped = mmap.mmap(self._file.fileno(), size, access=mmap.ACCESS_READ, offset=offset)
        samples = np.frombuffer(mapped, np.int16, stop - start, first - offset)
        return samples.astype(np.float32) / np.float32(32768)


def temporary_file() -> IO[bytes]:
    """An empty, nameless, unbuffered file in the cache folder. Raises `EnvironmentProblem`."""
    with _writing_to_cache():
        folder = cache_dir()
        folder.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryFile(dir=folder, buffering=0)


def copy(source: BinaryIO, file: IO[bytes]) -> int:
    """Append a stream to a file of the cache folder, rewind the file, and return the bytes copied."""
    size = 0
    while block := source.read(_COPY_BYTES):
        _write(file, memoryview(block))
        size += len(block)
    file.seek(0)
    return size


def _write(file: IO[bytes], data: memoryview) -> None:
    with _writing_to_cache():
        while data:  # an unbuffered file may take less than all
            data = data[file.write(data) :]


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
