"""Shortened windows: what is heard and what is answered stay the same thing."""

from __future__ import annotations

import numpy as np
import pytest

from distilcli.trainer.elastic import shortened
from distilcli.trainer.packing import pack
from distilcli.trainer.pieces import OpenPart, heard
from distilcli.trainer.recipe import PackOptions
from distilcli.trainer.records import Corpus, PackedWindow
from distilcli.trainer.variants import WindowForm, window_label
from distilcli.trainer.window_batches import render
from tests.trainer.packed import V3, Spoken, make_corpus, make_recipe


def packed(spoken: list[Spoken]) -> tuple[Corpus, tuple[PackedWindow, ...]]:
    corpus, labels = make_corpus(spoken)
    recipe = make_recipe(pack=PackOptions(method="next-fit"))
    return corpus, pack(corpus, labels, range(len(spoken)), recipe, V3)


def level(sentence: int) -> int:
    """Value of every sample of a sentence."""
    return 100 * sentence % 30_000 + 1


def sentences(seed: int) -> tuple[Corpus, tuple[PackedWindow, ...]]:
    """Recordings of several sentences: the n-th is the text n at a level of its own, pauses are silent."""
    source = np.random.default_rng(seed)
    spoken, sounds = [], []
    number = 0
    for _ in range(40):
        label: list[int | list[int]] = []
        sound = np.zeros(0, np.int16)
        for _ in range(int(source.integers(1, 5))):
            number += 1
            pause, length = int(source.integers(0, 40)), int(source.integers(20, 150))
            start = len(sound) // 320 + pause
            label += [start, [number], start + length]
            sound = np.concatenate(
                [
                    sound,
                    np.zeros(pause * 320, np.int16),
                    np.full(length * 320, level(number), np.int16),
                ]
            )
        spoken.append(Spoken(seconds=len(sound) / 16_000, label=tuple(label)))
        sounds.append(sound)
    corpus, windows = packed(spoken)
    return Corpus(np.concatenate(sounds), corpus.recordings, (), "digest"), windows


@pytest.mark.parametrize("seconds", [4.0, 10.0, 20.0])
def test_every_sentence_is_heard_where_its_timestamps_say(seconds: float) -> None:
    corpus, windows = sentences(seed=round(seconds))
    source = np.random.default_rng(0)
    lengths = []
    for window in windows:
        short = shortened(window, seconds, V3, source)
        assert short is not None
        assert short.seconds <= seconds + 1e-9
        label = window_label(short, None, WindowForm(timestamps=True), V3)
        sound = (render(short, corpus) * 32768).round().astype(int)
        expected = np.zeros(len(sound), int)
        answer = label.inputs[3:]
        for start, text, end in zip(answer[::3], answer[1::3], answer[2::3], strict=True):
            first, last = (round(V3.seconds(stamp) * 16_000) for stamp in (start, end))
            expected[first:last] = level(text)
        np.testing.assert_array_equal(sound, expected)
        lengths.append(short.seconds)
    assert max(lengths) > 0.6 * seconds


def test_stretches_are_drawn_from_the_whole_window() -> None:
    _, windows = sentences(seed=1)
    source = np.random.default_rng(0)
    firsts = {shortened(windows[0], 4.0, V3, source).parts[0].recording for _ in range(60)}  # type: ignore[union-attr]
    assert len(firsts) > 2


def test_short_windows_stay_as_they_are() -> None:
    _, windows = packed([Spoken(seconds=3.0)])
    assert shortened(windows[0], 5.0, V3, np.random.default_rng(0)) is windows[0]


def test_a_window_whose_sentences_are_all_longer_cannot_be_shortened() -> None:
    _, windows = packed([Spoken(seconds=9.0, label=(0, [1], 440))])
    assert shortened(windows[0], 5.0, V3, np.random.default_rng(0)) is None


def test_recordings_without_timestamps_are_kept_whole() -> None:
    _, windows = packed([Spoken(seconds=3.0, label=([number],)) for number in range(9)])
    short = shortened(windows[0], 7.0, V3, np.random.default_rng(3))
    assert short is not None
    assert [part.seconds for part in short.parts] in ([3.0], [3.0, 3.0])
    assert short.parts[0].start == 0.0


def test_only_the_beginning_keeps_the_prompt() -> None:
    spoken = [Spoken(seconds=29.0)] + [Spoken(seconds=3.0, label=([number],)) for number in range(9)]
    _, windows = packed(spoken)
    source = np.random.default_rng(0)
    for _ in range(40):
        short = shortened(windows[1], 7.0, V3, source)
        assert short is not None
        at_beginning = short.parts[0].recording == 1
        assert short.previous == (0 if at_beginning else None)


def test_a_truncated_label_stays_open_only_with_its_last_sentence() -> None:
    label = (0, [1], 100, 150, [2], 250, 260, [3])
    _, windows = packed([Spoken(seconds=9.0, label=label, truncated=True)])
    source = np.random.default_rng(0)
    seen = set()
    for _ in range(40):
        short = shortened(windows[0], 5.0, V3, source)
        assert short is not None
        (part,) = short.parts
        texts = [piece.tokens[0] for piece in heard(part, V3).pieces]
        assert isinstance(part, OpenPart) == (3 in texts)
        answers = window_label(short, None, WindowForm(timestamps=True), V3).targets
        assert (V3.eot in answers) == (3 not in texts)
        seen.add(tuple(texts))
    assert seen == {(1, 2), (2,), (3,)}


def test_no_answer_of_a_teacher_breaks_a_short_window() -> None:
    source = np.random.default_rng(0)
    shorter = 0
    for _ in range(300):
        choices = [7, 8, V3.sot, *range(V3.timestamp_begin, V3.timestamp_begin + 400, 10)]
        spoken = [
            Spoken(
                seconds=float(source.uniform(0.5, 8.0)),
                label=(source.choice(choices, int(source.integers(0, 9))).tolist(),),
                truncated=bool(source.random() < 0.2),
            )
            for _ in range(6)
        ]
        corpus, windows = packed(spoken)
        for window in windows:
            short = shortened(window, 5.0, V3, source)
            if short is None or short is window:
                continue
            shorter += 1
            assert 0.0 < short.seconds <= 5.0 + 1e-9
            label = window_label(short, None, WindowForm(timestamps=True), V3)
            assert max(map(V3.seconds, label.inputs)) <= short.seconds + 0.011
            assert len(render(short, corpus)) == round(short.seconds * 16_000)
    assert shorter > 100
