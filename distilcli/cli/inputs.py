"""What the inputs of a command stand for, and which of them can be worked on. Opens no recording."""

from __future__ import annotations

import glob
import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn
from urllib.parse import unquote, urlsplit

from distilcli.errors import DistilError, NoInputError, UsageError, closest

STDIN = "-"

RECORDINGS = frozenset(
    (
        *(".aac", ".ac3", ".aif", ".aiff", ".alac", ".amr", ".ape", ".au", ".caf", ".dts", ".flac", ".gsm"),
        *(".m4a", ".m4b", ".mka", ".mp2", ".mp3", ".oga", ".ogg", ".opus", ".ra", ".spx", ".tta", ".voc"),
        *(".wav", ".wave", ".wma", ".wv"),
        *(".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf"),
        *(".ogv", ".ts", ".vob", ".webm", ".wmv"),
    )
)
"""Endings of the files that a folder stands for; a file that is named itself may have any."""


def is_url(source: str) -> bool:
    """True for what is fetched over the network."""
    return source.startswith(("http://", "https://"))


def expand(inputs: Sequence[str], *, recursive: bool = False) -> dict[str, Path]:
    """The recordings that are meant: source -> the folder of its results, relative to that of the run.

    A folder stands for the recordings in it, by their names' endings, and with `recursive` for those of its
    subfolders, whose tree the results repeat. A pattern such as ``*.mp3`` is expanded, for shells that do not
    (Windows). ``@FILE`` names a file with one input per line, ``@-`` has them on standard input. What is
    meant twice is taken once.

    Raises:
        UsageError: an input is written twice.
        NoInputError: a list cannot be read, or a folder holds no recording.
    """
    written = [name for given in inputs for name in _listed(given)]
    repeated = next((name for name, times in Counter(written).items() if times > 1), None)
    if repeated is not None:
        raise UsageError(f"{repeated} is given twice")
    found: dict[str, Path] = {}
    for given in written:
        for source, folder in _expanded(given, recursive):
            found.setdefault(source, folder)
    return found


def _listed(given: str) -> list[str]:
    """The lines of a list, or the input itself; a file whose name begins with @ is no list."""
    if not given.startswith("@") or os.path.exists(given):
        return [given]
    name = given[1:]
    try:
        text = sys.stdin.read() if name == STDIN else Path(name).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text in UTF-8"
        raise NoInputError(f"the list of inputs {name} cannot be read: {reason}") from error
    lines = [line.strip() for line in text.splitlines()]
    found = [line for line in lines if line and not line.startswith("#")]
    if not found:
        raise NoInputError(f"the list of inputs {name} is empty; expected one recording per line")
    return found


def _expanded(given: str, recursive: bool) -> list[tuple[str, Path]]:
    if given == STDIN or is_url(given):
        return [(given, Path())]
    if os.path.isdir(given):
        return _inside(Path(given), recursive)
    if os.path.exists(given):
        return [(given, Path())]
    matches = sorted(glob.glob(given, recursive=recursive))
    if not matches:
        return [(given, Path())]
    return [
        pair
        for match in matches
        for pair in (_inside(Path(match), recursive) if os.path.isdir(match) else [(match, Path())])
    ]


def _inside(folder: Path, recursive: bool) -> list[tuple[str, Path]]:
    """The recordings in a folder, in the order of their names; a folder that may not be read is an error."""
    found: list[tuple[str, Path]] = []
    deeper = False
    for place, folders, names in os.walk(folder, onerror=_unreadable):
        folders.sort()
        found += [
            (os.path.join(place, name), Path(place).relative_to(folder))
            for name in sorted(names)
            if Path(name).suffix.lower() in RECORDINGS and not name.startswith(".")
        ]
        if not recursive:
            deeper = bool(folders)
            break
    if not found:
        hint = f"distilcli transcribe {folder} --recursive" if deeper else None
        raise NoInputError(f"{folder} holds no recording (a file such as talk.mp3 or talk.wav)", hint=hint)
    return found


def _unreadable(error: OSError) -> NoReturn:
    raise NoInputError(f"the folder {error.filename} cannot be read: {error.strerror}") from error


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
