"""Writers: one file per output format, each a function of a transcript."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from distilcli.config import LineOptions
from distilcli.types import Transcript
from distilcli.writers import json, srt, tsv, txt, vtt
from distilcli.writers.atomic import write_atomically
from distilcli.writers.speakers import labelled

Writer = Callable[[Transcript], str]


def _with_speakers(render: Writer) -> Writer:
    """A writer of a format that has no place of its own for who speaks."""
    return lambda transcript: render(labelled(transcript))


WRITERS: dict[str, Writer] = {
    "txt": _with_speakers(txt.render),
    "vtt": _with_speakers(vtt.render),
    "srt": _with_speakers(srt.render),
    "tsv": _with_speakers(tsv.render),
    "json": json.render,
}
"""Format, which is also the file's extension -> its writer."""


def writers(lines: LineOptions) -> dict[str, Writer]:
    """All writers, with the words of subtitles on such lines."""
    return {
        **WRITERS,
        "srt": _with_speakers(partial(srt.render, lines=lines)),
        "vtt": _with_speakers(partial(vtt.render, lines=lines)),
    }


__all__ = ["WRITERS", "Writer", "write_atomically", "writers"]
