"""What an evaluation finds: error rates per model and mode, differences, and single recordings, as JSON.

It turns transcripts into figures; it does not know how the transcripts were made.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distilcli import measures
from distilcli.accuracy import Accuracy, Answer, accuracy_of, counts_of
from distilcli.errors import InputError
from distilcli.intervals import Interval
from distilcli.writers.atomic import write_atomically


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """All transcripts of one model in one mode, and the time they took."""

    model: str
    mode: str
    """short, sequential or chunked."""
    snr: float | None
    """Signal-to-noise ratio of added white noise in dB; None: as recorded."""
    audio_seconds: float
    seconds: float
    answers: tuple[Answer, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Score(Accuracy):
    """Figures of one model in one mode; rates in per cent."""

    model: str
    mode: str
    snr: float | None
    recordings: int
    audio_seconds: float
    seconds: float
    rtfx: float
    """Seconds of audio per second of work."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """Error rate of a model less that of the baseline, in points, on the same recordings."""

    baseline: str
    model: str
    mode: str
    snr: float | None
    points: Interval


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """One recording with what every model made of it; rates in per cent."""

    key: str
    reference: str
    texts: dict[str, str]
    rates: dict[str, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Results:
    """Everything that an evaluation found."""

    scores: tuple[Score, ...] = ()
    differences: tuple[Difference, ...] = ()
    worst: tuple[Example, ...] = ()
    """Recordings with the most errors of the last model, in short mode."""


def score(measured: Measured, resamples: int, spelling: Mapping[str, str]) -> Score:
    """Turns transcripts into figures; the same recordings are drawn for every model and rate."""
    found = accuracy_of(measured.answers, resamples, spelling)
    return Score(
        model=measured.model,
        mode=measured.mode,
        snr=measured.snr,
        recordings=len(measured.answers),
        audio_seconds=measured.audio_seconds,
        seconds=measured.seconds,
        rtfx=measured.audio_seconds / max(measured.seconds, 1e-9),
        **{one.name: getattr(found, one.name) for one in dataclasses.fields(found)},
    )


def difference(
    baseline: Measured, other: Measured, resamples: int, spelling: Mapping[str, str]
) -> Difference:
    """Compares two models on the same recordings."""
    assert [one.key for one in baseline.answers] == [one.key for one in other.answers]
    return Difference(
        baseline=baseline.model,
        model=other.model,
        mode=other.mode,
        snr=other.snr,
        points=measures.difference_with_interval(
            counts_of(baseline.answers, spelling), counts_of(other.answers, spelling), resamples
        ),
    )


def worst(measured: Sequence[Measured], number: int, spelling: Mapping[str, str]) -> tuple[Example, ...]:
    """Returns the recordings with the most errors of the last model; ties in the order of the recordings."""
    if not measured:
        return ()
    counts = {one.model: counts_of(one.answers, spelling) for one in measured}
    judged = counts[measured[-1].model]
    order = sorted(range(len(judged)), key=lambda index: -judged[index].errors)
    return tuple(
        Example(
            key=measured[-1].answers[index].key,
            reference=measured[-1].answers[index].reference,
            texts={one.model: one.answers[index].text for one in measured},
            rates={model: found[index].rate for model, found in counts.items()},
        )
        for index in order[:number]
        if judged[index].errors
    )


def write_results(path: Path, results: Results) -> None:
    """Writes results as JSON, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(dataclasses.asdict(results), indent=1, ensure_ascii=False) + "\n")


def read_results(path: Path) -> Results:
    """Reads what `write_results` wrote.

    Raises:
        InputError: the file is damaged or of another version.
    """
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        return Results(
            scores=tuple(Score(**_with_intervals(row)) for row in table["scores"]),
            differences=tuple(Difference(**_with_intervals(row)) for row in table["differences"]),
            worst=tuple(Example(**row) for row in table["worst"]),
        )
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(f"{path} cannot be read as results of an evaluation: {error}") from error


def _with_intervals(row: Mapping[str, Any]) -> dict[str, Any]:  # Any: what JSON holds
    return {
        name: Interval(**value) if isinstance(value, dict) and "low" in value else value
        for name, value in row.items()
    }
