"""The error tree, its exit codes, and the hint that goes with a message.

    DistilError                1   a bug, unless a subclass says otherwise
    ├── UsageError             2   a flag, value or configuration that cannot be honoured
    ├── NoInputError           3   nothing usable to work on
    ├── SomeInputsFailed       4   some recordings failed, the others are done
    ├── AllInputsFailed        5   every recording failed
    ├── InputError             5   one recording cannot be read or decoded
    ├── EnvironmentProblem     6   model, library, network or device is missing
    │   ├── ModelError         6   a model folder is incomplete or damaged
    │   └── OutOfMemory        6   a device cannot hold what it was asked to decode
    ├── OutputError            7   a result cannot be written
    └── QualityGateError       8   a quality gate that the user set has tripped

Library code raises; only `distilcli.cli.app` prints and picks the exit code.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143


class DistilError(Exception):
    """A problem that a user can understand: what was expected, what was found, and which file or flag.

    `hint` is one command or action that mends it.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(DistilError):
    """A flag, value or configuration that cannot be honoured."""

    exit_code = 2


class NoInputError(DistilError):
    """There is nothing usable to work on."""

    exit_code = 3


class SomeInputsFailed(DistilError):
    """Some recordings failed; the transcripts of the others are written."""

    exit_code = 4


class AllInputsFailed(DistilError):
    """Every recording failed."""

    exit_code = 5


class InputError(DistilError):
    """One recording cannot be read or decoded."""

    exit_code = 5


class EnvironmentProblem(DistilError):
    """Something outside the recordings is missing: a model, a library, the network, a device."""

    exit_code = 6


class ModelError(EnvironmentProblem):
    """A model folder is incomplete, damaged or of a kind that cannot be used."""


class OutOfMemory(EnvironmentProblem):
    """A device cannot hold what it was asked to decode; fewer windows at once may fit."""


class OutputError(DistilError):
    """A result cannot be written."""

    exit_code = 7


class QualityGateError(DistilError):
    """A quality gate has tripped: one that the user set, or the check of an export."""

    exit_code = 8


def closest(name: str, known: Iterable[str]) -> str:
    """A clause such as `` (did you mean 'tiny'?)`` for a misspelt name, or nothing when no name is near."""
    near = difflib.get_close_matches(name.lower(), list(known), n=1, cutoff=0.6)
    return f" (did you mean '{near[0]}'?)" if near else ""
