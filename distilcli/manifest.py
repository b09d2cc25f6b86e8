"""The lines of a JSONL manifest, each with its number. Knows no key and no audio."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from distilcli.errors import NoInputError


def manifest_rows(path: Path) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Yields number (from 1) and content of every line that is not empty.

    The content is a JSON object, or the reason why the line holds none.

    Raises:
        NoInputError: the file cannot be read.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise NoInputError(f"cannot read the manifest {path}: {error.strerror}") from error
    # Only a line feed ends a line: text may hold other separators, such as U+2028.
    for number, line in enumerate(content.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:  # not JSON, or not UTF-8
            yield number, f"expected a JSON object, found something else ({error})"
            continue
        yield number, row if isinstance(row, dict) else f"expected a JSON object, found {row!r:.40}"
