"""Which cases the flags make, which recordings they find, and what a report's rows say."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from distilcli.bench import data
from distilcli.bench.cases import Grid, grid_cases, stands_in
from distilcli.bench.rows import short_labels, to_csv
from distilcli.bench.run import with_control
from distilcli.bench.values import Case, Clip
from distilcli.errors import InputError, NoInputError, UsageError
from tests.bench.reports import Run, clip_set, report
from tests.support.speech import write_wav

GRID = Grid(
    base=Case(model="nano", device="cpu"),
    models=("nano",),
    backends=("ctranslate2",),
    compute_types=("auto",),
    strategies=("sequential",),
    batch_sizes=(1,),
    threads=(2,),
)


def test_the_grid_is_the_product_of_what_is_varied() -> None:
    grid = replace(GRID, models=("a", "b"), strategies=("chunked", "sequential"), batch_sizes=(1, 8))
    found = grid_cases(grid)
    assert len(found) == len(set(found)) == 8
    assert (found[0].model, found[0].strategy, found[0].batch_size) == ("a", "chunked", 1)
    assert {one.threads for one in found} == {2}


def test_a_peer_is_measured_once_beside_two_chunked_strategies() -> None:
    grid = replace(GRID, strategies=("chunked", "chunked-vad"), against=("faster-whisper",))
    found = [(one.system, one.strategy) for one in grid_cases(grid)]
    assert found == [
        ("distilcli", "chunked"),
        ("distilcli", "chunked-vad"),
        ("faster-whisper", "chunked"),
    ]


def test_a_number_format_that_a_backend_lacks_is_left_out() -> None:
    grid = replace(GRID, backends=("ctranslate2", "transformers"), compute_types=("int16", "bfloat16"))
    assert [(one.backend, one.compute_type) for one in grid_cases(grid)] == [
        ("ctranslate2", "int16"),
        ("ctranslate2", "bfloat16"),
        ("transformers", "bfloat16"),
    ]


def test_every_peer_gets_every_case_once_whatever_our_backends() -> None:
    grid = replace(GRID, backends=("ctranslate2", "transformers"), against=("faster-whisper", "whisper.cpp"))
    assert [(one.system, one.backend) for one in grid_cases(grid)] == [
        ("distilcli", "ctranslate2"),
        ("distilcli", "transformers"),
        ("faster-whisper", ""),
        ("whisper.cpp", ""),
    ]


@pytest.mark.parametrize(
    ("device", "peers"), [("cpu", ["int8", "float32"]), ("cuda", ["int8", "int8_bfloat16", "float32"])]
)
def test_a_format_that_only_we_have_on_a_cpu_gives_peers_no_second_case(
    device: str, peers: list[str]
) -> None:
    formats = ("int8", "int8_bfloat16", "float32")
    grid = replace(GRID, compute_types=formats, against=("faster-whisper",), on_gpu=device == "cuda")
    found = grid_cases(grid)
    assert [one.compute_type for one in found if one.system == "distilcli"] == list(formats)
    theirs = [one for one in found if one.system == "faster-whisper"]
    assert [one.compute_type for one in theirs] == peers
    assert [stands_in(one, found) for one in found] == [()] * len(found)


def test_a_peer_that_stands_in_for_a_format_says_so() -> None:
    found = grid_cases(replace(GRID, compute_types=("int8_bfloat16",), against=("faster-whisper",)))
    ours, theirs = found
    assert (ours.compute_type, theirs.compute_type) == ("int8_bfloat16", "int8")
    assert stands_in(ours, found) == ()
    assert stands_in(theirs, found) == ("has the settings of int8, for it has no int8_bfloat16 on a CPU",)


def test_defaults_are_cases_of_their_own() -> None:
    found = grid_cases(replace(GRID, against=("faster-whisper",), defaults=True))
    assert [(one.system, one.defaults) for one in found] == [
        ("distilcli", False),
        ("faster-whisper", False),
        ("distilcli", True),
        ("faster-whisper", True),
    ]


def test_misspelt_values_get_the_closest() -> None:
    for changed, complaint in (
        (replace(GRID, backends=("ctranslate",)), "did you mean 'ctranslate2'"),
        (replace(GRID, compute_types=("int9",)), "did you mean 'int8'"),
        (replace(GRID, strategies=("chunky",)), "did you mean 'chunked'"),
    ):
        with pytest.raises(UsageError, match=complaint):
            grid_cases(changed)


def test_the_first_case_is_measured_twice() -> None:
    first, second = Case(model="a"), Case(model="b")
    assert with_control((first, second)) == (first, replace(first, repeat=1), second)
    assert len({one.key for one in with_control((first, second))}) == 3


def test_labels_say_what_differs() -> None:
    cases = with_control(grid_cases(replace(GRID, against=("faster-whisper",))))
    shared, labels = short_labels(cases)
    assert shared == "nano auto sequential beam 5 2 threads"
    assert list(labels.values()) == [
        "distilcli ctranslate2",
        "distilcli ctranslate2 (A/A)",
        "faster-whisper",
    ]
    shared, labels = short_labels(with_control(grid_cases(GRID)))
    assert list(labels.values()) == ["nano", "nano (A/A)"]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A manifest of three short recordings and a long one."""
    lines = []
    for number, seconds in enumerate((1, 2, 3, 31)):
        write_wav(tmp_path / f"{number}.wav", np.zeros(seconds * 16_000, np.float32))
        lines.append({"audio": f"{number}.wav", "text": f"text {number}", "language": "German"})
    path = tmp_path / "corpus.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def test_short_and_long_recordings_are_two_sets(corpus: Path) -> None:
    short, long = data.load([corpus], language=None, most=0, seed=0)
    assert (short.name, long.name) == ("short", "long")
    assert [clip.duration for clip in short.clips] == [1.0, 2.0, 3.0]
    assert long.clips == (
        Clip(path=str(corpus.parent / "3.wav"), text="text 3", language="de", duration=31.0),
    )
    assert long.seconds == 31.0


