"""Gaps are filled in order of time, once, and never over a segment; answers are typed by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distilcli.config import QualityOptions, TranscribeOptions
from distilcli.gaps import FILLED, filled
from distilcli.longform.base import Flow, Step, drive, drive_many
from distilcli.longform.sequential import sequential
from distilcli.quality import Known
from distilcli.tokens import Tokenizer
from distilcli.types import Audio, Hypothesis, Segment, Span, Window
from tests.support.tokenizer import write_tokenizer

OPTIONS = QualityOptions(fill_gaps=True)
AUDIO = Audio("a", np.zeros(100 * 16_000, np.float32))
WINDOWS = [Window(AUDIO, Span(at, at + 1)) for at in range(10)]
EMPTY = Hypothesis((), -0.1, 0.0)


def said(start: float, end: float, text: str = "words") -> Segment:
    return Segment(text, Span(start, end))


def strategy(*steps: Sequence[Segment]) -> Flow:
    """Asks for one window after each step but the last."""
    for at, ready in enumerate(steps):
        yield Step(tuple(ready), (WINDOWS[at],) if at < len(steps) - 1 else (), float(at))


def listen(gaps: Sequence[Span]) -> Flow:
    """Hears one segment in each gap."""
    yield Step(need=tuple(Window(AUDIO, gap) for gap in gaps))
    yield Step(tuple(Segment("found", gap) for gap in gaps))


def run(flow: Flow) -> list[tuple[float, float, str]]:
    found = drive(flow, lambda windows: [EMPTY for _ in windows])
    return [(one.span.start, one.span.end, one.text) for one in found]


def test_a_flow_without_gaps_is_left_as_it_is() -> None:
    segments = [said(0, 10), said(10, 20)]
    known = Known((Span(0, 20),))
    plain = [step for _, step in drive_many([(0, strategy(*([one] for one in segments)))], _empty, 1)]
    same = filled(strategy(*([one] for one in segments)), listen, known, OPTIONS)
    assert [step for _, step in drive_many([(0, same)], _empty, 1)] == plain


def _empty(windows: Sequence[Window]) -> list[Hypothesis]:
    return [EMPTY for _ in windows]


def test_gaps_are_filled_in_order_of_time() -> None:
    known = Known((Span(1, 20), Span(30, 50), Span(60, 61.5), Span(70, 80)))
    flow = strategy([said(5, 9)], [], [said(15, 18), said(40, 50)], [])
    assert run(filled(flow, listen, known, OPTIONS)) == [
        (1, 5, "found"),
        (5, 9, "words"),
        (9, 15, "found"),
        (15, 18, "words"),
        (18, 20, "found"),
        (30, 40, "found"),
        (40, 50, "words"),
        (70, 80, "found"),
    ]


def test_what_is_found_says_so() -> None:
    (found,) = drive(filled(strategy([]), listen, Known((Span(3, 8),)), OPTIONS), _empty)
    assert found.tried == (FILLED,)


def test_a_gap_is_decoded_with_the_padding_of_speech_where_there_is_room() -> None:
    known = Known((Span(1, 10), Span(20, 30)), padding=0.5)
    # 1.5 to 9.5 is speech: the segment takes 1.5 to 4, and leaves room only behind.
    assert run(filled(strategy([said(0, 4)]), listen, known, OPTIONS)) == [
        (0, 4, "words"),
        (4, 10, "found"),
        (20, 30, "found"),
    ]


def test_where_nobody_looked_there_are_no_gaps() -> None:
    assert run(filled(strategy([said(5, 6)]), listen, Known(), OPTIONS)) == [(5, 6, "words")]


def test_a_gap_inside_of_a_segment_stays() -> None:
    dots = said(0, 20, "...")
    assert run(filled(strategy([dots]), listen, Known((Span(0, 25),)), OPTIONS)) == [
        (0, 20, "..."),
        (20, 25, "found"),
    ]


def test_only_the_stretches_that_were_asked_for_have_gaps() -> None:
    flow = filled(strategy([]), listen, Known((Span(0, 50),)), OPTIONS, within=(Span(10, 20), Span(45, 70)))
    assert run(flow) == [(10, 20, "found"), (45, 50, "found")]


def test_a_silent_gap_is_asked_for_once() -> None:
    asked: list[Window] = []

    def silence(gaps: Sequence[Span]) -> Flow:
        yield Step(need=tuple(Window(AUDIO, gap) for gap in gaps))

    def decode(windows: Sequence[Window]) -> list[Hypothesis]:
        asked.extend(windows)
        return _empty(windows)

    flow = filled(strategy([], [said(5, 6)], [said(7, 8)]), silence, Known((Span(0, 8),)), OPTIONS)
    assert [one.text for one in drive(flow, decode)] == ["words", "words"]
    assert [one.span for one in asked if one.span.duration > 1] == [Span(0, 5)]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    folder: Path = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(folder, 51866)
    return Tokenizer.from_folder(folder)


STRETCHES = st.lists(st.tuples(st.integers(0, 90), st.integers(1, 25)), max_size=6)


@given(STRETCHES, STRETCHES, st.lists(st.tuples(st.integers(0, 1500), st.integers(0, 1500)), min_size=1))
@settings(max_examples=60, deadline=None)
def test_found_segments_never_overlap_whatever_times_the_decoder_writes(
    tokenizer: Tokenizer,
    talk: list[tuple[int, int]],
    text: list[tuple[int, int]],
    stamps: list[tuple[int, int]],
) -> None:
    """The real sequential strategy listens to the gaps; existing segments have any order and overlaps."""
    begin, answers = tokenizer.vocab.timestamp_begin, iter(stamps * 1000)

    def decode(windows: Sequence[Window]) -> list[Hypothesis]:
        pairs = [next(answers) for _ in windows]
        return [Hypothesis((begin + a, 1000, begin + b), -0.1, 0.0) for a, b in pairs]

    speech: list[Span] = []
    for start, length in sorted(talk):
        if not speech or start > speech[-1].end:
            speech.append(Span(start, start + length))
    own = [said(start, start + length) for start, length in sorted(text)]
    known = Known(tuple(speech), padding=0.4)
    anew = TranscribeOptions(language="en")

    def again(gaps: Sequence[Span]) -> Flow:
        return sequential(AUDIO, tokenizer, anew, gaps)

    found = list(drive(filled(strategy(*([one] for one in own)), again, known, OPTIONS), decode))
    assert [one for one in found if FILLED not in one.tried] == own
    assert [one.span.start for one in found] == sorted(one.span.start for one in found)
    for one in found:
        if FILLED in one.tried:
            others = [other for other in found if other is not one]
            assert all(
                one.span.end <= other.span.start + 1e-6 or other.span.end <= one.span.start + 1e-6
                for other in others
            )
