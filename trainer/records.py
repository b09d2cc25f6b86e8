"""The values that flow between the stages: recordings, labels, packed windows, batches.

Frozen; numpy and torch only as types. It knows no file format, no model and no stage.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from distilcli.types import SAMPLE_RATE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class Recording:
    """One recording of a source, decoded into the corpus's sample file."""

    id: str
    """The source's own id, or its path relative to the source; unique within `source`."""
    source: str
    """Path or name of the source."""
    language: str
    offset: int
    """First sample in the corpus."""
    samples: int
    text: str | None = None
    """What is said, where the source knows it."""
    speaker: str | None = None
    """None: not known."""
    weight: float = 1.0

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return self.samples / SAMPLE_RATE

    @property
    def key(self) -> str:
        """Identifies the recording within a recipe."""
        return f"{self.source}/{self.id}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Rejected:
    """A recording or manifest line that cannot be used."""

    where: str
    """File and line, or id."""
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Corpus:
    """All samples end to end, (n,) int16 at 16 kHz, memory-mapped, and the recordings in them."""

    samples: NDArray[np.int16]
    recordings: tuple[Recording, ...]
    rejected: tuple[Rejected, ...]
    digest: str
    """Hash of ids, lengths and texts: the same data has the same digest."""

    def sound(self, index: int) -> NDArray[np.int16]:
        """Samples of one recording, (n,) int16."""
        recording = self.recordings[index]
        return self.samples[recording.offset : recording.offset + recording.samples]


@dataclass(frozen=True, kw_only=True, slots=True)
class Labelled:
    """The teacher's answer to one recording, as token ids: nothing is ever turned into text and back."""

    key: str
    """`Recording.key`."""
    tokens: tuple[int, ...]
    """Text and timestamp ids, without prefix and without the end token."""
    language: str
    task: str
    avg_logprob: float
    """Mean log-probability per token, nats."""
    no_speech_prob: float
    compression_ratio: float
    """Of the text, zlib."""
    truncated: bool
    """The answer reached the token limit before its end."""
    text: str
    """For people and for the filter; training uses `tokens`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """One recording inside a packed window."""

    recording: int
    """Index into `Corpus.recordings`."""
    start: float
    """Seconds in the window."""
    tokens: tuple[int, ...]
    """Label ids; timestamps count from the recording's start."""
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class PackedWindow:
    """Up to 30 s of recordings that are learnt at once."""

    key: str
    """Stable name, from the recordings it holds; keys of caches and of random draws."""
    parts: tuple[Part, ...]
    seconds: float
    language: str
    task: str
    previous: int | None = None
    """Index of the window before, of the same speaker, whose transcript may be the prompt."""


@dataclass(frozen=True, slots=True)
class WindowBatch:
    """One micro-batch, padded to its longest label and window; teacher and student see the same inputs."""

    mel: Tensor | None
    """(batch, mels, frames) float32; None where the encoder's states come from the cache."""
    inputs: Tensor
    """Decoder inputs (batch, tokens) int64, the whole prompt included; padded with the end token."""
    targets: Tensor
    """Ids to predict (batch, tokens) int64; -100 on the prompt, the start token and the padding."""
    keys: tuple[str, ...]
    """Window keys, for the encoder's cache."""
    variants: tuple[str, ...]
    """Window key and the form that was drawn, for the teacher's cache: equal names have equal inputs."""
    seconds: float
    """Audio in the batch, without padding."""
