"""Summaries and ratios from samples typed by hand, against arithmetic."""

from __future__ import annotations

from dataclasses import replace

import pytest

from distilcli.bench.summary import Analysis
from distilcli.bench.values import Case, Clip, ClipSet, Sample

CASE, OTHER = Case(model="a"), Case(model="b")
DATA = ClipSet(
    name="short",
    clips=(
        Clip(path="1.wav", text="the cat sat", language="en", duration=900.0),
        Clip(path="2.wav", text="on the mat", language="en", duration=900.0),
    ),
)


def sample(number: int, wall: float, texts: tuple[str, ...] = ("The cat sat.", "on a mat")) -> Sample:
    return Sample(
        case=CASE.key,
        data=DATA.key,
        round=number,
        wall=wall,
        cpu=2 * wall,
        load=1.5,
        model=wall / 2,
        latencies=(wall / 4, 3 * wall / 4),
        first_segments=(wall / 8, wall / 8),
        tokens=120,
        texts=texts,
        stages={"encoder": wall / 2, "other": wall / 2},
        windows=60,
        encoder_calls=60,
        fallbacks=3,
        retries=7,
        flags={"repeats": 1},
        peak_rss=100 + number,
        compute_type="int8",
    )


def test_a_summary_is_the_median_of_its_samples() -> None:
    found = Analysis({}).summary(CASE, DATA, [sample(1, 20.0), sample(2, 30.0), sample(3, 10.0)])
    assert found.rounds == 3
    assert found.wall.value == 20.0
    assert (found.wall.low, found.wall.high) == (10.0, 30.0)
    assert found.rtfx.value == 90.0
    assert (found.rtfx.low, found.rtfx.high) == (60.0, 180.0)
    assert found.rtfx_model == 180.0
    assert found.cpu == 40.0
    assert found.latency_p50 == pytest.approx((7.5 + 7.5) / 2)  # of 2.5, 5, 7.5, 7.5, 15, 22.5
    assert found.latency_p95 == pytest.approx(20.625)
    assert found.first_segment == 2.5
    assert found.tokens_per_second == 6.0
    assert (found.fallbacks_per_hour, found.retries_per_hour) == (6.0, 14.0)
    assert (found.peak_rss, found.peak_vram) == (103, None)
    assert found.stages == {"encoder": 10.0, "other": 10.0}
    assert found.load == 1.5
    assert found.stable


def test_error_rates_are_those_of_the_words() -> None:
    found = Analysis({}).summary(CASE, DATA, [sample(1, 20.0)]).accuracy
    assert found is not None
    assert found.unit == "word"
    assert found.wer.value == pytest.approx(100 / 6)  # one word of six, after normalisation
    assert found.wer_orthographic.value == pytest.approx(100 * 3 / 6)
    assert (found.substitutions, found.insertions, found.deletions) == (pytest.approx(100 / 6), 0.0, 0.0)


def test_without_references_there_are_no_error_rates() -> None:
    clips = (replace(DATA.clips[0], text=None), DATA.clips[1])
    analysis, data = Analysis({}), replace(DATA, clips=clips)
    assert analysis.summary(CASE, data, [sample(1, 20.0)]).accuracy is None
    ratio = analysis.ratio(CASE, OTHER, data, [sample(1, 20.0)], [sample(1, 10.0)])
    assert ratio is not None
    assert ratio.points is None


def test_ratios_pair_the_runs_of_a_round() -> None:
    """Round 2 was slow for both, round 4 has no partner."""
    mine = [sample(1, 10.0), sample(2, 40.0), sample(3, 10.0), sample(4, 1.0)]
    theirs = [sample(3, 20.0), sample(2, 80.0), sample(1, 20.0)]
    found = Analysis({}).ratio(CASE, OTHER, DATA, mine, theirs)
    assert found is not None
    assert found.pairs == 3
    assert (found.speed.low, found.speed.value, found.speed.high) == (2.0, 2.0, 2.0)
    assert found.cpu.value == 2.0
    assert found.same_texts == 1.0
    assert Analysis({}).ratio(CASE, OTHER, DATA, mine[3:], theirs) is None


def test_the_same_words_count_and_the_difference_is_in_points() -> None:
    theirs = sample(1, 20.0, texts=("the cat sat", "on the mat"))
    found = Analysis({}).ratio(CASE, OTHER, DATA, [sample(1, 20.0)], [theirs])
    assert found is not None
    assert found.same_texts == 0.5  # capitals and full stops are no words
    assert found.points is not None
    assert found.points.value == pytest.approx(100 / 6)


def test_texts_that_change_from_round_to_round_are_seen() -> None:
    changed = sample(2, 20.0, texts=("the cat", ""))
    assert not Analysis({}).summary(CASE, DATA, [sample(1, 20.0), changed]).stable


def test_spellings_are_those_of_the_model() -> None:
    clips = (Clip(path="1.wav", text="the colour", language="en", duration=1.0),)
    data = ClipSet(name="short", clips=clips)
    one = sample(1, 1.0, texts=("The color",))
    assert Analysis({"colour": "color"}).accuracy(data, one.texts).wer.value == 0.0  # type: ignore[union-attr]
    assert Analysis({}).accuracy(data, one.texts).wer.value == 50.0  # type: ignore[union-attr]