def test_a_few_clips_are_always_the_same(corpus: Path) -> None:
    few = data.load([corpus], language=None, most=2, seed=1)
    assert few == data.load([corpus], language=None, most=2, seed=1)
    assert [len(one.clips) for one in few] == [2, 1]
    draws = {data.load([corpus], language=None, most=1, seed=seed)[0].clips for seed in range(20)}
    assert len(draws) == 3


def test_recordings_need_no_manifest(corpus: Path) -> None:
    (short,) = data.load([corpus.parent / "0.wav"], language="fr", most=0, seed=0)
    assert short.clips[0].text is None
    assert short.clips[0].language == "fr"


def test_a_set_is_known_by_its_content(corpus: Path) -> None:
    before = data.load([corpus], language=None, most=0, seed=0)
    corpus.write_text(corpus.read_text(encoding="utf-8").replace("text 1", "other"), encoding="utf-8")
    after = data.load([corpus], language=None, most=0, seed=0)
    assert before[0].key != after[0].key
    assert before[1].key == after[1].key


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('{"text": "no audio"}', "corpus.jsonl:1: expected a file name under 'audio'"),
        ('{"audio": "nothing.wav"}', "there is no file"),
        ('{"audio": "0.wav", "text": 3}', "expected text under 'text', found int"),
        ("nonsense", "expected a JSON object"),
    ],
)
def test_a_bad_line_is_named(corpus: Path, line: str, complaint: str) -> None:
    corpus.write_text(line + "\n", encoding="utf-8")
    with pytest.raises(InputError, match=complaint):
        data.load([corpus], language=None, most=0, seed=0)


def test_nothing_to_measure_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("", encoding="utf-8")
    for name, complaint in (("empty.jsonl", "no recording"), ("none.wav", "no file"), ("", "found a folder")):
        with pytest.raises(NoInputError, match=complaint):
            data.load([tmp_path / name], language=None, most=0, seed=0)


def test_the_bundled_recording_needs_no_file(tmp_path: Path) -> None:
    long, short = data.bundled(tmp_path, seed=0)
    assert long.clips[0].text is not None
    assert long.clips[0].text.startswith("Welcome")
    assert len(short.clips) == 6
    assert data.bundled(tmp_path, seed=0)[1].clips == short.clips
    assert len(data.bundled(tmp_path, seed=0, most=2)[1].clips) == 2


def test_csv_has_one_line_per_row() -> None:
    clips = clip_set("short", "the cat sat")
    cases = with_control((Case(model="a"), Case(model="b")))
    runs = zip(cases, ((2.0, 2.0), (2.0, 2.0), (4.0, 4.0)), strict=True)
    text = to_csv(report({(case, clips): Run(walls=walls, texts=["the cat"]) for case, walls in runs}))
    lines = list(csv.DictReader(io.StringIO(text)))
    assert [line["model"] for line in lines] == ["a", "a", "b"]
    assert [line["ratio_speed"] for line in lines] == ["", "1.0", "0.5"]
    assert float(lines[0]["rtfx"]) == 5.0
    assert float(lines[0]["wer"]) == pytest.approx(100 / 3)
    assert float(lines[0]["stages_encoder"]) == pytest.approx(1.4)
    assert "chunk_length" in lines[0]
