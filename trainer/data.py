"""Manifests of speech into one memory-mapped bank of samples with token ids.

It knows files, samples and token ids; it does not know windows, batches or mel frames.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from distilcli.errors import NoInputError
from distilcli.manifest import manifest_rows
from distilcli.tokens import Tokenizer
from distilcli.trainer.corpus import decode
from distilcli.trainer.sample_cache import Pending, open_samples
from distilcli.types import SAMPLE_RATE


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One line of a manifest."""

    audio: Path
    text: str
    duration: float | None
    """Seconds, where the manifest says so."""
    speaker: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Utterance:
    """One sentence of the bank."""

    offset: int
    """First sample in the bank."""
    samples: int
    tokens: tuple[int, ...]
    centres: tuple[float, ...]
    """Middle of each token as a share of the sentence's characters."""
    text: str
    speaker: str

    @property
    def seconds(self) -> float:
        """Length of the sound."""
        return self.samples / SAMPLE_RATE


@dataclass(frozen=True, slots=True)
class Bank:
    """All samples end to end, (n,) int16 memory-mapped, and the utterances in them."""

    samples: NDArray[np.int16]
    utterances: tuple[Utterance, ...]
    rejected: tuple[str, ...]
    """Lines and files that could not be used, with the reason."""

    def sound(self, index: int) -> NDArray[np.int16]:
        """Samples of one utterance, (n,) int16."""
        utterance = self.utterances[index]
        return self.samples[utterance.offset : utterance.offset + utterance.samples]


def read_manifest(path: Path, rejected: list[str]) -> Iterator[Entry]:
    """Yields the usable lines of a JSONL manifest; reports the others in `rejected` with their line number.

    Raises:
        NoInputError: the file cannot be read.
    """
    for number, row in manifest_rows(path):
        if isinstance(row, str):
            rejected.append(f"{path}:{number}: {row}")
            continue
        seconds = row.get("duration")
        try:
            entry = Entry(
                audio=path.parent / row["audio"],
                text=str(row["text"]).strip(),
                duration=None if seconds is None else float(seconds),
                speaker=str(row.get("speaker", "")),
            )
        except (ValueError, KeyError, TypeError) as error:
            rejected.append(f"{path}:{number}: {type(error).__name__} {error}")
            continue
        yield entry


def token_centres(tokenizer: Tokenizer, tokens: Sequence[int]) -> tuple[float, ...]:
    """Returns the middle of each token as a share of all characters, 0 to 1."""
    lengths = np.array([max(len(tokenizer.decode([token])), 1) for token in tokens], dtype=np.float64)
    ends = lengths.cumsum()
    return tuple(((ends - lengths / 2) / ends[-1]).tolist())


def open_bank(manifests: Sequence[Path], tokenizer: Tokenizer, cache: Path) -> Bank:
    """Decodes every recording of the manifests once into a file under `cache`; later calls map that file.

    Files may have any container; those that are damaged or longer than a window of 30 s are in
    `Bank.rejected`. The cache's name is a hash of the manifests' content, so another set of recordings makes
    another file.

    Raises:
        NoInputError: nothing usable in the manifests.
        OutputError: the cache cannot be written.
    """
    rejected: list[str] = []
    entries = [entry for path in manifests for entry in read_manifest(path, rejected)]
    digest = hashlib.sha256(repr([(str(e.audio), e.duration) for e in entries]).encode()).hexdigest()[:16]
    samples, stored = open_samples(
        cache, digest, lambda: [Pending({}, partial(decode, e.audio, str(e.audio)), e.audio) for e in entries]
    )
    utterances = []
    for entry, one in zip(entries, stored, strict=True):
        if one.refused is not None:
            rejected.append(one.refused)
            continue
        tokens = tokenizer.encode(" " + entry.text)
        utterances.append(
            Utterance(
                offset=one.offset,
                samples=one.samples,
                tokens=tuple(tokens),
                centres=token_centres(tokenizer, tokens),
                text=entry.text,
                speaker=entry.speaker,
            )
        )
    if not utterances:
        listing = "; ".join(rejected[:3])
        raise NoInputError(
            f"no usable recordings in {', '.join(map(str, manifests))}: {listing or 'no lines'}"
        )
    return Bank(samples, tuple(utterances), tuple(rejected))
