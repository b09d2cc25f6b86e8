"""The smoke recipe of distillation, end to end: a teacher from nothing, labels, half of it, a page."""

from __future__ import annotations

from pathlib import Path

import pytest

from distilcli.model_folder import inspect
from distilcli.trainer.scores import read_results
from distilcli.trainer.watch import read_metrics
from tests.support.cli import run
from tests.trainer.recordings import smoke_corpus


def test_the_smoke_recipe_makes_a_student_and_a_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    smoke_corpus(tmp_path / "smoke" / "corpus")
    done = run("train", "--config", "distil-smoke")
    assert done.code == 0, done.stderr
    folder = tmp_path / "smoke" / "distil"
    assert done.stdout == "smoke/distil\n"
    teacher, student = inspect(folder / "teacher"), inspect(folder / "student")
    assert (teacher.decoder_layers, student.decoder_layers) == (2, 1)
    assert student.encoder_layers == teacher.encoder_layers
    losses = [row.losses["loss"] for row in read_metrics(folder / "distil" / "metrics.jsonl").steps]
    assert losses[-1] < 0.8 * losses[0]
    found = read_results(folder / "evaluate" / "results.json")
    rates = {
        score.model: score.rate.value for score in found.scores if score.mode == "short" and not score.snr
    }
    assert rates["teacher"] < 60.0
    assert (folder / "report.html").stat().st_size > 20_000
    again = run("train", "--config", "distil-smoke")
    assert again.stderr.count("already done") == 9
