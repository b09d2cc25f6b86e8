"""Words on lines: byte for byte openai/whisper's subtitles, and valid files for any words."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distilcli.config import LineOptions
from distilcli.errors import UsageError
from distilcli.types import Segment, Span, Transcript, Word
from distilcli.writers import WRITERS, writers
from tests.support.subtitles import read_srt, read_vtt

VOCABULARY = (
    " the",
    " river",
    "'s",
    " a",
    " runs,",
    " Grüße",
    " 東京",
    " incomprehensibilities",
    " I",
    "-x",
    "…",
)
CHOICES: tuple[dict[str, Any], ...] = (
    {"max_words_per_line": 1},
    {"max_words_per_line": 3},
    {"max_line_width": 12},
    {"max_line_width": 20, "max_line_count": 1},
    {"max_line_width": 20, "max_line_count": 2},
    {"max_line_width": 5, "max_line_count": 3},
    {"max_line_width": 16, "max_words_per_line": 4},
    {"highlight_words": True},
    {"highlight_words": True, "max_line_width": 18, "max_line_count": 2},
    {"highlight_words": True, "max_words_per_line": 2},
)


def _transcript(seed: int) -> Transcript:
    """Segments of random words of at least 10 ms, with pauses of up to five seconds between some."""
    draw = random.Random(seed)
    at, segments = draw.choice((0, 3_599_000)), []
    for _ in range(draw.randrange(1, 6)):
        words = []
        for _ in range(draw.randrange(1, 14)):
            at += draw.choice((0, 0, 0, 20, 400, 5_000))
            end = at + draw.randrange(1, 60) * 10
            words.append(Word(draw.choice(VOCABULARY), Span(at / 1000, end / 1000), draw.random()))
            at = end
        span = Span(words[0].span.start, words[-1].span.end)
        segments.append(Segment("".join(word.text for word in words), span, words=tuple(words)))
    return Transcript(tuple(segments), "en", 4_000.0)


def _whisper_writes(name: str, folder: Path, given: Transcript, choice: dict[str, Any]) -> str:
    """What openai/whisper's command would write with these options."""
    utils = pytest.importorskip("whisper.utils")
    rows = [
        {
            "start": segment.span.start,
            "end": segment.span.end,
            "text": segment.text,
            "words": [
                {
                    "word": word.text,
                    "start": word.span.start,
                    "end": word.span.end,
                    "probability": word.probability,
                }
                for word in segment.words
            ],
        }
        for segment in given.segments
    ]
    utils.get_writer(name, str(folder))({"text": given.text, "segments": rows}, "talk.mp3", choice)
    return (folder / f"talk.{name}").read_bytes().decode("utf-8")


@pytest.mark.parametrize("choice", [{}, *CHOICES], ids=str)
@pytest.mark.parametrize("name", ["srt", "vtt"])
def test_same_bytes_as_openai_whisper(name: str, choice: dict[str, Any], tmp_path: Path) -> None:
    for seed in range(25):
        given = _transcript(seed)
        expected = _whisper_writes(name, tmp_path, given, choice)
        assert writers(LineOptions(**choice))[name](given) == expected


def test_words_in_json_are_openai_whispers(tmp_path: Path) -> None:
    given = _transcript(1)
    ours = json.loads(WRITERS["json"](given))["segments"]
    theirs = json.loads(_whisper_writes("json", tmp_path, given, {}))["segments"]
    assert [one["words"] for one in ours] == [one["words"] for one in theirs]


def test_lines_by_hand() -> None:
    words = tuple(
        Word(text, Span(start, start + 0.5), 1.0)
        for text, start in ((" One", 0.0), (" two", 0.5), (" three", 1.5), (" four", 9.0))
    )
    given = Transcript((Segment(" One two three four", Span(0.0, 9.5), words=words),), "en", 10.0)
    lines = LineOptions(max_line_width=8, max_line_count=2)
    assert writers(lines)["srt"](given) == (
        "1\n00:00:00,000 --> 00:00:02,000\nOne two\nthree\n\n2\n00:00:09,000 --> 00:00:09,500\nfour\n\n"
    )
    marked = writers(LineOptions(highlight_words=True, max_words_per_line=2))["vtt"](given)
    assert marked.split("\n\n")[1:4] == [
        "00:00.000 --> 00:00.500\n<u>One</u> two",
        "00:00.500 --> 00:01.000\nOne <u>two</u>",
        "00:01.500 --> 00:02.000\n<u>three</u> four",
    ]


def test_a_segment_without_words_is_one_long_word() -> None:
    given = Transcript((Segment(" One two.", Span(0.0, 2.0)), Segment(" Three.", Span(2.0, 3.0))), "en", 3.0)
    cues = read_srt(writers(LineOptions(max_words_per_line=1))["srt"](given))
    assert [(one.start, one.end, one.text) for one in cues] == [(0, 2000, "One two."), (2000, 3000, "Three.")]


def test_lines_do_not_touch_other_formats() -> None:
    given = _transcript(2)
    table = writers(LineOptions(max_words_per_line=1))
    for name in ("txt", "tsv", "json"):
        assert table[name](given) == WRITERS[name](given)


def test_markup_in_words_is_written_as_text() -> None:
    word = Word(" a<b>&c", Span(0.0, 1.0), 1.0)
    given = Transcript((Segment(word.text, word.span, words=(word,)),), "en", 1.0)
    table = writers(LineOptions(highlight_words=True))
    assert "<u>a&lt;b>&amp;c</u>" in table["vtt"](given)
    assert "<u>a<b>&c</u>" in table["srt"](given)


def test_a_number_of_lines_without_a_width_is_refused() -> None:
    with pytest.raises(UsageError, match="--max-line-count has no effect without --max-line-width"):
        LineOptions(max_line_count=2)


seconds = st.floats(allow_nan=True, allow_infinity=True) | st.floats(0, 4_000)
texts = st.text(max_size=12) | st.text(alphabet="-> \n\r\t&<;a1:,.\u2028\x0b\x85", max_size=12)
words = st.lists(st.builds(Word, texts, st.builds(Span, seconds, seconds), st.just(0.5)), max_size=6)
segments = st.lists(
    st.builds(Segment, texts, st.builds(Span, seconds, seconds), words=words.map(tuple)), max_size=4
)


@pytest.mark.parametrize(("name", "read"), [("srt", read_srt), ("vtt", read_vtt)])
@given(segments=segments, choice=st.sampled_from([one for one in CHOICES if "highlight_words" not in one]))
def test_any_words_at_any_time_make_a_valid_file(
    name: str, read: Callable[[str], list[object]], segments: list[Segment], choice: dict[str, Any]
) -> None:
    read(writers(LineOptions(**choice))[name](Transcript(tuple(segments), "en", 4_000.0)))


@pytest.mark.parametrize(("name", "read"), [("srt", read_srt), ("vtt", read_vtt)])
@given(segments=segments)
def test_highlighted_words_at_any_time_make_a_valid_file(
    name: str, read: Callable[[str], list[object]], segments: list[Segment]
) -> None:
    written = writers(LineOptions(highlight_words=True))[name](Transcript(tuple(segments), "en", 4_000.0))
    # The strict reader knows no tags: these are the only ones.
    read(written.replace("<u>", "*").replace("</u>", "*"))
