"""Write a file so that a reader sees the old content or the new, never a part. Knows no format."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from pathlib import Path

from distilcli.errors import OutputError
from distilcli.stages import stage

_HINTS = {
    errno.ENOSPC: "free some space, or choose another folder with -o DIR",
    errno.EDQUOT: "free some space, or choose another folder with -o DIR",
    errno.EFBIG: "the file size limit of this process is too small (ulimit -f)",
}


def write_atomically(path: Path, text: str) -> None:
    """Write `text` as UTF-8 without a byte order mark; on any failure the old file stays as it was.

    The content goes to a temporary file in the same folder, reaches the disk, and takes the final name in one
    step. An existing file keeps its permissions, a new one gets what the umask allows, a link is followed.

    Raises:
        OutputError: the folder is missing, read-only or full.
    """
    target = Path(os.path.realpath(path))
    temporary = target.with_name(_temporary(target, os.urandom(4).hex()))
    try:
        with stage("writing"):
            _write(temporary, text.encode("utf-8", errors="replace"), _mode(target))
            os.replace(temporary, target)
    except OSError as error:
        raise output_error(path, error) from error
    finally:
        # Gone already after a successful rename; what else may fail here must not hide the first error.
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def remove_leftovers(path: Path) -> None:
    """Remove what a process that was killed left of writing `path`, which nobody else may be writing now.

    Raises:
        OSError: the folder cannot be written.
    """
    target = Path(os.path.realpath(path))
    for left in target.parent.glob(_temporary(target, "?" * 8)):
        left.unlink(missing_ok=True)


def _temporary(target: Path, mark: str) -> str:
    """A name for the content of `target` until it is whole, which no name of a target makes too long."""
    return f".distilcli-{hashlib.sha256(os.fsencode(target.name)).hexdigest()[:16]}-{mark}.tmp"


def output_error(path: Path | str, error: OSError) -> OutputError:
    """The sentence and hint for a result that could not be written to `path`."""
    reason = (error.strerror or str(error)).lower()
    hint = _HINTS.get(error.errno or 0, "choose a folder that you may write to with -o DIR")
    return OutputError(f"cannot write {path}: {reason}", hint=hint)


def _mode(target: Path) -> int | None:
    """Permissions of the file that is replaced; None for a new one."""
    try:
        return stat.S_IMODE(target.stat().st_mode)
    except FileNotFoundError:
        return None


def _write(path: Path, data: bytes, mode: int | None) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    with open(os.open(path, flags, 0o666), "wb") as file:
        if mode is not None:
            os.chmod(path, mode)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
