"""Error rates of transcripts with confidence intervals, and repeated phrases: functions of texts and counts.

It knows words, characters and numbers; it does not know models, audio or files.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from distilcli.intervals import Interval, between

Normaliser = Callable[[str], str]
"""Text to the form in which words are compared."""

WITHOUT_SPACES = frozenset(("zh", "yue", "ja", "th", "lo", "my", "km", "bo"))
"""Codes of the languages that are written without spaces between words: characters are counted."""


@dataclass(frozen=True, slots=True)
class Counts:
    """How the units (words or characters) of a hypothesis line up with those of its reference."""

    hits: int = 0
    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.hits + other.hits,
            self.substitutions + other.substitutions,
            self.deletions + other.deletions,
            self.insertions + other.insertions,
        )

    @property
    def length(self) -> int:
        """Units of the reference."""
        return self.hits + self.substitutions + self.deletions

    @property
    def errors(self) -> int:
        """Smallest number of edits that turn the hypothesis into the reference."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def rate(self) -> float:
        """Errors per unit of the reference, per cent; an empty reference counts as one unit."""
        return self.share(self.errors)

    def share(self, number: int) -> float:
        """`number` per unit of the reference, per cent."""
        return 100.0 * number / max(self.length, 1)


def count_words(reference: str, hypothesis: str) -> Counts:
    """Aligns two texts word by word; words are what lies between white space."""
    return _align(reference.split(), hypothesis.split())


def count_characters(reference: str, hypothesis: str) -> Counts:
    """Aligns two texts character by character; white space is not counted."""
    return _align(list("".join(reference.split())), list("".join(hypothesis.split())))


def _align(reference: Sequence[str], hypothesis: Sequence[str]) -> Counts:
    """Aligns two lists of units that hold no white space."""
    if not reference or not hypothesis:
        return Counts(deletions=len(reference), insertions=len(hypothesis))
    import jiwer

    found = jiwer.process_words(" ".join(reference), " ".join(hypothesis))
    return Counts(found.hits, found.substitutions, found.deletions, found.insertions)


def total(counts: Iterable[Counts]) -> Counts:
    """Adds up counts."""
    return sum(counts, Counts())


def rate_with_interval(
    counts: Sequence[Counts], resamples: int = 1000, *, level: float = 0.95, seed: int = 0
) -> Interval:
    """Returns the error rate over all recordings, per cent, with its bootstrap interval.

    Recordings, not words, are drawn with replacement: errors of one recording depend on each other.
    Source: Bisani and Ney, Bootstrap estimates for confidence intervals in ASR performance evaluation, 2004.

    Args:
        counts: one entry per recording.
        resamples: number of draws; 0 gives an interval of no width.
        level: share of the draws inside the interval.
        seed: of the draws.
    """
    drawn = _drawn_rates(counts, _draws(len(counts), resamples, seed))
    return between(total(counts).rate, drawn, level)


def difference_with_interval(
    first: Sequence[Counts],
    second: Sequence[Counts],
    resamples: int = 1000,
    *,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Returns error rate of `second` less that of `first`, in points, with its paired bootstrap interval.

    Both were measured on the same recordings in the same order, and every draw takes the same recordings of
    both: the difference is known far better than either rate.
    """
    draws = _draws(len(first), resamples, seed)
    value = total(second).rate - total(first).rate
    return between(value, _drawn_rates(second, draws) - _drawn_rates(first, draws), level)


def _draws(recordings: int, resamples: int, seed: int) -> NDArray[np.int64]:
    """How often each draw takes each recording, (resamples, recordings)."""
    if not recordings:
        return np.zeros((0, 0), dtype=np.int64)
    shares = np.full(recordings, 1.0 / recordings)
    return np.random.default_rng(seed).multinomial(recordings, shares, size=resamples)


def _drawn_rates(counts: Sequence[Counts], draws: NDArray[np.int64]) -> NDArray[np.float64]:
    """Error rate of each draw, per cent, (resamples,)."""
    errors = np.array([one.errors for one in counts], dtype=np.float64)
    lengths = np.array([one.length for one in counts], dtype=np.float64)
    if not draws.size:
        return np.zeros(0)
    rates: NDArray[np.float64] = 100.0 * (draws @ errors) / np.maximum(draws @ lengths, 1.0)
    return rates


def duplicates(texts: Iterable[str], degree: int = 5) -> int:
    """Counts repeated phrases: n-grams less distinct n-grams over all texts joined.

    Source: Distil-Whisper paper, section 6 (5-Dup); upstream `run_long_form_transcription.py`.
    """
    words = [word for text in texts for word in text.split()]
    grams = [tuple(words[at : at + degree]) for at in range(len(words) - degree + 1)]
    return len(grams) - len(set(grams))


def counts_characters(language: str) -> bool:
    """Whether errors in this language are counted in characters: it is written without spaces."""
    return language in WITHOUT_SPACES


def normaliser(language: str, spelling: Mapping[str, str] | None = None) -> Normaliser:
    """Returns the normaliser of a language: Whisper's for English, `basic` for others.

    Args:
        language: code.
        spelling: British to American spellings, the content of a model's `normalizer.json`; None: no table.
    """
    if language != "en":
        return basic
    from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

    found = EnglishTextNormalizer(dict(spelling or {}))
    return lambda text: str(found(text)).strip()


def basic(text: str) -> str:
    """Lower case, without bracketed remarks, punctuation and symbols.

    Whisper's basic normaliser (Whisper paper, appendix C), but combining marks stay: it puts spaces in their
    place, which cuts the words of Hindi, Tamil or Thai into pieces at every vowel sign.
    """
    text = re.sub(r"[<\[][^>\]]*[>\]]|\([^)]+?\)", "", text.lower())
    kept = (
        " " if unicodedata.category(one)[0] in "SP" else one for one in unicodedata.normalize("NFKC", text)
    )
    return " ".join("".join(kept).lower().split())
