"""Who hears what happens during a run. Knows no pipeline and no terminal."""

from __future__ import annotations

from collections.abc import Sequence

from distilcli.errors import DistilError
from distilcli.types import Segment, Span, Transcript


class Listener:
    """Hears what happens during a run; every method does nothing until it is overridden.

    `source` is the path, URL or ``-`` as it was given.
    """

    def reading(self, source: str, seconds: float, duration: float | None) -> None:
        """So much of a recording of `duration` seconds (None where it does not say) has been read."""

    def file_started(self, source: str, duration: float) -> None:
        """A recording of `duration` seconds has been read and its transcription begins."""

    def silence(self, source: str, spans: Sequence[Span]) -> None:
        """These stretches of a recording are not decoded, because they have no speech."""

    def language(self, source: str, code: str, probability: float) -> None:
        """The language of a recording has been detected."""

    def segment(self, source: str, segment: Segment) -> None:
        """A segment is final."""

    def dropped(self, source: str, segment: Segment) -> None:
        """A segment is final, and left out for its flags."""

    def partial(self, source: str, start: float, text: str) -> None:
        """What is being said since second `start` of a live source; it may still change."""

    def progress(self, source: str, seconds: float) -> None:
        """The first `seconds` of a recording are done."""

    def file_done(self, source: str, transcript: Transcript) -> None:
        """A recording is transcribed."""

    def file_failed(self, source: str, error: DistilError) -> None:
        """A recording could not be transcribed; the run goes on."""

    def warning(self, message: str) -> None:
        """Something the user should know that stops nothing."""
