"""Error rates against counts made by hand, an independent alignment, and intervals against arithmetic."""

from __future__ import annotations

import random

import numpy as np
import pytest

from distilcli import measures
from distilcli.intervals import Interval
from distilcli.measures import Counts


def distance(left: list[str], right: list[str]) -> int:
    """Levenshtein distance by the textbook's table."""
    row = list(range(len(right) + 1))
    for i, one in enumerate(left, start=1):
        before, row[0] = row[0], i
        for j, other in enumerate(right, start=1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (one != other))
    return row[-1]


@pytest.mark.parametrize(
    ("reference", "hypothesis", "expected"),
    [
        ("the cat sat", "the cat sat", Counts(hits=3)),
        ("the cat sat", "the bat sat", Counts(hits=2, substitutions=1)),
        ("the cat sat", "the sat", Counts(hits=2, deletions=1)),
        ("the cat sat", "the big cat sat", Counts(hits=3, insertions=1)),
        ("the cat sat", "", Counts(deletions=3)),
        ("", "thank you", Counts(insertions=2)),
        ("", "", Counts()),
        ("  the   cat ", "the cat", Counts(hits=2)),
    ],
)
def test_words_are_counted_as_by_hand(reference: str, hypothesis: str, expected: Counts) -> None:
    assert measures.count_words(reference, hypothesis) == expected


def test_characters_do_not_count_spaces() -> None:
    assert measures.count_characters("a b c", "abd") == Counts(hits=2, substitutions=1)
    assert measures.count_characters("你好 世界", "你好世").rate == 25.0


def test_errors_are_the_edit_distance_of_random_texts() -> None:
    draw = random.Random(1)
    for _ in range(200):
        left, right = ([draw.choice("abcd") for _ in range(draw.randrange(9))] for _ in range(2))
        found = measures.count_words(" ".join(left), " ".join(right))
        assert found.errors == distance(left, right)
        assert found.length == len(left)
        assert found.hits + found.substitutions + found.insertions == len(right)


def test_the_rate_is_that_of_all_words_together_not_the_mean_of_rates() -> None:
    counts = [Counts(hits=9, substitutions=1), Counts(substitutions=1, insertions=1)]
    assert measures.total(counts).rate == pytest.approx(100 * 3 / 11)
    assert Counts(insertions=2).rate == 200.0  # an empty reference counts as one word


def test_the_interval_is_that_of_the_normal_approximation_for_many_recordings() -> None:
    draw = np.random.default_rng(3)
    errors = draw.binomial(10, 0.2, size=800)
    counts = [Counts(hits=10 - int(n), substitutions=int(n)) for n in errors]
    found = measures.rate_with_interval(counts, 2000)
    deviation = 100 * float(np.std(errors / 10)) / np.sqrt(800)
    assert found.value == pytest.approx(100 * errors.mean() / 10)
    assert found.value - found.low == pytest.approx(1.96 * deviation, rel=0.1)
    assert found.high - found.value == pytest.approx(1.96 * deviation, rel=0.1)
    assert measures.rate_with_interval(counts, 2000) == found
    assert measures.rate_with_interval(counts, 2000, seed=1) != found


def test_one_recording_or_no_draws_have_no_width() -> None:
    counts = [Counts(hits=3, deletions=1)]
    assert measures.rate_with_interval(counts, 500) == Interval(25.0, 25.0, 25.0)
    assert measures.rate_with_interval(counts * 5, 0).low == 25.0
    assert measures.rate_with_interval([], 100).value == 0.0


def test_a_paired_difference_is_narrower_than_the_rates() -> None:
    draw = np.random.default_rng(5)
    hard = draw.integers(0, 10, size=300)  # both models stumble over the same recordings
    first = [Counts(hits=20 - int(n), substitutions=int(n)) for n in hard]
    second = [Counts(hits=19 - int(n), substitutions=int(n) + 1) for n in hard]
    found = measures.difference_with_interval(first, second, 1000)
    assert found.value == pytest.approx(5.0)
    assert found.low == pytest.approx(5.0)  # one word more in each: the difference does not vary at all
    assert found.high == pytest.approx(5.0)
    wide = measures.rate_with_interval(first, 1000)
    assert wide.high - wide.low > 1.0


def test_repeated_phrases_are_counted_over_all_texts() -> None:
    assert measures.duplicates(["a b c d e f"]) == 0
    assert measures.duplicates(["a b c d e"] * 2) == 1  # 6 grams, of which the first is there twice
    assert measures.duplicates(["so"] * 10) == 5
    assert measures.duplicates(["a b", "a b"], degree=2) == 1
    assert measures.duplicates([]) == 0


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("en", "Mr. Smith's COLOUR, [laughs] isn't twenty-one!", "mister smith is color is not 21"),
        ("de", "Äpfel (rot) und [Lärm] Öl – 5 %!", "äpfel und öl 5"),
        ("hi", "नमस्ते, दुनिया!", "नमस्ते दुनिया"),
        ("fr", "  L'été   arrive… ", "l été arrive"),
    ],
)
def test_texts_are_normalised_for_their_language(language: str, text: str, expected: str) -> None:
    assert measures.normaliser(language, {"colour": "color"})(text) == expected


def test_the_basic_normaliser_is_whispers_where_no_marks_are_combined() -> None:
    from transformers.models.whisper.english_normalizer import BasicTextNormalizer

    theirs = BasicTextNormalizer()
    for text in ("Où est-ce ? [bruit] Là-bas!", "¿Qué tal, señor?", "Grüß Gott; 3,5 km.", "Это (да) - дом."):
        assert measures.basic(text) == theirs(text).strip()


def test_languages_without_spaces_are_known() -> None:
    assert measures.counts_characters("ja")
    assert not measures.counts_characters("ko")
