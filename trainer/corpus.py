"""Sources into a corpus: every recording decoded once into a memory-mapped file, the unusable ones listed.

It knows sources, samples and ids; it does not know labels, windows or models.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from distilcli import media
from distilcli.errors import InputError, NoInputError
from distilcli.trainer.recipe import DataOptions, SourceOptions
from distilcli.trainer.records import Corpus, Recording, Rejected
from distilcli.trainer.sample_cache import Pending, Stored, open_samples
from distilcli.trainer.sources import Item, Source, digest, open_source
from distilcli.types import SAMPLE_RATE, WINDOW_SECONDS

_SHOWN = 3  # reasons in the message of an empty corpus


def open_corpus(
    sources: Sequence[SourceOptions],
    data: DataOptions,
    cache: Path,
    on_progress: Callable[[int], None] | None = None,
) -> Corpus:
    """Decodes every recording of the sources once into a file under `cache`; later calls map that file.

    Recordings keep the order of their sources. Manifest lines and files that cannot be used, and recordings
    outside `data.min_seconds` to `data.max_seconds` (both inclusive), are in `Corpus.rejected`.

    Args:
        sources: training or validation sources of the recipe.
        data: limits, and the language of sources that name none.
        cache: folder of the sample files; several processes may share it.
        on_progress: hears how many items are decoded, while that goes on.

    Raises:
        NoInputError: nothing usable in the sources.
        EnvironmentProblem: a library is missing, or the hub cannot be reached.
        OutputError: the cache cannot be written.
    """
    opened = [open_source(options, data.language) for options in sources]
    name = digest(*(source.identity for source in opened))
    samples, stored = open_samples(cache, name, lambda: _pending(opened), on_progress)
    recordings: list[Recording] = []
    rejected: list[Rejected] = []
    checksums: list[int] = []
    for one in stored:
        fields = dict(one.row)
        number, where = fields.pop("number"), fields.pop("where")
        reason = one.refused or _wrong_length(one, data)
        if reason:
            rejected.append(Rejected(where=where, reason=reason.removeprefix(f"{where}: ")))
            continue
        weight = sources[number].weight
        recordings.append(Recording(offset=one.offset, samples=one.samples, weight=weight, **fields))
        checksums.append(one.checksum)
    if not recordings:
        names = ", ".join(source.name for source in opened)
        listing = "; ".join(f"{one.where}: {one.reason}" for one in rejected[:_SHOWN])
        more = f" (and {len(rejected) - _SHOWN} more)" if len(rejected) > _SHOWN else ""
        raise NoInputError(f"no usable recordings in {names}: {listing or 'nothing is there'}{more}")
    facts = [(r.key, r.language, r.samples, r.text, r.speaker) for r in recordings]
    return Corpus(samples, tuple(recordings), tuple(rejected), digest(facts, checksums))


def decode(audio: Path | bytes, name: str) -> NDArray[np.int16]:
    """Decodes a recording in any container, (n,) int16 at 16 kHz mono.

    Raises:
        InputError: it cannot be read, is damaged (its text would not fit), or is longer than one window.
    """
    damage: list[str] = []
    blocks: list[NDArray[np.int16]] = []
    length = 0
    with _opened(audio, name) as file:
        for block in media.decode(file, name, None, damage.append):
            blocks.append(block.samples)
            length += len(block.samples)
            if length > WINDOW_SECONDS * SAMPLE_RATE:
                break
    if length > WINDOW_SECONDS * SAMPLE_RATE:
        raise InputError(f"{name}: longer than {WINDOW_SECONDS:g} s, the most that a label covers")
    if damage:
        raise InputError(damage[0])
    return np.concatenate(blocks)


def _opened(audio: Path | bytes, name: str) -> AbstractContextManager[IO[bytes]]:
    if isinstance(audio, bytes):
        return io.BytesIO(audio)
    try:
        return audio.open("rb")
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise InputError(f"{name}: cannot be opened: {getattr(error, 'strerror', error)}") from error


def _pending(sources: Sequence[Source]) -> Iterator[Pending]:
    """Everything that the sources name; ids that occur again get a number, because keys must be unique."""
    seen: dict[tuple[str, str], int] = {}
    for number, source in enumerate(sources):
        for item in source.items():
            if isinstance(item, Rejected):
                row = {"number": number, "where": item.where}
                yield Pending(row, partial(_refuse, item.reason))
                continue
            times = seen[source.name, item.id] = seen.get((source.name, item.id), 0) + 1
            yield _one(number, source.name, item, item.id if times == 1 else f"{item.id}#{times}")


def _one(number: int, source: str, item: Item, identifier: str) -> Pending:
    file = item.audio if isinstance(item.audio, Path) else None
    where = str(file) if file else f"{source}/{identifier}"
    row = {
        "number": number,
        "where": where,
        "id": identifier,
        "source": source,
        "language": item.language,
        "text": item.text,
        "speaker": item.speaker,
    }
    return Pending(row, partial(decode, item.audio, where), file)


def _refuse(reason: str) -> NDArray[np.int16]:
    raise InputError(reason)


def _wrong_length(one: Stored, data: DataOptions) -> str | None:
    seconds = one.samples / SAMPLE_RATE
    if data.min_seconds <= seconds <= data.max_seconds:
        return None
    return f"{seconds:.2f} s long; used are {data.min_seconds:g} to {data.max_seconds:g} s"
