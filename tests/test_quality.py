"""Flags of segments made by hand, what must not be flagged, and speech without words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distilcli import assets
from distilcli.config import FLAGS, QualityOptions
from distilcli.errors import UsageError
from distilcli.quality import TESTS, Known, doubt, flags, tight, uncovered
from distilcli.types import Segment, Span, Word

OPTIONS = QualityOptions()
NOTHING = Known()
DEMO = (Path(assets.__file__).parent / "demo.txt").read_text(encoding="utf-8")


def said(text: str, start: float = 0.0, end: float | None = None, **other: object) -> Segment:
    """A segment; without an end as long as a calm voice needs, 15 letters per second."""
    return Segment(text, Span(start, start + max(1.0, len(text) / 15) if end is None else end), **other)


def judged(*segments: Segment, known: Known = NOTHING, options: QualityOptions = OPTIONS) -> list[set[str]]:
    return [set(flags(one, segments[:at], known, options)) for at, one in enumerate(segments)]


def test_the_table_of_tests_is_the_list_of_flags() -> None:
    assert [*TESTS, "uncovered"] == list(FLAGS)


def test_a_plain_segment_has_no_flag() -> None:
    known = Known(speech=(Span(0.0, 10.0),), language="en")
    assert judged(said("The river runs to the sea.", language="en", avg_logprob=-0.3), known=known) == [set()]


def test_a_loop_in_a_segment_although_it_is_likely() -> None:
    assert judged(said("I don't know. " * 9, avg_logprob=-0.02)) == [{"repetition"}]


def test_a_loop_across_segments_is_flagged_from_where_it_is_one() -> None:
    found = judged(*(said("Thank you.", 2 * at) for at in range(9)))
    # Two words each: ten repeated words are there with the sixth.
    assert found == [set()] * 5 + [{"repetition"}] * 4


def test_rows_of_dots_are_a_loop() -> None:
    assert judged(*(said("...", 2 * at) for at in range(12)))[-1] == {"repetition"}


def test_a_loop_ends_with_the_text_that_is_new() -> None:
    found = judged(said("and then " * 20), said("we went home."))
    assert found == [{"repetition"}, set()]


@pytest.mark.parametrize(
    ("name", "segment", "known"),
    [
        ("low_probability", said("Hm.", avg_logprob=-1.01), Known()),
        ("no_speech", said("Thank you.", no_speech_prob=0.61), Known()),
        ("fallback", said("Well.", temperature=0.2), Known()),
        ("language", said("Gut.", language="de"), Known(language="en")),
        ("outside_speech", said("Bye.", 5, 7), Known(speech=(Span(0, 5), Span(7, 9)))),
        ("outside_speech", said("Bye.", 5, 7), Known(speech=())),
        ("rate", said("a" * 16 + " " + "b" * 16, 0, 0.5), Known()),
        ("rate", said("You", 0, 30), Known(speech=(Span(0, 30),))),
    ],
)
def test_each_flag_alone(name: str, segment: Segment, known: Known) -> None:
    assert judged(segment, known=known) == [{name}]


@pytest.mark.parametrize(
    ("segment", "known"),
    [
        (said("Hm.", avg_logprob=-1.0), Known()),
        (said("Thank you.", no_speech_prob=0.6), Known()),
        (said("Well.", temperature=0.4), Known(temperature=0.4)),
        (said("Gut.", language="de"), Known()),
        (said("Bye.", 5, 7.1), Known(speech=(Span(0, 5), Span(7, 9)))),
        (said("Bye.", 5, 7), Known()),
        (said("a" * 15 + " " + "b" * 15, 0, 0.5), Known()),  # 30 letters per second, half a second of grace
        (said("You", 0, 30), Known()),  # nobody looked: the rest may be silence
        (said("You", 0, 30), Known(speech=(Span(1, 7),))),
    ],
)
def test_what_just_passes(segment: Segment, known: Known) -> None:
    assert judged(segment, known=known) == [set()]


def test_times_of_words_say_more_than_those_of_the_segment() -> None:
    known = Known(speech=(Span(8.0, 9.0),))
    whole = said("Bye now.", 0, 10)
    words = (Word(" Bye", Span(1.0, 1.4), 0.9), Word(" now.", Span(1.4, 2.0), 0.9))
    assert judged(whole, known=known) == [set()]
    assert judged(replace(whole, words=words), known=known) == [{"outside_speech"}]


def test_none_switches_a_flag_off() -> None:
    off = QualityOptions(
        flag_repeated_words=None,
        flag_logprob=None,
        flag_no_speech=None,
        flag_max_rate=None,
        flag_min_rate=None,
        flag_uncovered=None,
    )
    bad = said("no " * 500, 0, 1, avg_logprob=-9, no_speech_prob=1.0)
    known = Known(speech=(Span(0, 60),))
    assert judged(bad, known=known, options=off) == [set()]
    assert uncovered((), known, off) == ()


@pytest.mark.parametrize("options", [{"on_flag": "warn"}, {"act_on": ("rate", "loops")}])
def test_unknown_words_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=r"on-flag must|act-on takes"):
        QualityOptions(**options)


REAL = {
    "denial": "No, no, no! No, that is not what I meant.",
    "counting": "One, two, three, four, five, six, seven, eight, nine, ten, and again one, two, three, four.",
    "digits": "The number is 0 0 4 4, 2 0 7, 9 4 6, 0 0 0 0.",
    "stein": "Rose is a rose is a rose is a rose.",
    "poe": "From the bells, bells, bells, bells, bells, bells, bells, from the jingling of the bells.",
    "lear": "Thou'lt come no more, never, never, never, never, never.",
    "macbeth": "Tomorrow, and tomorrow, and tomorrow, creeps in this petty pace from day to day.",
    "round": "Row, row, row your boat, gently down the stream; merrily, merrily, merrily, merrily.",
    "german": "Ja, ja, ja, genau, genau, so ist es, ja.",
    "laughter": "Ha ha ha ha ha, that was funny.",
    "chinese": "对对对对对，你说得对。",
    "japanese": "はいはいはい、そうですそうです。",
    "hindi": "नहीं, नहीं, नहीं, ऐसा नहीं है।",
}


@pytest.mark.parametrize("text", REAL.values(), ids=REAL)
def test_people_repeat_themselves_too(text: str) -> None:
    assert judged(said(text)) == [set()]


def test_the_demo_is_beyond_doubt_however_it_is_cut() -> None:
    sentences = DEMO.replace("\n", " ").split(". ")
    assert judged(*(said(one, 10 * at) for at, one in enumerate(sentences))) == [set()] * len(sentences)
    assert judged(said(DEMO)) == [set()]


WORDS = st.sampled_from(DEMO.split())


@given(st.lists(WORDS, min_size=6, max_size=8, unique_by=str.lower), st.lists(st.booleans(), min_size=48))
@settings(max_examples=40, deadline=None)
def test_a_loop_is_found_however_it_is_cut_into_segments(phrase: list[str], ends: list[bool]) -> None:
    pieces: list[list[str]] = [[]]
    for word, cut in zip(phrase * 6, [*ends[: 6 * len(phrase) - 1], True], strict=False):
        pieces[-1].append(word)
        if cut:
            pieces.append([])
    found = judged(*(said(" ".join(piece), 10 * at) for at, piece in enumerate(pieces) if piece))
    assert "repetition" in found[-1]


@given(st.permutations(sorted({word.lower().strip(".,") for word in DEMO.split()})))
@settings(max_examples=20, deadline=None)
def test_words_in_any_order_are_no_loop(words: list[str]) -> None:
    assert judged(said(" ".join(words))) == [set()]


def test_only_speech_near_a_segment_matters() -> None:
    speech = tuple(Span(10.0 * at, 10.0 * at + 6) for at in range(1000))
    known = Known(speech=speech, padding=0.4)
    for segment in (said("You", 3007, 3009), said("You", 2000, 2040), said("You", 3010, 3010.5)):
        some = Known(tuple(one for one in speech if 1900 < one.start < 3100), 0.4)
        assert judged(segment, known=known) == judged(segment, known=some)
    assert judged(said("You", 3007, 3009), known=known) == [{"outside_speech"}]
    assert judged(said("You", 2000, 2040), known=known) == [{"rate"}]  # 20.8 s of speech


def test_padding_is_taken_off_where_speech_meets_silence() -> None:
    known = Known((Span(0.0, 3.0), Span(3.0, 5.0), Span(7.0, 7.6)), padding=0.4)
    assert tight(known) == (Span(0.4, 4.6),)


def test_speech_without_words() -> None:
    known = Known((Span(0.0, 10.0), Span(12.0, 20.0)))
    segments = [said("a", 0.0, 4.0), said("...", 4.0, 8.0), said("b", 8.5, 13.0), said("c", 14.5, 20.0)]
    # Dots are no words; 1.5 s from 13.0 on are short of two.
    assert uncovered(segments, known, OPTIONS) == (Span(4.0, 8.5),)
    assert uncovered(segments, known, QualityOptions(flag_uncovered=1.0)) == (Span(4, 8.5), Span(13, 14.5))
    assert uncovered(segments, known, OPTIONS, within=(Span(5.0, 30.0),)) == (Span(5.0, 8.5),)
    assert uncovered((), known, OPTIONS) == known.speech
    assert uncovered((), Known(), OPTIONS) == ()


def test_words_cover_less_than_their_segment() -> None:
    known = Known((Span(0.0, 10.0),))
    words = (Word(" a", Span(0.0, 1.0), 0.9), Word(" b", Span(9.0, 10.0), 0.9))
    assert uncovered([said("a b", 0.0, 10.0)], known, OPTIONS) == ()
    assert uncovered([said("a b", 0.0, 10.0, words=words)], known, OPTIONS) == (Span(1.0, 9.0),)


SPANS = st.lists(st.tuples(st.integers(0, 300), st.integers(1, 60)), max_size=8)


@given(SPANS, SPANS)
@settings(max_examples=60, deadline=None)
def test_coverage_agrees_with_counting_tenths_of_seconds(
    talk: list[tuple[int, int]], text: list[tuple[int, int]]
) -> None:
    speech, spoken = ([False] * 400, [False] * 400)
    for marks, spans in ((speech, talk), (spoken, text)):
        for start, length in spans:
            marks[start : start + length] = [True] * length
    bare = [a and not b for a, b in zip(speech, spoken, strict=True)]
    segments = [said("a", start / 10, (start + length) / 10) for start, length in text]
    found = uncovered(segments, Known(_spans(speech)), OPTIONS)
    assert [(round(one.start * 10), round(one.end * 10)) for one in found] == [
        (round(one.start * 10), round(one.end * 10)) for one in _spans(bare) if one.duration >= 1.99
    ]


def _spans(marks: list[bool]) -> tuple[Span, ...]:
    """Stretches of true tenths of a second."""
    edges = [at for at, (a, b) in enumerate(zip([False, *marks], [*marks, False], strict=True)) if a != b]
    return tuple(Span(a / 10, b / 10) for a, b in zip(edges[::2], edges[1::2], strict=True))


def test_doubt_is_time_that_is_flagged_or_bare() -> None:
    window, known = Span(100.0, 130.0), Known((Span(100.0, 120.0),))
    fine, loop = said("all is well", 100.0, 105.0), said("go on " * 20, 104.0, 112.0)
    assert doubt([fine], known, OPTIONS, window) == 15.0  # 105 to 120 have no words
    assert doubt([fine, loop], known, OPTIONS, window) == 16.0  # 104 to 112 is a loop, 112 to 120 is bare
    rate = QualityOptions(act_on=("rate",))
    assert doubt([fine, loop], known, rate, window) == 0.0
    assert doubt([], Known(), OPTIONS, window) == 0.0
