"""States of frozen networks on disk, by name: written once, read memory-mapped, whole after any crash.

It knows names, bytes and checksums; it does not know what the states are states of.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from distilcli.errors import OutputError
from distilcli.writers.atomic import output_error

_IN_NUMPY: dict[torch.dtype, type[np.generic]] = {
    torch.float32: np.float32,
    torch.float16: np.float16,
    torch.bfloat16: np.int16,  # numpy does not know it: whole numbers of the same width
}


@dataclass(frozen=True, slots=True)
class _Record:
    """Where a name's states lie."""

    file: Path
    offset: int
    rows: int
    checksum: int


@dataclass(slots=True)
class StateCache:
    """Named states, (rows, width) each, in a folder that several processes may share.

    Every process appends to a data file of its own and then, in one write, a line to its index: records count
    once their line is complete, and what a killed process left behind them is overwritten. A record whose
    checksum is wrong, after a power cut for instance, is treated as missing.
    """

    folder: Path
    width: int
    dtype: torch.dtype
    rank: int = 0
    damaged: int = 0
    """Records that were there and could not be used."""
    _records: dict[str, _Record] = field(default_factory=dict)
    _checked: set[str] = field(default_factory=set)
    _read: dict[Path, int] = field(default_factory=dict)
    """Bytes of each index that are in `_records`."""
    _end: int = 0
    """Bytes of this process's data file that belong to records."""
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def __post_init__(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._refresh()
            self._mend()
        except OSError as error:
            raise _cannot_write(self.folder, error) from error

    def has(self, names: Iterable[str]) -> bool:
        """Whether all states are there and whole; looks for what other processes have added."""
        wanted = list(dict.fromkeys(names))
        with self._lock:
            if not all(name in self._records for name in wanted):
                self._refresh()
            return all(self._whole(name) for name in wanted)

    def get(self, name: str) -> Tensor:
        """The states of a name that `has` has found, (rows, width)."""
        bits = torch.from_numpy(np.array(self._map(self._records[name])))
        return bits.view(self.dtype).view(-1, self.width)

    def add(self, states: Mapping[str, Tensor]) -> None:
        """Adds states, (rows, width) each, all or none of them; a name that is there keeps the states it has.

        Raises:
            OutputError: the disk is full, or the folder cannot be written.
        """
        with self._lock:
            self._add({name: value for name, value in states.items() if not self._whole(name)})

    def _add(self, states: Mapping[str, Tensor]) -> None:
        """Appends states, then their line in the index."""
        data, lines = self._data(), []
        try:
            with data.open("r+b" if data.exists() else "w+b") as out:
                out.seek(self._end)
                end = self._end
                for name, value in states.items():
                    raw = self._bits(value).tobytes()
                    out.write(raw)
                    lines.append([name, end, len(value), zlib.crc32(raw)])
                    end += len(raw)
            with self._index().open("ab") as index:
                index.write(json.dumps(lines).encode() + b"\n")
        except OSError as error:
            raise _cannot_write(self.folder, error) from error
        self._end = end
        self._refresh()
        self._checked.update(states)  # just written: no need to read them back

    def _bits(self, states: Tensor) -> NDArray[np.generic]:
        """Values as numpy holds them."""
        values = states.detach().to("cpu", self.dtype).contiguous()
        return (values.view(torch.int16) if self.dtype == torch.bfloat16 else values).numpy()

    def _data(self, rank: int | None = None) -> Path:
        return self.folder / f"states-{self.rank if rank is None else rank:03d}.bin"

    def _index(self) -> Path:
        return self.folder / f"index-{self.rank:03d}.jsonl"

    def _map(self, record: _Record) -> NDArray[np.generic]:
        """A record's values (rows * width,), memory-mapped."""
        shape = (record.rows * self.width,)
        mapped: NDArray[np.generic] = np.memmap(record.file, _IN_NUMPY[self.dtype], "r", record.offset, shape)
        return mapped

    def _whole(self, name: str) -> bool:
        """Whether a record is there with the right checksum, which is read once per process."""
        record = self._records.get(name)
        if record is None or name in self._checked:
            return record is not None
        size = record.rows * self.width * self.dtype.itemsize
        there = record.file.is_file() and record.file.stat().st_size >= record.offset + size
        if not there or zlib.crc32(self._map(record).tobytes()) != record.checksum:
            del self._records[name]
            self.damaged += 1
            return False
        self._checked.add(name)
        return True

    def _refresh(self) -> None:
        """Reads what has been added to the indexes of all processes."""
        for index in sorted(self.folder.glob("index-*.jsonl")):
            with index.open("rb") as lines:
                lines.seek(self._read.get(index, 0))
                for line in lines:
                    if not self._take(index, line):
                        break

    def _take(self, index: Path, line: bytes) -> bool:
        """Takes one line of an index; False where it is not complete."""
        try:
            rows = json.loads(line) if line.endswith(b"\n") else None
        except ValueError:
            rows = None
        if rows is None:
            return False
        data = self._data(int(index.stem.removeprefix("index-")))
        for name, offset, count, checksum in rows:
            self._records[name] = _Record(data, offset, count, checksum)
            if index == self._index():
                self._end = max(self._end, offset + count * self.width * self.dtype.itemsize)
        self._read[index] = self._read.get(index, 0) + len(line)
        return True

    def _mend(self) -> None:
        """Cuts off the line of this process's index that was being written when it was killed."""
        index = self._index()
        if index.is_file() and index.stat().st_size > self._read.get(index, 0):
            os.truncate(index, self._read.get(index, 0))


def open_cache(folder: Path, identity: str, width: int, dtype: torch.dtype, rank: int = 0) -> StateCache:
    """Opens the cache of one network and one set of windows; another identity is another folder.

    Args:
        folder: a name for the kind of states; the folder's real name has the identity's hash at its end.
        identity: everything that the states depend on apart from their name.
        width: elements of one state.
        dtype: float32, bfloat16 or float16.
        rank: number of this process.
    """
    digest = hashlib.sha256(f"{identity}|{width}|{dtype}".encode()).hexdigest()[:16]
    return StateCache(folder.with_name(f"{folder.name}-{digest}"), width, dtype, rank)


def _cannot_write(folder: Path, error: OSError) -> OutputError:
    """The sentence for a cache that cannot be written."""
    return OutputError(
        output_error(folder, error).message,
        hint="free some space and run the same command again, "
        "or add --set distil.cache_encoder=false --set distil.cache_teacher=false",
    )
