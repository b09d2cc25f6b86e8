"""Other tools that transcribe with the same weights: what each needs, and the module that drives it.

A new peer is one module with `differences`, `prepare` and `load`, and one row here. Imports nothing heavy.
"""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass
from typing import cast

from distilcli.bench.peers.base import PeerModule
from distilcli.errors import EnvironmentProblem, UsageError, closest

INSTALL = "pip install 'distilcli[peers]'"
"""The command that installs every peer."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A tool: what ``--against`` calls it, its module here, and the library that it is, as imported."""

    name: str
    module: str
    package: str

    @property
    def installed(self) -> bool:
        """Whether the library is there; nothing is imported."""
        return importlib.util.find_spec(self.package) is not None

    def drive(self) -> PeerModule:
        """The module that drives the tool.

        Raises:
            EnvironmentProblem: the tool is not installed.
        """
        if not self.installed:
            raise EnvironmentProblem(f"{self.name} is not installed here", hint=INSTALL)
        return cast(PeerModule, importlib.import_module(f"{__name__}.{self.module}"))


PEERS = {
    one.name: one
    for one in (
        Peer("faster-whisper", "faster_whisper", "faster_whisper"),
        Peer("whisper-ctranslate2", "whisper_ctranslate2", "whisper_ctranslate2"),
        Peer("openai-whisper", "openai_whisper", "whisper"),
        Peer("whisper.cpp", "whisper_cpp", "pywhispercpp"),
        Peer("transformers-pipeline", "transformers_pipeline", "transformers"),
    )
}
"""Name, as ``--against`` takes it -> tool."""


def named(name: str) -> Peer:
    """The peer of a name.

    Raises:
        UsageError: there is none.
    """
    if name not in PEERS:
        raise UsageError(f"--against knows no '{name}'{closest(name, PEERS)}; expected {', '.join(PEERS)}")
    return PEERS[name]
