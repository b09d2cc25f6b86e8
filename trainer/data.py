"""Manifests of speech into one memory-mapped bank of samples with token ids.

It knows files, samples and token ids; it does not know windows, batches or mel frames.
"""

from __future__ import annotations

import hashlib
import wave
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from distilcli.errors import InputError, NoInputError
from distilcli.tokens import Tokenizer
from distilcli.trainer.manifest import manifest_rows
from distilcli.trainer.sample_cache import Pending, open_samples
from distilcli.types import SAMPLE_RATE

Decode = Callable[[Path], NDArray[np.int16]]
"""Reads one recording as (n,) int16 at 16 kHz mono; raises InputError."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One line of a manifest."""

    audio: Path
    text: str
    duration: float
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
        try:
            entry = Entry(
                audio=path.parent / row["audio"],
                text=str(row["text"]).strip(),
                duration=float(row["duration"]),
                speaker=str(row.get("speaker", "")),
            )
        except (ValueError, KeyError, TypeError) as error:
            rejected.append(f"{path}:{number}: {type(error).__name__} {error}")
            continue
        yield entry


def read_wave(path: Path) -> NDArray[np.int16]:
    """Reads a 16 kHz mono 16-bit WAV file.

    Raises:
        InputError: missing, damaged, or another format.
    """
    try:
        with wave.open(str(path), "rb") as reader:
            shape = (reader.getframerate(), reader.getnchannels(), reader.getsampwidth())
            raw = reader.readframes(reader.getnframes())
    except (OSError, EOFError, wave.Error) as error:
        raise InputError(f"cannot read {path}: {error}") from error
    if shape != (SAMPLE_RATE, 1, 2) or not raw:
        raise InputError(f"{path}: expected 16 kHz mono 16-bit samples, found {shape} and {len(raw)} bytes")
    return np.frombuffer(raw, dtype=np.int16)


def token_centres(tokenizer: Tokenizer, tokens: Sequence[int]) -> tuple[float, ...]:
    """Returns the middle of each token as a share of all characters, 0 to 1."""
    lengths = np.array([max(len(tokenizer.decode([token])), 1) for token in tokens], dtype=np.float64)
    ends = lengths.cumsum()
    return tuple(((ends - lengths / 2) / ends[-1]).tolist())


def open_bank(
    manifests: Sequence[Path], tokenizer: Tokenizer, cache: Path, decode: Decode = read_wave
) -> Bank:
    """Decodes every recording of the manifests once into a file under `cache`; later calls map that file.

    The cache's name is a hash of the manifests' content, so another set of recordings makes another file.

    Raises:
        NoInputError: nothing usable in the manifests.
        OutputError: the cache cannot be written.
    """
    rejected: list[str] = []
    entries = [entry for path in manifests for entry in read_manifest(path, rejected)]
    digest = hashlib.sha256(repr([(str(e.audio), e.duration) for e in entries]).encode()).hexdigest()[:16]
    samples, stored = open_samples(
        cache, digest, lambda: [Pending({}, partial(decode, e.audio), e.audio) for e in entries]
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
