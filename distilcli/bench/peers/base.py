"""What the modules of peers share: their functions, what they hand out, how they get recordings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from distilcli.bench.values import Case, Clip

READS_SAMPLES = (
    "is handed samples, which distilcli decodes within its time: by itself it starts an ffmpeg process for "
    "every recording, which takes longer"
)
"""The difference of tools that leave decoding to the ffmpeg program, which need not be here."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Heard:
    """What a tool made of one recording.

    Attributes:
        text: all of it.
        language: code, where the tool says it.
        tokens: number of text and timestamp tokens of the transcript, where the tool says it.
        first_segment: seconds from the begin of the recording's work to its first segment, where the tool
            hands out segments before it is done.
        latency: seconds that the recording took; None: the time since the one before was handed out.
        digest: hash of the token ids (`values.digest_of`), where they are known.
    """

    text: str
    language: str | None = None
    tokens: int | None = None
    first_segment: float | None = None
    latency: float | None = None
    digest: str | None = None


class LoadedPeer(Protocol):
    """A tool with its model in memory (a tool that is a command loads it again in each call)."""

    def transcribe(self, clips: Sequence[Clip]) -> Iterator[Heard]:
        """Yield one result per recording, in order, as soon as it is there."""
        ...

    def close(self) -> None:
        """Release the model; calling it twice is harmless."""
        ...


class PeerModule(Protocol):
    """The three functions of a peer's module."""

    def differences(self, case: Case) -> tuple[str, ...]:
        """What cannot be made equal to distilcli in this case: the ends of sentences that begin with it."""
        ...

    def prepare(self, case: Case) -> Path:
        """The weights in the form that the tool reads: converted on first use, then found.

        Raises:
            DistilError: they cannot be had in that form.
        """
        ...

    def load(self, case: Case, weights: Path) -> LoadedPeer:
        """Import the tool and load the weights."""
        ...


def samples(clip: Clip) -> NDArray[np.float32]:
    """All samples of a recording, shape (n,), 16 kHz mono: only decoded, because the time of the tool runs.

    Raises:
        InputError: it cannot be read.
    """
    import numpy as np

    from distilcli import media
    from distilcli.stages import stage

    with stage("decode"), Path(clip.path).open("rb") as file:
        blocks = [block.samples for block in media.decode(file, clip.path, None, lambda message: None)]
        return np.concatenate(blocks).astype(np.float32) / np.float32(32768)


def temperature_step(case: Case) -> float | None:
    """What a failed try adds to the temperature, for tools that take a step; None where nothing is tried."""
    return case.temperatures[1] - case.temperatures[0] if len(case.temperatures) > 1 else None


def on_cuda(case: Case) -> bool:
    """Whether a tool of PyTorch computes on a GPU in this case."""
    if case.device != "auto":
        return case.device.startswith("cuda")
    import torch

    return torch.cuda.is_available()
