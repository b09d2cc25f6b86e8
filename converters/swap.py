"""Exports that appear whole or not at all, and replace only what an earlier export made. Knows no format."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from distilcli.converters.export_note import EXPORT_NOTE, note_path
from distilcli.errors import EnvironmentProblem, OutputError
from distilcli.model_folder import read_json

_DISK_FULL = {errno.ENOSPC, errno.EDQUOT}


def check_target(target: Path, *, single_file: bool, overwrite: bool) -> None:
    """Refuse a place where an export must not go, before any work.

    Raises:
        OutputError: something is there, and either `overwrite` is off or it was not made by an export.
    """
    if not target.exists() or (not single_file and target.is_dir() and not any(target.iterdir())):
        return
    if not overwrite:
        raise OutputError(f"{target} exists already", hint="choose another -o, or add --overwrite")
    stranger = _stranger(target, single_file=single_file)
    if stranger is not None:
        raise OutputError(
            f"{stranger} was not written by distilcli convert, so --overwrite does not replace it",
            hint=f"move it away, or choose another -o than {target}",
        )


@contextmanager
def replacing(target: Path, *, single_file: bool, overwrite: bool) -> Iterator[Path]:
    """A path for a new file or folder, on the same disk, that becomes `target` when the block ends well.

    Otherwise it disappears, and what was at `target` is as before. A note of the export (`export_note`) made
    beside or inside the new one moves along.

    Raises:
        OutputError: see `check_target`; or the place cannot be written.
        EnvironmentProblem: the disk is full.
    """
    check_target(target, single_file=single_file, overwrite=overwrite)
    scratch = target.with_name(f".{target.name}.{uuid4().hex[:8]}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch.mkdir()
        made = scratch / target.name
        yield made
        _settle(scratch)
        check_target(target, single_file=single_file, overwrite=overwrite)
        pairs = [(made, target)]
        if single_file:
            pairs.append((note_path(made, single_file=True), note_path(target, single_file=True)))
        _move(scratch / "replaced", pairs)
        _sync(target.parent)
    except OSError as error:
        if error.errno in _DISK_FULL:
            raise EnvironmentProblem(
                f"no space is left for {target}", hint="free some space, or choose a folder on a larger disk"
            ) from error
        raise OutputError(f"cannot write {target}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def files_of(folder: Path) -> list[str]:
    """The files of an export, relative to its folder, sorted; with the note that lists them."""
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return sorted(found | {EXPORT_NOTE})


def _stranger(target: Path, *, single_file: bool) -> Path | None:
    """Something at `target` that no export made, or None."""
    note = note_path(target, single_file=single_file)
    if target.is_dir() == single_file or not note.is_file():
        return target
    if single_file:
        return None
    listed = set(read_json(note).get("files") or ())
    return next((target / name for name in files_of(target) if name not in listed), None)


def _move(old: Path, pairs: list[tuple[Path, Path]]) -> None:
    """Rename each (new, final); what was there goes to `old`, and comes back should a step fail."""
    old.mkdir()
    moved: list[tuple[Path, Path]] = []
    try:
        for new, final in pairs:
            if final.exists():
                os.rename(final, old / final.name)
                moved.append((old / final.name, final))
            os.rename(new, final)
    except OSError:
        for kept, final in moved:
            if not final.exists():
                os.rename(kept, final)
        raise


def _settle(folder: Path) -> None:
    """Give every file and folder the permissions that the umask allows, and wait until they are on the disk.

    Some libraries make files that only their owner can read.
    """
    mask = os.umask(0)
    os.umask(mask)
    for path in sorted(folder.rglob("*"), reverse=True):
        path.chmod((0o777 if path.is_dir() else 0o666) & ~mask)
        _sync(path)


def _sync(path: Path) -> None:
    if path.is_dir() and os.name == "nt":
        return  # folders cannot be opened there
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
