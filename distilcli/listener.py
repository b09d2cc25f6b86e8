"""Who hears what happens during a run. Knows no pipeline and no terminal."""

from __future__ import annotations

from distilcli.errors import DistilError
from distilcli.types import Segment, Transcript


class Listener:
    """Hears what happens during a run; every method does nothing until it is overridden.

    `source` is the path, URL or ``-`` as it was given.
    """

    def file_started(self, source: str, duration: float) -> None:
        """A recording of `duration` seconds has been read and its transcription begins."""

    def language(self, source: str, code: str, probability: float) -> None:
        """The language of a recording has been detected."""

    def segment(self, source: str, segment: Segment) -> None:
        """A segment is final."""

    def progress(self, source: str, seconds: float) -> None:
        """The first `seconds` of a recording are done."""

    def file_done(self, source: str, transcript: Transcript) -> None:
        """A recording is transcribed."""

    def file_failed(self, source: str, error: DistilError) -> None:
        """A recording could not be transcribed; the run goes on."""

    def warning(self, message: str) -> None:
        """Something the user should know that stops nothing."""
