"""The samples of many recordings, decoded once into one memory-mapped file, with an index of what lies where.

It knows samples and rows of JSON that it keeps for its caller; it does not know sources, texts or formats.
"""

from __future__ import annotations

import itertools
import json
import os
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from distilcli.errors import InputError
from distilcli.trainer.durable import sync, writing

Samples16 = NDArray[np.int16]
Row = dict[str, Any]
"""Plain JSON values that the caller keeps with a recording."""

_SAMPLE_BYTES = 2
_WORKERS = min(8, os.cpu_count() or 1)
_SYNC_EVERY = 256 * 2**20  # bytes of samples; a crash of the machine costs at most what came after the last


@dataclass(frozen=True, slots=True)
class Pending:
    """A recording to be decoded."""

    row: Row
    read: Callable[[], Samples16]
    """Returns (n,) int16 at 16 kHz mono; raises InputError."""
    file: Path | None = None
    """Where the sound comes from: a change of this file makes the cache stale."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A recording of the cache."""

    row: Row
    offset: int
    """First sample."""
    samples: int
    checksum: int
    """CRC-32 of the samples."""
    refused: str | None = None
    """Why there are no samples."""


def open_samples(
    folder: Path,
    name: str,
    pending: Callable[[], Iterable[Pending]],
    on_progress: Callable[[int], None] | None = None,
) -> tuple[Samples16, tuple[Stored, ...]]:
    """Maps the samples of all recordings, decoding them first where `folder` has no cache called `name`.

    A cache is stale when one of its files is there with another size or time; files that are gone do not
    matter. A killed run goes on behind the last recording that it wrote; other processes wait for the first.

    Args:
        folder: of the cache.
        name: must change whenever the list of recordings does.
        pending: the recordings, in an order that is always the same.
        on_progress: hears how many recordings are decoded.

    Returns:
        All samples end to end, (n,) int16, and the recordings in the order of `pending`.

    Raises:
        OutputError: the cache cannot be written.
    """
    import filelock

    raw, index = folder / f"{name}.pcm", folder / f"{name}.jsonl"
    with writing(raw):
        folder.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(folder / f".{name}.lock"):
            if _is_stale(raw, index):
                _fill(raw, index, pending(), on_progress)
        stored = tuple(_read_index(index))
        samples = np.memmap(raw, np.int16, "r") if raw.stat().st_size else np.zeros(0, np.int16)
    return samples, stored


def _fill(
    raw: Path, index: Path, pending: Iterable[Pending], on_progress: Callable[[int], None] | None
) -> None:
    """Writes samples and index; the index, which gets its name last, makes the cache valid."""
    index.unlink(missing_ok=True)
    partial_raw, partial_index = raw.with_suffix(".pcm.partial"), index.with_suffix(".jsonl.partial")
    waiting = iter(pending)
    with partial_raw.open("a+b") as sound, partial_index.open("a+b") as lines:
        done, taken = _resume(sound, lines, waiting)
        unsynced = 0
        for one, found in _decoded_ahead(itertools.chain(taken, waiting)):
            entry: Row = {"row": one.row} | _state(one.file)
            if isinstance(found, str):
                entry["refused"] = found
            else:
                data = found.tobytes()
                sound.write(data)
                unsynced += len(data)
                entry |= {"samples": len(found), "checksum": zlib.crc32(data)}
            lines.write(json.dumps(entry).encode() + b"\n")
            if unsynced >= _SYNC_EVERY:
                sync(sound)
                sync(lines)
                unsynced = 0
            done += 1
            if on_progress:
                on_progress(done)
        sync(sound)
        sync(lines)
    partial_raw.replace(raw)
    partial_index.replace(index)


def _resume(sound: IO[bytes], lines: IO[bytes], waiting: Iterator[Pending]) -> tuple[int, list[Pending]]:
    """Cuts both files behind what a killed run left whole, and takes those recordings from `waiting`.

    Returns their number, and the recording that was taken to be compared and is not among them.
    """
    done, line_end, sound_end = 0, 0, 0
    taken: list[Pending] = []
    lines.seek(0)
    sound.seek(0)
    for line in lines:
        entry = _parsed(line)
        if entry is None or not line.endswith(b"\n"):
            break
        taken = [*itertools.islice(waiting, 1)]
        data = sound.read(entry.get("samples", 0) * _SAMPLE_BYTES)
        same = [{"row": one.row} | _state(one.file) for one in taken] == [_question(entry)]
        if not same or zlib.crc32(data) != entry.get("checksum", 0):
            break
        taken = []
        done, line_end, sound_end = done + 1, line_end + len(line), sound_end + len(data)
    lines.seek(line_end)
    lines.truncate()
    sound.seek(sound_end)
    sound.truncate()
    return done, taken


def _decoded_ahead(waiting: Iterable[Pending]) -> Iterator[tuple[Pending, Samples16 | str]]:
    """Decodes in threads, a few ahead, in order: (recording, samples or the reason why there are none)."""
    running: deque[tuple[Pending, Future[Samples16 | str]]] = deque()
    with ThreadPoolExecutor(_WORKERS) as pool:
        for one in waiting:
            running.append((one, pool.submit(_attempt, one)))
            if len(running) > 2 * _WORKERS:
                oldest, future = running.popleft()
                yield oldest, future.result()
        for one, future in running:
            yield one, future.result()


def _attempt(one: Pending) -> Samples16 | str:
    try:
        return one.read()
    except InputError as error:
        return error.message


def _is_stale(raw: Path, index: Path) -> bool:
    """Whether the cache is missing or damaged, or a file that was decoded is there and has changed since."""
    if not index.exists() or not raw.exists():
        return True
    samples = 0
    for line in index.read_bytes().splitlines():
        entry = _parsed(line)
        if entry is None:
            return True
        before = entry.get("file")
        if before and _state(Path(before[0]))["file"] not in ([before[0], None, None], before):
            return True
        samples += entry.get("samples", 0)
    return raw.stat().st_size != samples * _SAMPLE_BYTES


def _read_index(index: Path) -> Iterator[Stored]:
    offset = 0
    for line in index.read_bytes().splitlines():
        entry = json.loads(line)
        samples = entry.get("samples", 0)
        yield Stored(entry["row"], offset, samples, entry.get("checksum", 0), entry.get("refused"))
        offset += samples


def _state(file: Path | None) -> Row:
    """Name, size and time of a file, both None where it is gone; nothing where there is no file."""
    if file is None:
        return {}
    try:
        now = file.stat()
    except (OSError, ValueError):  # ValueError: a NUL in the name
        return {"file": [str(file), None, None]}
    return {"file": [str(file), now.st_size, now.st_mtime_ns]}


def _question(entry: Row) -> Row:
    """The part of an index entry that was known before decoding."""
    return {name: entry[name] for name in ("row", "file") if name in entry}


def _parsed(line: bytes) -> Row | None:
    """An entry of the index; None for a line that is not whole."""
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) and "row" in entry else None
