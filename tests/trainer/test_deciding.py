"""Going on from checkpoints with other options is refused by name; what changes no weight is free."""

from __future__ import annotations

from pathlib import Path

import pytest

from distilcli.errors import InputError, UsageError
from distilcli.trainer import checkpoint
from distilcli.trainer.deciding import deciding_options, refuse_changed_options
from tests.trainer.distillation import recipe


def begun(run: Path) -> Path:
    """A run with one checkpoint; returns its folder."""
    refuse_changed_options(recipe(run))
    checkpoint.save(run / "distil", 2, {"steps": 2}, 1)
    return run


def test_the_first_checkpoint_binds_the_options(tmp_path: Path) -> None:
    refuse_changed_options(recipe(tmp_path, lr=1e-3))
    refuse_changed_options(recipe(tmp_path, lr=2e-3))  # nothing has been learnt yet
    checkpoint.save(tmp_path / "distil", 2, {"steps": 2}, 1)
    refuse_changed_options(recipe(tmp_path, lr=2e-3))
    with pytest.raises(UsageError) as caught:
        refuse_changed_options(recipe(tmp_path, lr=3e-3, seed=5))
    assert caught.value.message.endswith(
        "were made with other options: distil.lr was 0.002, is 0.003; distil.seed was 1, is 5"
    )
    assert caught.value.hint
    assert "--set run=FOLDER" in caught.value.hint


@pytest.mark.parametrize("change", [{"steps": 9}, {"threads": 2}, {"chunk_tokens": 0}, {"log_every": 7}])
def test_speed_memory_and_length_may_change(tmp_path: Path, change: dict[str, int]) -> None:
    refuse_changed_options(recipe(begun(tmp_path), **change))


def test_a_damaged_note_is_named(tmp_path: Path) -> None:
    (begun(tmp_path) / "distil" / "options.json").write_text("[1", encoding="utf-8")
    with pytest.raises(InputError, match=r"options\.json cannot be read"):
        refuse_changed_options(recipe(tmp_path))


def test_forms_weights_and_augmentation_decide_too(tmp_path: Path) -> None:
    names = deciding_options(recipe(tmp_path))
    assert {"pack.prompt_probability", "data.sources.weight", "augment.speed", "distil.kl_weight"} <= set(
        names
    )
    assert "distil.steps" not in names
