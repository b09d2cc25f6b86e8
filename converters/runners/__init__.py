"""Runtimes that answer a probe, each in a child process of its own: what is asked, and what is answered.

Knows no runtime itself: some of them can kill the process that they live in.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

UNFIT = 66
"""Exit code of a child process whose runtime cannot judge the export, which is no fault of the export."""


@dataclass(frozen=True, slots=True)
class ProbeRequest:
    """Ask for greedy tokens: no suppression, no fallback, no timestamps rules, one thread.

    Attributes:
        audio: wav file, 16 kHz mono, 16 bit, at most 30 s.
        prompt: token ids that decoding starts from, start of transcript to no-timestamps.
        max_tokens: most ids to generate after the prompt.
        eot: id that ends the text.
        n_mels: mel bands that the model hears.
    """

    audio: Path
    prompt: tuple[int, ...]
    max_tokens: int
    eot: int
    n_mels: int


@dataclass(frozen=True, slots=True)
class ProbeAnswer:
    """What a runtime said.

    Attributes:
        tokens: ids after the prompt; the last one is end-of-text where the model reached it.
        margins: largest less second largest logit of each token, where the runtime shows them.
    """

    tokens: list[int]
    margins: list[float] | None = None


@dataclass(frozen=True, slots=True)
class Runner:
    """A runtime: module of this package, the library it needs, and the command that installs that."""

    module: str
    package: str
    install: str

    @property
    def installed(self) -> bool:
        """Whether the library is there; nothing is imported."""
        return importlib.util.find_spec(self.package) is not None


RUNNERS = {
    name: Runner(f"{__name__}.{name}", package, f"pip install {wheel}")
    for name, package, wheel in (
        ("ct2", "ctranslate2", "ctranslate2"),
        ("whispercpp", "_pywhispercpp", "pywhispercpp"),
        ("openai_whisper", "whisper", "openai-whisper"),
        ("onnxruntime", "onnxruntime", "onnxruntime"),
        ("mlx_whisper", "mlx_whisper", "'mlx[cpu]' mlx-whisper"),
        ("transformers", "transformers", "transformers"),
    )
}
"""Name -> runtime. Every module has ``run(target: Path, request: ProbeRequest) -> ProbeAnswer``."""
