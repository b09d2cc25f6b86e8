"""Writers: one file per output format, each a function of a transcript."""

from __future__ import annotations

from collections.abc import Callable

from distilcli.types import Transcript
from distilcli.writers import json, srt, tsv, txt, vtt
from distilcli.writers.atomic import write_atomically

Writer = Callable[[Transcript], str]

WRITERS: dict[str, Writer] = {
    "txt": txt.render,
    "vtt": vtt.render,
    "srt": srt.render,
    "tsv": tsv.render,
    "json": json.render,
}
"""Format, which is also the file's extension -> its writer."""

__all__ = ["WRITERS", "Writer", "write_atomically"]
