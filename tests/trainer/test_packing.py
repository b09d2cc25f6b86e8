"""Packed windows: how full, who shares them, in which order, with which predecessor, and on disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from distilcli.errors import NoInputError, UsageError
from distilcli.trainer.packing import (
    pack,
    read_windows,
    summary,
    window_weights,
    write_windows,
)
from distilcli.trainer.pieces import OpenPart
from distilcli.trainer.recipe import PackOptions
from distilcli.trainer.records import PackedWindow
from tests.trainer.packed import V3, Spoken, make_corpus, make_recipe

METHODS = ["best-fit", "next-fit", "none"]


def windows_of(spoken: Sequence[Spoken], **options: object) -> tuple[PackedWindow, ...]:
    corpus, labels = make_corpus(spoken)
    recipe = make_recipe(pack=PackOptions(**options))  # type: ignore[arg-type]  # options by name
    return pack(corpus, labels, range(len(spoken)), recipe, V3)


def held(windows: Sequence[PackedWindow]) -> list[list[int]]:
    """Recordings in each window."""
    return [[part.recording for part in window.parts] for window in windows]


def test_best_fit_fills_the_fullest_window_first() -> None:
    spoken = [Spoken(seconds=seconds) for seconds in (10.0, 15.0, 20.0, 14.0)]
    assert held(windows_of(spoken)) == [[0, 2], [1, 3]]


def test_next_fit_keeps_the_order_and_knows_the_window_before() -> None:
    spoken = [Spoken(seconds=seconds) for seconds in (10.0, 15.0, 20.0, 14.0, 2.0)]
    windows = windows_of(spoken, method="next-fit")
    assert held(windows) == [[0, 1], [2], [3, 4]]
    assert [window.previous for window in windows] == [None, 0, 1]


def test_best_fit_keeps_no_order_and_so_has_no_predecessors() -> None:
    windows = windows_of([Spoken(seconds=20.0)] * 3)
    assert [window.previous for window in windows] == [None] * 3


def test_without_packing_every_recording_stays_alone() -> None:
    windows = windows_of([Spoken(seconds=1.0)] * 3, method="none")
    assert held(windows) == [[0], [1], [2]]
    assert [window.previous for window in windows] == [None, 0, 1]


@pytest.mark.parametrize("method", ["best-fit", "next-fit"])
def test_speakers_share_no_window_and_prompt_nobody_else(method: str) -> None:
    spoken = [Spoken(seconds=20.0, speaker="ab"[number % 2]) for number in range(6)]
    spoken += [Spoken(seconds=9.0, speaker="ab"[number % 2]) for number in range(6)]
    windows = windows_of(spoken, method=method)
    assert len(windows) == 6 if method == "best-fit" else 8
    for window in windows:
        (speaker,) = {spoken[part.recording].speaker for part in window.parts}
        if window.previous is not None:
            assert spoken[windows[window.previous].parts[0].recording].speaker == speaker


@pytest.mark.parametrize("method", METHODS)
def test_an_unknown_speaker_never_shares_and_never_prompts(method: str) -> None:
    windows = windows_of([Spoken(seconds=2.0, speaker=None)] * 3, method=method)
    assert held(windows) == [[0], [1], [2]]
    assert {window.previous for window in windows} == {None}


def test_the_same_name_in_two_sources_is_two_speakers() -> None:
    windows = windows_of([Spoken(seconds=2.0, source=name) for name in ("a.jsonl", "b.jsonl")])
    assert held(windows) == [[0], [1]]


@pytest.mark.parametrize("field", [{"language": "de"}, {"weight": 2.0}])
def test_languages_and_weights_share_no_window(field: dict[str, object]) -> None:
    windows = windows_of([Spoken(seconds=2.0), Spoken(seconds=2.0, **field)], by_speaker=False)  # type: ignore[arg-type]
    assert held(windows) == [[0], [1]]


def test_speakers_may_share_where_the_recipe_says_so() -> None:
    spoken = [Spoken(seconds=2.0, speaker=name) for name in ("a", None, "b")]
    assert held(windows_of(spoken, by_speaker=False)) == [[0, 1, 2]]


@pytest.mark.parametrize("gap", [0.0, 0.5])
def test_parts_start_on_the_grid_of_timestamps_and_do_not_overlap(gap: float) -> None:
    source = np.random.default_rng(0)
    spoken = [Spoken(seconds=float(seconds)) for seconds in source.uniform(0.3, 8.0, 200)]
    for window in windows_of(spoken, gap=gap):
        assert window.parts[0].start == 0.0
        assert window.seconds <= 30.0
        assert window.seconds == window.parts[-1].start + window.parts[-1].seconds
        for one, after in zip(window.parts, window.parts[1:], strict=False):
            pause = after.start - one.start - one.seconds
            assert gap - 1e-9 <= pause <= gap + 0.02 + 1e-9
            assert after.start * 50 == pytest.approx(round(after.start * 50), abs=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_every_recording_is_in_exactly_one_window(method: str) -> None:
    source = np.random.default_rng(1)
    spoken = [
        Spoken(
            seconds=float(source.uniform(0.1, 30.0)),
            speaker=[None, "a", "b"][source.integers(3)],
            truncated=bool(source.random() < 0.2),
            label=(0, list(range(int(source.integers(1, 120)))), 5),
        )
        for _ in range(300)
    ]
    windows = windows_of(spoken, method=method)
    assert sorted(number for window in held(windows) for number in window) == list(range(300))
    assert len({window.key for window in windows}) == len(windows)


def test_how_full_windows_are() -> None:
    """Log-normal lengths with a mean of 7.1 s, as in the reference: 0.84 by next fit, 0.99 by best fit."""
    source = np.random.default_rng(2)
    lengths = np.clip(source.lognormal(np.log(7.1) - 0.5 * 0.7**2, 0.7, 2000), 0.5, 30.0)
    spoken = [Spoken(seconds=round(float(seconds), 2)) for seconds in lengths]
    best, following = (
        summary(windows_of(spoken, method=method), PackOptions(), V3) for method in METHODS[:2]
    )
    assert best["filled"] > 0.97
    assert 0.78 < following["filled"] < 0.9
    assert best["hours"] == pytest.approx(lengths.sum() / 3600, abs=0.01)
    assert best["recordings"] == 2000


@pytest.mark.parametrize("method", ["best-fit", "next-fit"])
def test_a_window_holds_no_more_tokens_than_it_may(method: str) -> None:
    """Answers of 42 tokens with their timestamps: two and the end of the text fit into 85, three do not."""
    spoken = [Spoken(seconds=1.0, label=(0, [7] * 40, 50)) for _ in range(6)]
    assert held(windows_of(spoken, method=method, max_tokens=85)) == [[0, 1], [2, 3], [4, 5]]
    assert len(windows_of(spoken, method=method, max_tokens=84)) == 6


def test_a_label_over_the_limit_stays_alone() -> None:
    spoken = [Spoken(seconds=1.0), Spoken(seconds=1.0, label=(0, [7] * 200, 50))]
    assert sorted(held(windows_of(spoken, max_tokens=100))) == [[0], [1]]


def test_a_recording_longer_than_the_window_stays_alone() -> None:
    assert held(windows_of([Spoken(seconds=1.0), Spoken(seconds=25.0)], window_seconds=20.0)) == [[1], [0]]


def test_nothing_follows_a_truncated_label() -> None:
    spoken = [Spoken(seconds=2.0, truncated=number in (1, 2)) for number in range(5)]
    best = windows_of(spoken)
    assert held(best) == [[0, 3, 4, 1], [2]]
    following = windows_of(spoken, method="next-fit")
    assert held(following) == [[0, 1], [2], [3, 4]]
    assert [window.previous for window in following] == [None, None, None]
    for window in (*best, *following):
        assert not any(isinstance(part, OpenPart) for part in window.parts[:-1])


def test_a_key_names_what_a_window_holds() -> None:
    some = windows_of([Spoken(seconds=20.0), Spoken(seconds=9.0)])
    more = windows_of([Spoken(seconds=20.0), Spoken(seconds=9.0), Spoken(seconds=29.0)])
    assert some[0].key in {window.key for window in more}
    gap = windows_of([Spoken(seconds=20.0), Spoken(seconds=9.0)], gap=0.5)
    assert gap[0].key != some[0].key


def test_windows_are_drawn_as_often_as_their_source() -> None:
    spoken = [Spoken(seconds=20.0, weight=2.0), Spoken(seconds=20.0)]
    corpus, labels = make_corpus(spoken)
    assert window_weights(pack(corpus, labels, (0, 1), make_recipe(), V3), corpus) == (2.0, 1.0)


def test_kept_recordings_only() -> None:
    corpus, labels = make_corpus([Spoken(seconds=1.0)] * 4)
    assert held(pack(corpus, labels, (1, 3), make_recipe(), V3)) == [[1, 3]]


def test_nothing_kept_is_an_error() -> None:
    corpus, labels = make_corpus([Spoken(seconds=1.0)])
    with pytest.raises(NoInputError, match="the filter dropped all"):
        pack(corpus, labels, (), make_recipe(), V3)


def test_a_missing_label_is_an_error_with_its_key() -> None:
    corpus, labels = make_corpus([Spoken(seconds=1.0)] * 2)
    del labels["speech.jsonl/0001"]
    with pytest.raises(NoInputError, match=r"1 of 2 kept recordings .* speech.jsonl/0001"):
        pack(corpus, labels, (0, 1), make_recipe(), V3)


def test_a_label_that_the_decoder_cannot_hold_is_an_error() -> None:
    with pytest.raises(UsageError, match=r"0000 has 446 tokens.*448 positions"):
        windows_of([Spoken(seconds=1.0, label=(0, [7] * 444, 50))])


def test_written_windows_come_back(tmp_path: Path) -> None:
    spoken = [Spoken(seconds=2.5, truncated=number == 2) for number in range(4)]
    windows = windows_of(spoken, method="next-fit")
    path = tmp_path / "pack" / "windows.jsonl"
    write_windows(path, windows)
    assert read_windows(path) == windows
    assert len(path.read_text().splitlines()) == len(windows)


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "windows.jsonl"
    write_windows(path, windows_of([Spoken(seconds=20.0)] * 3))
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], lines[1][:30], lines[2]]))
    with pytest.raises(NoInputError, match=r"windows.jsonl:2 is not a packed window"):
        read_windows(path)


def test_missing_windows_are_an_error_with_a_command(tmp_path: Path) -> None:
    with pytest.raises(NoInputError, match="cannot read the packed windows") as caught:
        read_windows(tmp_path / "windows.jsonl")
    assert "--stage pack" in str(caught.value.hint)
