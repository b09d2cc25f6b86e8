"""``distilcli train`` as a person uses it: plans, names of recipes, mistakes, and Ctrl-C."""

from __future__ import annotations

from pathlib import Path

import pytest

from distilcli.trainer import stages, supervised
from tests.support.cli import run
from tests.trainer.toy_run import write_recipe

SCRATCH = """
run = "run"
[data]
manifests = ["a.jsonl"]
[[phases]]
name = "only"
steps = 3
batch_seconds = 100.0
"""


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """A recipe that trains from scratch."""
    path = tmp_path / "scratch.toml"
    path.write_text(SCRATCH, encoding="utf-8")
    return path


def test_a_recipe_is_needed() -> None:
    done = run("train")
    assert done.code == 2
    assert "--config" in done.stderr


def test_a_misspelt_recipe_gets_the_closest_name() -> None:
    done = run("train", "--config", "distil-smal")
    assert done.code == 2
    assert done.stderr.startswith("error: there is no recipe distil-smal (did you mean 'distil-small'?)")


def test_all_mistakes_of_a_recipe_are_listed(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text("[data]\nsource = 1\n[distil]\nstep = 1\nlr = 'high'\n", encoding="utf-8")
    done = run("train", "--config", path, "--set", "pack.metod=none")
    assert done.code == 2
    for expected in (
        "run: missing",
        "data.source: unknown key, did you mean sources?",
        "data.sources: missing",
        "distil.step: unknown key, did you mean steps?",
        "distil.lr: expected float, found 'high'",
        "pack.metod: unknown key, did you mean method?",
    ):
        assert expected in done.stderr
    assert done.stdout == ""


def test_a_file_that_is_no_recipe_is_named(tmp_path: Path) -> None:
    path = tmp_path / "notes.toml"
    path.write_text("= nothing", encoding="utf-8")
    done = run("train", "--config", path)
    assert done.code == 2
    assert f"cannot read the recipe {path}" in done.stderr


def test_the_plan_of_training_from_scratch(scratch: Path) -> None:
    done = run("train", "--config", scratch, "--dry-run", "--set", "model.width=64", "--set", "model.heads=1")
    assert done.code == 0
    assert "only               3  at most 0.08 h" in done.stdout  # 3 batches of 100 s
    assert "width 64" in done.stdout
    assert not (scratch.parent / "run").exists()


def test_training_from_scratch_has_no_stages(scratch: Path) -> None:
    done = run("train", "--config", scratch, "--stage", "label")
    assert done.code == 2
    assert "trains from scratch and has no stages" in done.stderr
    assert "hint: leave --stage out" in done.stderr


def test_a_word_for_progress_that_is_none(scratch: Path) -> None:
    done = run("train", "--config", scratch, "--progress", "alway")
    assert done.code == 2
    assert (
        "--progress must be one of auto, always, never, not 'alway' (did you mean 'always'?)" in done.stderr
    )


def test_the_plan_of_a_distillation_changes_nothing(tmp_path: Path) -> None:
    path = write_recipe(tmp_path)
    done = run("train", "--config", path, "--dry-run")
    assert done.code == 0, done.stderr
    assert "2 recordings, about 0.01 h" in done.stdout
    assert done.stdout.count("to do") == 8
    assert not (tmp_path / "run").exists()


def test_a_stage_out_of_order_says_which_is_first(tmp_path: Path) -> None:
    done = run("train", "--config", write_recipe(tmp_path), "--stage", "pack", "--quiet")
    assert done.code == 2
    assert "stage 'pack' needs 'filter'" in done.stderr
    assert "hint: add --stage filter first" in done.stderr


def test_ctrl_c_says_that_nothing_is_lost(
    tmp_path: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(stages, "run_stages", interrupted)
    monkeypatch.setattr(supervised, "run_recipe", interrupted)
    for path in (write_recipe(tmp_path), scratch):
        done = run("train", "--config", path)
        assert done.code == 130
        assert done.stderr == (
            "error: interrupted; everything so far is kept, and the same command goes on from there\n"
        )
