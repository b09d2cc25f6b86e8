"""What the paper's measurements add: cases of speculative decoding and chunks, sets with noise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from distilcli.bench.paper import PaperAsked, paper_cases, paper_data
from distilcli.bench.values import Case, Clip, ClipSet
from distilcli.errors import UsageError
from distilcli.sound_files import write_wave

BASE = Case(model="nano", compute_type="int8", beam_size=5, batch_size=4)


def test_speculative_decoding_is_measured_beside_the_model_alone() -> None:
    alone, drafted = paper_cases(BASE, PaperAsked(speculative=("teacher+student",)))
    assert (alone.model, alone.assistant, drafted.assistant) == ("teacher", None, "student")
    assert replace(drafted, assistant=None) == alone
    # Greedy, one window at a time, never tried again: nothing but the draft may change the time.
    assert (alone.backend, alone.beam_size, alone.batch_size, alone.temperatures) == (
        "transformers",
        1,
        1,
        (0.0,),
    )
    assert alone.compute_type == "auto"  # int8 is a number format of the other backend


def test_the_number_format_of_the_same_backend_is_kept() -> None:
    base = replace(BASE, backend="transformers", compute_type="bfloat16")
    (alone, _) = paper_cases(base, PaperAsked(speculative=("a+b",)))
    assert alone.compute_type == "bfloat16"


@pytest.mark.parametrize("pair", ["teacher", "+student", "teacher+"])
def test_half_a_pair_is_refused(pair: str) -> None:
    with pytest.raises(UsageError, match="expects MODEL\\+DRAFT"):
        paper_cases(BASE, PaperAsked(speculative=(pair,)))


def test_chunk_lengths_become_cases() -> None:
    found = paper_cases(BASE, PaperAsked(chunk_lengths=(10.0, 25.0, 10.0)))
    assert [(one.strategy, one.chunk_length) for one in found] == [("chunked", 10.0), ("chunked", 25.0)]
    assert {replace(one, strategy="sequential", chunk_length=None) for one in found} == {BASE}


def test_a_case_that_is_there_already_is_not_added() -> None:
    base = replace(BASE, strategy="chunked", chunk_length=10.0)
    assert paper_cases(base, PaperAsked(chunk_lengths=(10.0,))) == ()


def test_every_kind_and_level_is_a_set_and_noise_alone_is_heard(tmp_path: Path) -> None:
    for name in ("speech", "rain"):
        (tmp_path / name).mkdir()
        sound = np.random.default_rng(1).normal(0, 3000, 16_000).astype(np.int16)
        write_wave(tmp_path / name / "a.wav", sound)
    speech = ClipSet(
        name="own", clips=(Clip(path=str(tmp_path / "speech" / "a.wav"), text="a", duration=1.0),)
    )
    asked = PaperAsked(noise=(20.0, 0.0), noise_folder=tmp_path / "rain")
    found = paper_data([speech], asked, tmp_path / "noise")
    assert [(one.noise, one.snr) for one in found] == [
        *((kind, level) for kind in ("white", "pink", "recorded") for level in (20.0, 0.0)),
        ("white and pink and recorded", None),
    ]
    assert all(Path(clip.path).is_file() for one in found for clip in one.clips)


def test_without_levels_there_is_no_noise(tmp_path: Path) -> None:
    assert paper_data([ClipSet(name="own", clips=())], PaperAsked(), tmp_path / "noise") == ()
    assert not (tmp_path / "noise").exists()
