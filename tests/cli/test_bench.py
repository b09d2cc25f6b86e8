"""``distilcli bench`` as a person uses it: a table, files, limits, and mistakes."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from distilcli.bench.values import read_report
from tests.support.cli import Result, run
from tests.support.toy import toy_text

ROOT = Path(__file__).parents[2]


@pytest.fixture
def corpus(tmp_path: Path, rise: Path, fall: Path) -> Path:
    """A manifest of the two clips that the toy models know."""
    lines = [
        {"audio": str(path), "text": toy_text(name), "language": "en"}
        for path, name in ((rise, "rise"), (fall, "fall"))
    ]
    path = tmp_path / "corpus.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def bench(model: Path, *words: object) -> Result:
    """One round of the toy model with one thread."""
    settings = ("--backends", "ctranslate2", "--threads", 1, "--rounds", 1, "--no-fallback", "--force")
    return run("bench", "--models", model, *settings, *words, env={"PYTHONPATH": str(ROOT)})


def test_a_bench_prints_a_table_and_writes_what_is_asked_for(toy: Path, corpus: Path, tmp_path: Path) -> None:
    files = {"--json": "new/r.json", "--csv": "r.csv", "--report": "r.html"}
    (tmp_path / "new").mkdir()
    words = [word for flag, name in files.items() for word in (flag, tmp_path / name)]
    done = bench(toy, corpus, *words, "--compute-type", "float32", "--resume", tmp_path / "samples.jsonl")
    assert done.code == 0, done.stderr
    assert "short: 2 recordings, 18 s" in done.stdout
    assert "(A/A)" in done.stdout
    assert "encoder" in done.stdout
    assert "note: few rounds (1)" in done.stdout
    assert "round 1 of 1" in done.stderr
    report = read_report(tmp_path / "new" / "r.json")
    (first, control) = report.summaries
    assert first.accuracy is not None
    assert first.accuracy.wer.value == 0.0  # it knows them by heart
    assert (first.windows, first.encoder_calls, first.fallbacks_per_hour) == (2, 2, 0.0)
    assert first.compute_type == "float32"
    assert first.stages["other"] < 0.5 * first.wall.value
    assert len(report.samples[0].token_digests) == 2
    assert report.samples[0].token_digests == report.samples[1].token_digests
    assert report.ratios[0].same_texts == 1.0
    assert len(report.models[0].sha256) == 64
    assert control.case != first.case
    lines = (tmp_path / "r.csv").read_text(encoding="utf-8").splitlines()
    assert len(list(csv.DictReader(lines))) == 2
    assert "<svg" in (tmp_path / "r.html").read_text(encoding="utf-8")
    assert (tmp_path / "samples.jsonl").read_text(encoding="utf-8").count("\n") == 3


def test_a_limit_that_is_passed_makes_the_command_fail_with_its_table(toy: Path, corpus: Path) -> None:
    done = bench(toy, corpus, "--fail-if", "wer>=0", "--fail-if", "wer>50")
    assert done.code == 8
    assert "short: 2 recordings" in done.stdout
    assert done.stderr.splitlines()[-1].startswith("error: distilcli ")
    assert "wer is 0 (wer>=0 fails)" in done.stderr
    assert "wer>50" not in done.stderr


def test_a_tool_that_fails_is_listed_and_the_command_fails(toy: Path, fall: Path) -> None:
    done = bench(toy, fall, "--language", "en", "--against", "tests.support.sleeper")
    assert done.code == 6
    assert "missing: tests.support.sleeper" in done.stdout
    assert "could not convert string to float" in done.stderr
    assert "nobody knows what is said" in done.stdout


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--rounds", "0"), "--rounds must be at least 1, not 0"),
        (("--batch-sizes", "1,x"), "--batch-sizes must be numbers with commas, not '1,x'"),
        (("--backends", "ctranslate3"), "--backend must be one of"),
        (("--against", "wisper.cpp"), "did you mean 'whisper.cpp'?"),
        (("--against", "no.such"), "--against no.such: there is no such module"),
        (("--fail-if", "fast"), "--fail-if must be a measure"),
        (("--baseline", "old.json"), "--baseline needs a condition"),
        (("--speculative", "large-v3"), "--speculative expects MODEL+DRAFT"),
        (("--models", ""), "nothing to measure"),
    ],
)
def test_mistakes_are_found_before_anything_is_measured(words: tuple[str, ...], complaint: str) -> None:
    done = run("bench", "--force", *words)
    assert done.code == 2, done.stderr
    assert complaint in done.stderr
    assert done.stdout == ""


def test_a_baseline_that_is_no_report_is_refused(tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text("{}", encoding="utf-8")
    done = run("bench", "--force", "--baseline", tmp_path / "old.json", "--fail-if", "rtfx<1")
    assert done.code == 5
    assert "expected a report of distilcli bench" in done.stderr


def test_a_file_that_is_not_there_is_refused() -> None:
    done = run("bench", "--force", "nothing.mp3")
    assert done.code == 3
    assert "there is no file nothing.mp3" in done.stderr
