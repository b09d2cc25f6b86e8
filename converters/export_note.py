"""The note beside an export: what it was made from, by which versions, and how it was checked."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

EXPORT_NOTE = "distilcli-export.json"
"""The note's name in an exported folder; beside an exported file, the end of its name."""


def note_path(target: Path, *, single_file: bool) -> Path:
    """Where the note of an export lies."""
    return target.with_name(f"{target.name}.{EXPORT_NOTE}") if single_file else target / EXPORT_NOTE


def versions(*distributions: str) -> dict[str, str]:
    """Version of every library of these that is installed, by the name that pip has for it."""
    found = {}
    for name in distributions:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue  # optional: the note lists what took part
    return found
