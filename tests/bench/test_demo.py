"""The bundled recording in sentences: cut where it is silent, and drawn fairly."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np

from distilcli.audio import open_audio
from distilcli.bench import demo
from distilcli.types import SAMPLE_RATE


def test_sentences_end_in_silence() -> None:
    with open_audio(demo.RECORDING) as audio:
        samples, duration = audio.samples[0 : len(audio.samples)], audio.duration
    found = demo.sentences()
    assert found[0].start == 0
    assert abs(found[-1].end - duration) < 0.01
    for before, after in pairwise(found):
        assert before.end == after.start
        around = samples[round((after.start - 0.1) * SAMPLE_RATE) : round((after.start + 0.1) * SAMPLE_RATE)]
        assert np.abs(around).max() < 0.02 * np.abs(samples).max()


def test_sentences_take_as_long_as_their_words() -> None:
    rates = [len(one.text) / one.seconds for one in demo.sentences()]
    assert all(10 < rate < 20 for rate in rates), rates  # characters per second
    assert " ".join(one.text for one in demo.sentences()) == demo.text()


def test_passages_are_drawn_evenly_and_repeat_with_their_seed() -> None:
    found = demo.passages(50, 3, 12, seed=1)
    assert all(3 <= one.seconds <= 12 for one in found)
    counts = Counter(found).values()
    assert max(counts) - min(counts) <= 1
    assert found == demo.passages(50, 3, 12, seed=1) != demo.passages(50, 3, 12, seed=2)


def test_files_hold_what_they_say(tmp_path: Path) -> None:
    thrice, (clip,) = demo.whole(tmp_path / "long.wav", times=3), demo.clips(demo.sentences()[:1], tmp_path)
    assert thrice.text == " ".join([demo.text()] * 3)
    assert clip.text == "Welcome to this short recording."
    for one in (thrice, clip):
        with open_audio(one.path) as audio:
            assert audio.duration == one.duration
