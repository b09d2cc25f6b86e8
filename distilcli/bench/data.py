"""Which recordings a bench measures: the bundled one, a manifest, files; short and long ones in two sets.

Knows files, durations and texts; decodes only what does not say how long it is.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from distilcli.audio import open_audio, probe
from distilcli.bench import demo
from distilcli.bench.values import Clip, ClipSet
from distilcli.errors import InputError, NoInputError
from distilcli.languages import language_code
from distilcli.manifest import manifest_rows
from distilcli.types import WINDOW_SECONDS

SHORT, LONG = "short", "long"
_DEMO_CLIPS = 6
_DEMO_CLIP_SECONDS = (4, 8)


def bundled(scratch: Path, seed: int, most: int = 0) -> tuple[ClipSet, ...]:
    """The bundled recording, and sentences of it in files of `scratch`: at most `most`, unless that is 0."""
    with open_audio(demo.RECORDING) as audio:
        long = Clip(path=str(demo.RECORDING), text=demo.text(), language="en", duration=audio.duration)
    chosen = demo.passages(min(most or _DEMO_CLIPS, _DEMO_CLIPS), *_DEMO_CLIP_SECONDS, seed)
    return ClipSet(name=LONG, clips=(long,)), ClipSet(name=SHORT, clips=demo.clips(chosen, scratch))


def load(sources: Sequence[Path], *, language: str | None, most: int, seed: int) -> tuple[ClipSet, ...]:
    """Manifests (.jsonl) and recordings as one set of short clips (up to 30 s) and one of long ones.

    Args:
        sources: manifests and recordings.
        language: of recordings whose manifest does not say it, or that have no manifest.
        most: clips of each set, drawn at random; 0 takes all.
        seed: of that draw.

    Raises:
        NoInputError: there is no such file, or nothing in it can be used.
        InputError: a line of a manifest, or a recording, cannot be used.
    """
    clips = [clip for source in sources for clip in _clips(source, language)]
    if not clips:
        raise NoInputError(f"{', '.join(map(str, sources))}: there is no recording in it")
    short = [clip for clip in clips if clip.duration <= WINDOW_SECONDS]
    long = [clip for clip in clips if clip.duration > WINDOW_SECONDS]
    draw = random.Random(seed)

    def chosen(found: list[Clip]) -> tuple[Clip, ...]:
        if not most or len(found) <= most:
            return tuple(found)
        return tuple(found[index] for index in sorted(draw.sample(range(len(found)), most)))

    return tuple(
        ClipSet(name=name, clips=chosen(found)) for name, found in ((SHORT, short), (LONG, long)) if found
    )


def _clips(source: Path, language: str | None) -> Iterator[Clip]:
    if source.is_dir():
        raise NoInputError(
            f"{source}: expected a manifest or a recording, found a folder", hint=f"{source}/*"
        )
    if not source.is_file():
        raise NoInputError(f"there is no file {source}")
    if source.suffix != ".jsonl":
        yield Clip(path=str(source), language=language, duration=_duration(source))
        return
    for number, row in manifest_rows(source):
        if isinstance(row, str):
            raise InputError(f"{source}:{number}: {row}")
        yield _clip(row, source.parent, language, f"{source}:{number}")


def _clip(row: dict[str, Any], folder: Path, language: str | None, where: str) -> Clip:
    """One line of a manifest: audio (relative to the manifest), and text, language and duration if known."""
    audio, text = row.get("audio"), row.get("text")
    if not isinstance(audio, str):
        raise InputError(f"{where}: expected a file name under 'audio'")
    if text is not None and not isinstance(text, str):
        raise InputError(f"{where}: expected text under 'text', found {type(text).__name__}")
    path = folder / audio
    if not path.is_file():
        raise InputError(f"{where}: there is no file {path}")
    stated = row.get("duration")
    spoken = row.get("language") or language
    return Clip(
        path=str(path),
        text=text,
        language=language_code(str(spoken)) if spoken else None,
        duration=float(stated) if isinstance(stated, int | float) and stated > 0 else _duration(path),
    )


def _duration(path: Path) -> float:
    """Seconds, from the headers where they say it."""
    stated = probe(path).duration
    if stated:
        return stated
    with open_audio(path) as audio:
        return audio.duration
