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

from distilcli.errors import InputError
from distilcli.trainer import metrics
from distilcli.trainer.metrics import Counts, Interval
from distilcli.writers.atomic import write_atomically


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """One model's transcript of one recording."""

    key: str
    """Names the recording; for a joined one, the first of its recordings."""
    reference: str
    text: str
    language: str


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
class Score:
    """Figures of one model in one mode; rates in per cent."""

    model: str
    mode: str
    snr: float | None
    recordings: int
    audio_seconds: float
    seconds: float
    unit: str
    """word, or character where the language is written without spaces: what `rate` and its parts count."""
    rate: Interval
    """Error rate after normalisation: the one figure to compare."""
    insertions: float
    deletions: float
    substitutions: float
    wer: Interval
    wer_orthographic: Interval
    """With case and punctuation."""
    cer: Interval
    cer_orthographic: Interval
    duplicates: int
    """Repeated 5-grams."""
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
    plain = [(answer.reference, answer.text) for answer in measured.answers]
    normal = normalised(measured.answers, spelling)
    characters = _by_character(measured.answers)
    words = [metrics.count_words(*pair) for pair in normal]
    letters = [metrics.count_characters(*pair) for pair in normal]
    chosen = letters if characters else words
    everything = metrics.total(chosen)

    def interval(counts: Sequence[Counts]) -> Interval:
        return metrics.rate_with_interval(counts, resamples)

    return Score(
        model=measured.model,
        mode=measured.mode,
        snr=measured.snr,
        recordings=len(measured.answers),
        audio_seconds=measured.audio_seconds,
        seconds=measured.seconds,
        unit="character" if characters else "word",
        rate=interval(chosen),
        insertions=everything.share(everything.insertions),
        deletions=everything.share(everything.deletions),
        substitutions=everything.share(everything.substitutions),
        wer=interval(words),
        wer_orthographic=interval([metrics.count_words(*pair) for pair in plain]),
        cer=interval(letters),
        cer_orthographic=interval([metrics.count_characters(*pair) for pair in plain]),
        duplicates=metrics.duplicates(text for _, text in normal),
        rtfx=measured.audio_seconds / max(measured.seconds, 1e-9),
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
        points=metrics.difference_with_interval(
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


def counts_of(answers: Sequence[Answer], spelling: Mapping[str, str]) -> list[Counts]:
    """Counts per recording, normalised, in words or, for languages without spaces, characters."""
    count = metrics.count_characters if _by_character(answers) else metrics.count_words
    return [count(*pair) for pair in normalised(answers, spelling)]


def normalised(answers: Sequence[Answer], spelling: Mapping[str, str]) -> list[tuple[str, str]]:
    """(reference, text) of each answer as the normaliser of its language leaves them."""
    known = {answer.language: metrics.normaliser(answer.language, spelling) for answer in answers}
    return [
        (known[answer.language](answer.reference), known[answer.language](answer.text)) for answer in answers
    ]


def _by_character(answers: Sequence[Answer]) -> bool:
    """Whether most recordings are in languages that are written without spaces."""
    return 2 * sum(metrics.counts_characters(answer.language) for answer in answers) > len(answers)


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
