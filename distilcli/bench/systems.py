"""The systems that can be measured, by name: distilcli itself, its peers, and modules of one's own.

Imports none of them. Every system is a module with the functions of `peers.base.PeerModule`.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, cast, runtime_checkable

from distilcli.bench.peers import PEERS, named
from distilcli.bench.peers.base import PeerModule
from distilcli.bench.values import OURS
from distilcli.errors import UsageError, closest

_OURS = "distilcli.bench.ours"


@dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """What a system has done since it was loaded; see the fields of `values.Sample`."""

    windows: int = 0
    encoder_calls: int | None = None
    fallbacks: int = 0
    retries: int = 0
    flags: Mapping[str, int] = field(default_factory=dict)

    def since(self, before: Counts) -> Counts:
        """What was added after `before`."""
        known = self.encoder_calls is not None and before.encoder_calls is not None
        return Counts(
            windows=self.windows - before.windows,
            encoder_calls=(self.encoder_calls or 0) - (before.encoder_calls or 0) if known else None,
            fallbacks=self.fallbacks - before.fallbacks,
            retries=self.retries - before.retries,
            flags={name: n - before.flags.get(name, 0) for name, n in self.flags.items()},
        )


@runtime_checkable
class Counting(Protocol):
    """A loaded system that counts its work."""

    @property
    def counts(self) -> Counts:
        """Everything so far."""
        ...


def drive(name: str) -> PeerModule:
    """The module of a system: `distilcli`, a peer, or a module that can be imported under this dotted name.

    Raises:
        UsageError: there is no such system.
        EnvironmentProblem: it is not installed.
    """
    if name == OURS:
        return cast(PeerModule, importlib.import_module(_OURS))
    if name in PEERS or "." not in name:
        return named(name).drive()
    try:
        return cast(PeerModule, importlib.import_module(name))
    except ModuleNotFoundError as error:
        if error.name and name.startswith(error.name):
            raise UsageError(
                f"--against {name}: there is no such module, and no tool of this name{closest(name, PEERS)}",
                hint=f"known tools: {', '.join(PEERS)}",
            ) from error
        raise
