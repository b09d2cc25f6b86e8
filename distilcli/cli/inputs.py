"""Which of the given inputs can be worked on, found out before any work. Opens no recording."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from distilcli.errors import DistilError, NoInputError, UsageError, closest

STDIN = "-"


def is_url(source: str) -> bool:
    """True for what is fetched over the network."""
    return source.startswith(("http://", "https://"))


def expand(inputs: Sequence[str]) -> list[str]:
    """The inputs with patterns such as ``*.mp3`` expanded, for shells that do not (Windows).

    Raises:
        UsageError: an input is given twice.
    """
    found = [name for given in inputs for name in _expanded(given)]
    repeated = next((name for place, name in enumerate(found) if name in found[:place]), None)
    if repeated is not None:
        raise UsageError(f"{repeated} is given twice")
    return found


def _expanded(given: str) -> list[str]:
    literal = given == STDIN or is_url(given) or os.path.exists(given)
    matches = [] if literal else sorted(glob.glob(given))
    return matches or [given]


def problems(sources: Sequence[str]) -> dict[str, DistilError]:
    """What is wrong with the inputs that cannot be used: source -> error."""
    found = {source: _problem(source) for source in sources}
    return {source: error for source, error in found.items() if error is not None}


def _problem(source: str) -> DistilError | None:
    if is_url(source):
        return None
    if source == STDIN:
        if sys.stdin is None or sys.stdin.isatty():
            hint = "pipe a recording into it: distilcli transcribe - < talk.mp3"
            return NoInputError("- reads a recording from standard input, which is a terminal", hint=hint)
        return None
    path = Path(source)
    if path.is_dir():
        hint = f"distilcli transcribe {path / '*.mp3'}"
        return NoInputError(f"{source} is a folder; recordings are given one by one", hint=hint)
    if not path.exists():
        return NoInputError(f"there is no file {source}{_nearby(path)}")
    if not os.access(path, os.R_OK):
        return NoInputError(f"{source} may not be read: permission denied", hint=f"chmod u+r {source}")
    return None


def _nearby(path: Path) -> str:
    """A suggestion from the files of the same folder."""
    try:
        names = {entry.name.lower(): entry.name for entry in path.parent.iterdir()}
    except OSError:
        return ""
    return closest(path.name, names)


def stem(source: str) -> str:
    """The name of a source's output files, without extension: ``lecture.01.mp3`` gives ``lecture.01``."""
    if source == STDIN:
        return "stdin"
    if is_url(source):
        address = urlsplit(source)
        last = unquote(address.path).replace("\\", "/").rstrip("/").rpartition("/")[2]
        return Path(last).stem or address.hostname or "url"
    return Path(source).stem
