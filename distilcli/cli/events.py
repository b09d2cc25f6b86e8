"""``--json``: one JSON object per line on stdout for everything that happens, flushed at once.

Imported inside command bodies only, with the pipeline.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

from distilcli.cli import stdout
from distilcli.cli.doubts import doubts
from distilcli.errors import DistilError
from distilcli.pipeline import Listener
from distilcli.types import Segment, Span, Transcript
from distilcli.writers.json import SCHEMA, record


class EventStream(Listener):
    """Prints events; every line has ``schema`` and ``event``, and most a ``source`` as it was given.

    `written` maps a source to its files; the file writer fills it before a recording is done.
    """

    def __init__(self) -> None:
        self.written: dict[str, list[Path]] = {}
        self._segments: dict[str, int] = {}
        self._dropped: dict[str, int] = {}
        self._durations: dict[str, float] = {}

    def plan(self, sources: Sequence[str], targets: dict[str, dict[str, Path]], model: str) -> None:
        """What is going to be done."""
        outputs = {source: [str(path) for path in files.values()] for source, files in targets.items()}
        _emit("plan", model=model, inputs=list(sources), outputs=outputs)

    def file_started(self, source: str, duration: float) -> None:
        self._durations[source] = duration
        _emit("file_start", source=source, duration=duration)

    def silence(self, source: str, spans: Sequence[Span]) -> None:
        _emit("silence", source=source, spans=[[span.start, span.end] for span in spans])

    def language(self, source: str, code: str, probability: float) -> None:
        _emit("language", source=source, language=code, probability=probability)

    def segment(self, source: str, segment: Segment) -> None:
        number = self._segments.get(source, 0)
        self._segments[source] = number + 1
        _emit("segment", source=source, **record(number, segment))

    def dropped(self, source: str, segment: Segment) -> None:
        number = self._dropped.get(source, 0)
        self._dropped[source] = number + 1
        _emit("dropped", source=source, **record(number, segment))

    def partial(self, source: str, start: float, text: str) -> None:
        _emit("partial", source=source, start=start, text=text)

    def progress(self, source: str, seconds: float) -> None:
        _emit("progress", source=source, seconds=seconds, duration=self._durations.get(source))

    def warning(self, message: str) -> None:
        _emit("warning", message=message)

    def file_done(self, source: str, transcript: Transcript) -> None:
        _emit(
            "file_done",
            source=source,
            duration=transcript.duration,
            language=transcript.language,
            segments=len(transcript.segments),
            outputs=[str(path) for path in self.written.get(source, [])],
            **doubts(transcript),
        )

    def file_failed(self, source: str, error: DistilError) -> None:
        _emit("file_failed", source=source, error=error.message, hint=error.hint, exit_code=error.exit_code)

    def run_done(self, total: int, failed: Sequence[str], exit_code: int) -> None:
        """The last line of a run that was not cut short by the machine itself."""
        _emit("run_done", inputs=total, failed=list(failed), exit_code=exit_code)


def _emit(event: str, **fields: object) -> None:
    finite = {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in fields.items()
    }
    stdout.write(json.dumps({"schema": SCHEMA, "event": event, **finite}, ensure_ascii=False) + "\n")
