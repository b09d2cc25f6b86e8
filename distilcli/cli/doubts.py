"""What is doubtful in the transcripts of a run, told to people, to programs and to the exit code.

Imported inside command bodies only, with the pipeline.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from distilcli.config import QualityOptions
from distilcli.errors import QualityGateError
from distilcli.listener import Listener
from distilcli.quality import acts
from distilcli.types import Segment, Span, Transcript
from distilcli.writers.cues import playtime

_LISTED = 3
"""Stretches without words that a summary names; JSON has all of them."""


def sentence(transcript: Transcript) -> str:
    """One line such as ``3 segments flagged: 2 repetition, 1 rate``; empty where nothing is doubtful."""
    clauses = (
        _counted(transcript.segments, "flagged"),
        _counted(transcript.dropped, "dropped"),
        _listed(transcript.uncovered),
    )
    return "; ".join(clause for clause in clauses if clause)


def doubts(transcript: Transcript) -> dict[str, object]:
    """The same as values of an event; only what there is."""
    found: dict[str, object] = {
        "flagged": dict(_count(transcript.segments)),
        "dropped": len(transcript.dropped),
        "uncovered": [[span.start, span.end] for span in transcript.uncovered],
    }
    return {name: value for name, value in found.items() if value}


class Doubts(Listener):
    """Remembers the recordings for which ``--on-flag fail`` ends the run with an error."""

    def __init__(self, options: QualityOptions) -> None:
        self._options = options
        self._found: dict[str, str] = {}

    def file_done(self, source: str, transcript: Transcript) -> None:
        options = self._options
        bare = transcript.uncovered and "uncovered" in options.act_on
        if bare or any(acts(segment, options) for segment in transcript.segments):
            self._found[source] = sentence(transcript)

    def error(self) -> QualityGateError | None:
        """The end of a run whose results are all written; None where no gate has tripped."""
        if self._options.on_flag != "fail" or not self._found:
            return None
        if len(self._found) > 1:
            names = ", ".join(self._found)
            return QualityGateError(f"{len(self._found)} recordings are doubtful: {names}")
        ((source, doubt),) = self._found.items()
        return QualityGateError(f"{source} is doubtful: {doubt}")


def _count(segments: Sequence[Segment]) -> Counter[str]:
    return Counter(flag for segment in segments for flag in segment.flags)


def _counted(segments: Sequence[Segment], verb: str) -> str:
    number = sum(bool(segment.flags) for segment in segments)
    flags = ", ".join(f"{times} {flag}" for flag, times in _count(segments).most_common())
    return f"{number} segment{'s' * (number != 1)} {verb}: {flags}" if number else ""


def _listed(spans: Sequence[Span]) -> str:
    """The stretches without words, the longest where there are many."""
    if not spans:
        return ""
    longest = sorted(spans, key=lambda span: -span.duration)[:_LISTED]
    shown = ", ".join(
        f"{playtime(span.start)} to {playtime(span.end)}"
        for span in sorted(longest, key=lambda one: one.start)
    )
    more = "" if len(spans) <= _LISTED else f" and {len(spans) - _LISTED} shorter"
    return f"{len(spans)} stretch{'es' * (len(spans) != 1)} of speech without words: {shown}{more}"
