"""``distilcli transcribe --live``: sound as it comes, through the same model, options and writers as a file.

Imported inside command bodies only, with the pipeline.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from distilcli.backends.base import Backend
from distilcli.cli.inputs import STDIN
from distilcli.cli.live_sound import Arrived, microphone, standard_input, stopping
from distilcli.cli.outputs import FileWriter
from distilcli.cli.progress import is_live_terminal
from distilcli.cli.request import Request
from distilcli.config import TranscribeOptions
from distilcli.errors import DistilError
from distilcli.journal import Journal
from distilcli.listener import Listener
from distilcli.live import Live
from distilcli.pipeline import transcribe_many
from distilcli.types import SAMPLE_RATE, Audio, Segment, Transcript

_BEHIND = 10.0
"""Seconds of sound that wait for the model when the user is told that it is too slow."""

_CLEAR = "\r\x1b[K"


def name_now() -> str:
    """What a live transcript is called: by the moment at which it begins, so that none replaces another."""
    return f"live-{datetime.now():%Y%m%d-%H%M%S}"


def transcribe(
    source: str,
    request: Request,
    backend: Backend,
    options: TranscribeOptions,
    listener: Listener,
    journal: Journal | None,
) -> None:
    """Transcribe the microphone or standard input until it ends, or until Ctrl-C.

    What the `journal` holds of a run that did not come to its end is the beginning of this one.
    """
    before = journal.segments if journal else []
    keep = journal.said if journal else lambda segment: None

    def hear(audio: Audio, how: TranscribeOptions) -> Transcript:
        (result,) = transcribe_many([audio], backend, how)
        if isinstance(result, DistilError):
            raise result
        return result

    with _sound(request) as arrived, stopping(arrived):
        live = Live(source, hear, options, listener)
        live.remember(before)
        live.run(_watched(arrived, listener), keep)


def _sound(request: Request) -> AbstractContextManager[Arrived]:
    return standard_input() if request.inputs == (STDIN,) else microphone(request.live_device)


def _watched(arrived: Arrived, listener: Listener) -> Iterator[NDArray[np.float32]]:
    """The blocks that arrive; says once when the model falls behind."""
    told = False
    for block in arrived.blocks():
        behind = len(block) / SAMPLE_RATE
        if behind > _BEHIND and not told:
            told = True
            listener.warning(
                f"the model is slower than speech and {behind:.0f} s behind; "
                f"a smaller --model, --beam-size 1 or --live-refresh 0 helps"
            )
        yield block


class LiveWriter(FileWriter):
    """Has all that was said on the disk after every segment, in files that the whole transcript replaces."""

    def segment(self, source: str, segment: Segment) -> None:
        super().segment(source, segment)
        self.save_so_far(source)

    def file_done(self, source: str, transcript: Transcript) -> None:
        parts = self.written.pop(source, [])
        super().file_done(source, transcript)
        for path in parts:
            path.unlink(missing_ok=True)


class UnfinishedText(Listener):
    """Shows what may still change in the last line of a terminal."""

    def __init__(self) -> None:
        self._shown = False

    def partial(self, source: str, start: float, text: str) -> None:
        width = max(shutil.get_terminal_size().columns - 1, 10)
        line = " ".join(text.split())
        sys.stderr.write(_CLEAR + (line if len(line) <= width else "..." + line[3 - width :]))
        sys.stderr.flush()
        self._shown = True

    def segment(self, source: str, segment: Segment) -> None:
        self._clear()

    def file_done(self, source: str, transcript: Transcript) -> None:
        self._clear()

    def _clear(self) -> None:
        if self._shown:
            sys.stderr.write(_CLEAR)
            sys.stderr.flush()
        self._shown = False


def unfinished_text(quiet: bool) -> list[Listener]:
    """Who shows text that may still change; nobody where there is no terminal."""
    shows = not quiet and is_live_terminal(sys.stderr) and os.environ.get("TERM") != "dumb"
    return [UnfinishedText()] if shows else []
