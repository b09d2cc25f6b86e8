"""Append-only shards of rows: files that are whole or absent, each with a header of who made it and how.

It knows files, headers and rows of JSON; it does not know labels or models.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distilcli.errors import InputError, UsageError
from distilcli.trainer.durable import writing
from distilcli.writers.atomic import write_atomically

FORMAT = 1

_NAME = re.compile(r"shard-(\d{6})-(\d{4})\.jsonl")

Row = dict[str, Any]
"""Plain JSON values."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Header:
    """Who made the rows of a shard, and how."""

    teacher: str
    """Name or folder, as the recipe gave it."""
    teacher_hash: str
    options: Mapping[str, Any]
    """Every option that changes the rows; plain JSON values."""
    engine: str = ""
    """Backend, device and number format that did the work; another engine may go on."""


@dataclass(frozen=True, slots=True)
class Shard:
    """One committed shard."""

    path: Path
    sequence: int
    """Position among all shards; of two rows with one key that of the later shard holds."""
    header: Header
    rows: tuple[Row, ...]


def read_shards(folder: Path) -> Iterator[Shard]:
    """Yields all committed shards, oldest first; a folder that is not there has none.

    Raises:
        InputError: a shard is damaged.
    """
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    for path in paths:
        found = _NAME.fullmatch(path.name)
        if found:
            yield _read(path, int(found[1]))


def refuse_another(shard: Shard, header: Header) -> None:
    """Checks that rows made with this header may stand beside those of a shard.

    Raises:
        UsageError: another teacher made the shard, or other options.
    """
    differences = _differences(shard.header, header)
    if differences:
        folder = shard.path.parent
        raise UsageError(
            f"{folder} holds labels made with {differences[0]}, and the recipe asks for {differences[1]}",
            hint=f"rm -r '{folder}' to label anew, or keep both: --set run=FOLDER",
        )


def commit_shard(folder: Path, sequence: int, rank: int, header: Header, rows: Sequence[Row]) -> Path:
    """Writes one shard: temporary file, fsync, rename. Processes of different rank never write the same file.

    Raises:
        OutputError: the folder cannot be written.
    """
    path = folder / f"shard-{sequence:06d}-{rank:04d}.jsonl"
    head = {
        "format": FORMAT,
        "rows": len(rows),
        "teacher": header.teacher,
        "teacher_hash": header.teacher_hash,
        "options": dict(header.options),
        "engine": header.engine,
    }
    lines = [json.dumps(row, ensure_ascii=False) for row in (head, *rows)]
    with writing(path):
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(path, "\n".join(lines) + "\n")
    return path


def _read(path: Path, sequence: int) -> Shard:
    try:
        head, *rows = [json.loads(line) for line in path.read_bytes().splitlines()]
        if head["format"] != FORMAT or head["rows"] != len(rows):
            raise ValueError(
                f"expected format {FORMAT} and {head['rows']} rows, found format {head['format']} "
                f"and {len(rows)} rows"
            )
        header = Header(
            teacher=head["teacher"],
            teacher_hash=head["teacher_hash"],
            options=head["options"],
            engine=head["engine"],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is damaged: {error}", hint=f"rm '{path}' and label again: only its rows are repeated"
        ) from error
    return Shard(path, sequence, header, tuple(rows))


def _differences(before: Header, now: Header) -> tuple[str, str] | None:
    """What differs between two headers, in words: (before, now)."""
    if before.teacher_hash != now.teacher_hash:
        return _named(before), _named(now)
    names = sorted(before.options.keys() | now.options.keys())
    changed = [name for name in names if before.options.get(name) != now.options.get(name)]
    if not changed:
        return None
    first, second = (
        ", ".join(f"{name}={header.options.get(name)}" for name in changed) for header in (before, now)
    )
    return first, second


def _named(header: Header) -> str:
    return f"the teacher {header.teacher} ({header.teacher_hash})"
