"""How long texts take to say, and which of them go round in circles."""

from __future__ import annotations

import itertools
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distilcli.text import letters, repeated, words


def loop(text: str) -> float:
    return repeated(list(words(text)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello, world!", 10),
        ("... --- ?!", 0),
        ("1984", 8),  # each digit is as long as two letters
        ("你好", 6),
        ("ありがとう", 10),
        ("안녕", 4),
        ("नमस्ते", 4),  # vowel signs are no letters
    ],
)
def test_letters_are_weighed_by_their_script(text: str, expected: float) -> None:
    assert letters(text) == expected


def test_the_same_sentence_takes_about_as_long_in_every_script() -> None:
    greeting = [
        "Thank you very much for your attention.",
        "Vielen Dank für Ihre Aufmerksamkeit.",
        "Большое спасибо за внимание.",
        "非常感谢大家的关注和聆听",
        "ご清聴ありがとうございました。",
        "경청해 주셔서 대단히 감사합니다.",
    ]
    assert all(20 <= letters(text) <= 40 for text in greeting)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("thank you, thank you", ["thank", "you", "thank", "you"]),
        ("Don't STOP - don't stop.", ["dont", "stop", "dont", "stop"]),
        ("你好 ok", ["你", "好", "ok"]),
        ("... ...", ["...", "..."]),
        ("", []),
    ],
)
def test_words_have_no_case_and_no_punctuation(text: str, expected: list[str]) -> None:
    assert [name for name, _ in words(text)] == expected


def test_what_is_longer_than_any_word_is_taken_apart() -> None:
    assert [share for _, share in words("ha" * 20)] == [0.25] * 40
    assert loop("ha" * 20) == (40 - 2) * 0.25


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no, no, no", 2),
        ("so very good and so very good", 0),  # twice is no loop
        ("go on, go on, go on!", 4),
        ("a rose is a rose is a rose is a rose", 8),
        ("你好你好你好", 2),  # four characters of half a word
    ],
)
def test_repeated_words_are_those_that_say_nothing_new(text: str, expected: float) -> None:
    assert loop(text) == expected


PHRASES = st.lists(st.text(string.ascii_lowercase, min_size=1, max_size=8), min_size=1, max_size=12)


@given(PHRASES, st.integers(3, 6))
@settings(max_examples=60, deadline=None)
def test_a_phrase_that_comes_again_and_again_is_a_loop(phrase: list[str], times: int) -> None:
    assert loop(" ".join(phrase * times)) >= (times - 1) * len(phrase)


@given(st.lists(st.text(string.ascii_lowercase, min_size=1, max_size=8), unique=True, max_size=60))
@settings(max_examples=60, deadline=None)
def test_words_that_all_differ_are_no_loop(distinct: list[str]) -> None:
    assert loop(" ".join(distinct)) == 0


@given(PHRASES, st.integers(0, 40))
@settings(max_examples=60, deadline=None)
def test_only_what_reaches_beyond_the_first_words_counts(phrase: list[str], since: int) -> None:
    """The measure since a word is the largest of those that end at one of the words from there on."""
    units = list(words(" ".join([*phrase * 4, "end", *phrase])))
    ends = range(max(since, 1), len(units) + 1)
    expected = max((_tail(units[:end]) for end in ends if end > since), default=0)
    assert repeated(units, since) == expected


def _tail(units: list[tuple[str, float]]) -> float:
    """Words at the very end that repeat those before them for the third time or more: by definition."""
    names, best = [name for name, _ in units], 0.0
    for period in range(1, len(names) // 3 + 1):
        pairs = zip(reversed(names), reversed(names[:-period]), strict=False)
        run = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))
        if run >= 2 * period:
            best = max(best, float(run))
    return best
