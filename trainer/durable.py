"""Files of a run that are whole or absent, and the error where they cannot be written. Knows no format."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from distilcli.errors import OutputError
from distilcli.writers.atomic import output_error

_HINT = "free some space, or choose another folder: --set run=FOLDER"


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Translates what the operating system says while `path` is written.

    Raises:
        OutputError: the folder is missing, read-only or full.
    """
    try:
        yield
    except OSError as error:
        raise OutputError(output_error(path, error).message, hint=_HINT) from error
    except OutputError as error:
        raise OutputError(error.message, hint=_HINT) from error


def sync(file: IO[bytes]) -> None:
    """Returns when everything written so far is on the disk."""
    file.flush()
    os.fsync(file.fileno())
