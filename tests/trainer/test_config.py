"""Recipes: every mistake listed at once, with the closest name; overrides."""

from __future__ import annotations

from pathlib import Path

import pytest

from distilcli.errors import UsageError
from distilcli.trainer.config import load_recipe

GOOD = """
run = "out"
[data]
manifests = ["a.jsonl"]
[[phases]]
name = "only"
steps = 3
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_every_mistake_is_listed_at_once_with_the_closest_name(tmp_path: Path) -> None:
    text = """
    [data]
    manifest = ["a.jsonl"]
    [train]
    warmup = "long"
    optimiser = "adamw"
    [[phases]]
    name = "only"
    steps = 2.5
    guide = [1.0]
    """
    with pytest.raises(UsageError) as caught:
        load_recipe(written(tmp_path, text))
    message = caught.value.message
    assert "recipe.toml has 7 mistake(s)" in message
    for expected in (
        "run: missing",
        "data.manifest: unknown key, did you mean manifests?",
        "data.manifests: missing",
        "train.warmup: expected int, found 'long'",
        "train.optimiser: unknown key, did you mean optimizer?",
        "phases[0].steps: expected int, found 2.5",
        "phases[0].guide: expected a list of 2, found [1.0]",
    ):
        assert expected in message


def test_values_out_of_range_name_the_section(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match="train: schedule must be one of constant, linear, cosine, not 'step'"
    ):
        load_recipe(written(tmp_path, GOOD + '[train]\nschedule = "step"\n'))
    with pytest.raises(UsageError, match="model: width must be a multiple of heads, not 100 with 3 heads"):
        load_recipe(written(tmp_path, GOOD + "[model]\nwidth = 100\nheads = 3\n"))


def test_overrides_set_dotted_keys(tmp_path: Path) -> None:
    recipe = load_recipe(
        written(tmp_path, GOOD), ["train.lr=2", "run=elsewhere", 'data.manifests=["b.jsonl"]']
    )
    assert recipe.train.lr == 2.0
    assert recipe.run == "elsewhere"
    assert recipe.data.manifests == ("b.jsonl",)


def test_overrides_reach_the_items_of_a_list_by_number_and_by_name(tmp_path: Path) -> None:
    two = GOOD + '[[phases]]\nname = "second"\nsteps = 5\n'
    recipe = load_recipe(
        written(tmp_path, two),
        ["phases.second.steps=7", "phases.0.ctc=[1, 0]", 'data.manifests.0="c.jsonl"'],
    )
    assert [phase.steps for phase in recipe.phases] == [3, 7]
    assert recipe.phases[0].ctc == (1.0, 0.0)
    assert recipe.data.manifests == ("c.jsonl",)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("phases.third.steps=1", "phases is a list: expected a number from 0 to 0, only; found 'third'"),
        ("phases.1.steps=1", "found '1'"),
        ("phases.9=1", "found '9'"),
        ("run.folder=1", "run is 'out' and has no keys"),
    ],
)
def test_an_override_of_what_is_not_there_says_what_is(tmp_path: Path, override: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_recipe(written(tmp_path, GOOD), [override])
    assert f"--set {override}: " in caught.value.message
    assert message in caught.value.message


@pytest.mark.parametrize("override", ["train.lr", "train.speed=1"])
def test_bad_overrides_are_mistakes(tmp_path: Path, override: str) -> None:
    with pytest.raises(UsageError, match="mistake"):
        load_recipe(written(tmp_path, GOOD), [override])


@pytest.mark.parametrize("text", ["run = ", "run = 'out'\nphases = []\n[data]\nmanifests = ['a.jsonl']\n"])
def test_broken_files_and_empty_recipes_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError, match=r"recipe\.toml"):
        load_recipe(written(tmp_path, text))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere\.toml"):
        load_recipe(tmp_path / "nowhere.toml")
