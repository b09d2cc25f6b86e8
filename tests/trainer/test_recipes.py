"""The recipes that come along: every one is read by its loader, and distilling keeps the paper's settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from distilcli.errors import UsageError
from distilcli.model_names import PUBLISHED
from distilcli.trainer.config import load_recipe
from distilcli.trainer.recipe import load_distil_recipe
from distilcli.trainer.shipped import find_recipe, is_supervised, shipped_recipes
from distilcli.trainer.stages import STAGES

RECIPES = shipped_recipes()
EXPECTED = {
    "distil-large-v3",
    "distil-small",
    "language-transfer",
    "finetune",
    "nano",
    "nano-teacher",
    "smoke",
    "smoke-teacher",
    "distil-smoke",
}


def test_the_recipes_of_the_manual_are_there() -> None:
    assert set(RECIPES) >= EXPECTED


@pytest.mark.parametrize("path", RECIPES.values(), ids=RECIPES)
def test_every_recipe_is_read_by_its_loader(path: Path) -> None:
    if is_supervised(path):
        assert load_recipe(path).total_steps > 0
        return
    recipe = load_distil_recipe(path)
    for name in (recipe.teacher.model, recipe.init.student):
        assert not name or name in PUBLISHED, f"{path} names a model that nobody publishes: {name}"
    if recipe.teacher.recipe:
        assert is_supervised(find_recipe(recipe.teacher.recipe))


def test_the_large_recipe_has_the_settings_of_the_paper() -> None:
    recipe = load_distil_recipe(RECIPES["distil-large-v3"])
    distil = recipe.distil
    assert distil.steps == 80_000  # table 15 of the paper, and equation 6 for the weights
    assert distil.batch_size * distil.accumulate == 256
    assert (distil.lr, distil.warmup, distil.schedule) == (1e-4, 500, "linear")
    assert (distil.ce_weight, distil.kl_weight, distil.temperature) == (1.0, 0.8, 2.0)
    assert (distil.weight_decay, distil.clip, distil.dtype) == (0.0, 1.0, "bfloat16")
    assert distil.freeze_encoder
    assert recipe.init.decoder_layers == 2
    assert recipe.filter.wer_threshold == 10.0


def test_a_recipe_is_found_by_path_and_by_name(tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text("run = 'x'", encoding="utf-8")
    assert find_recipe(str(mine)) == mine
    assert find_recipe("nano") == find_recipe("nano.toml") == RECIPES["nano"]
    with pytest.raises(UsageError, match=r"no recipe nanno .*'nano'"):
        find_recipe("nanno")
    with pytest.raises(UsageError, match="no recipe"):
        find_recipe("elsewhere/nano.toml")


def test_the_manual_names_every_recipe_and_every_stage() -> None:
    manual = (Path(__file__).parents[2] / "docs" / "distillation.md").read_text(encoding="utf-8")
    for name in (*RECIPES, *(stage.name for stage in STAGES)):
        assert f"`{name}`" in manual, name
