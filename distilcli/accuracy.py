"""How right transcripts are: error rates of answers against references, normalised and as written.

It turns texts into figures; it does not know how the transcripts were made.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from distilcli import measures
from distilcli.intervals import Interval
from distilcli.measures import Counts


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """One model's transcript of one recording."""

    key: str
    """Names the recording; for a joined one, the first of its recordings."""
    reference: str
    text: str
    language: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Accuracy:
    """Error rates over recordings, in per cent."""

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


def accuracy_of(answers: Sequence[Answer], resamples: int, spelling: Mapping[str, str]) -> Accuracy:
    """Compares texts with references; the same recordings are drawn for every rate.

    Args:
        answers: one per recording.
        resamples: draws of the bootstrap.
        spelling: British to American spellings, as `measures.normaliser` takes them.
    """
    plain = [(answer.reference, answer.text) for answer in answers]
    normal = normalised(answers, spelling)
    characters = _by_character(answers)
    words = [measures.count_words(*pair) for pair in normal]
    letters = [measures.count_characters(*pair) for pair in normal]
    chosen = letters if characters else words
    everything = measures.total(chosen)

    def interval(counts: Sequence[Counts]) -> Interval:
        return measures.rate_with_interval(counts, resamples)

    return Accuracy(
        unit="character" if characters else "word",
        rate=interval(chosen),
        insertions=everything.share(everything.insertions),
        deletions=everything.share(everything.deletions),
        substitutions=everything.share(everything.substitutions),
        wer=interval(words),
        wer_orthographic=interval([measures.count_words(*pair) for pair in plain]),
        cer=interval(letters),
        cer_orthographic=interval([measures.count_characters(*pair) for pair in plain]),
        duplicates=measures.duplicates(text for _, text in normal),
    )


def counts_of(answers: Sequence[Answer], spelling: Mapping[str, str]) -> list[Counts]:
    """Counts per recording, normalised, in words or, for languages without spaces, characters."""
    count = measures.count_characters if _by_character(answers) else measures.count_words
    return [count(*pair) for pair in normalised(answers, spelling)]


def normalised(answers: Sequence[Answer], spelling: Mapping[str, str]) -> list[tuple[str, str]]:
    """(reference, text) of each answer as the normaliser of its language leaves them."""
    known = {answer.language: measures.normaliser(answer.language, spelling) for answer in answers}
    return [
        (known[answer.language](answer.reference), known[answer.language](answer.text)) for answer in answers
    ]


def spelling_of(folders: Iterable[Path]) -> dict[str, str]:
    """British to American spellings of the first model folder that has them; empty where none has."""
    for folder in folders:
        path = folder / "normalizer.json"
        if path.is_file():
            table: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
            return table
    return {}


def _by_character(answers: Sequence[Answer]) -> bool:
    """Whether most recordings are in languages that are written without spaces."""
    return 2 * sum(measures.counts_characters(answer.language) for answer in answers) > len(answers)
