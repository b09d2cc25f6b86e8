"""What a run's folder remembers: finished stages, inputs, versions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from distilcli.errors import InputError, OutputError
from distilcli.trainer.recipe import FilterOptions, PackOptions
from distilcli.trainer.run_folder import Finished, RunFolder, fingerprint, versions


def test_finished_stages_are_remembered_and_forgotten(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    assert folder.finished() == {}
    folder.finish("label", "abc", 1.23456)
    folder.finish("pack", "def", 2.0)
    assert RunFolder(tmp_path / "run").finished()["label"] == Finished(inputs="abc", seconds=1.235)
    folder.forget("label")
    folder.forget("label")
    assert list(folder.finished()) == ["pack"]


@pytest.mark.parametrize("content", ["{", '{"label": {"outputs": 1}}', "[]"])
def test_a_damaged_list_is_named_with_a_way_out(tmp_path: Path, content: str) -> None:
    (tmp_path / "stages.json").write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=r"stages\.json cannot be read") as caught:
        RunFolder(tmp_path).finished()
    assert caught.value.hint
    assert "rm " in caught.value.hint


def test_a_run_says_what_it_was_made_with(tmp_path: Path) -> None:
    RunFolder(tmp_path).describe({"run": "x"}, {"corpus": "123"})
    found = json.loads((tmp_path / "recipe.json").read_text(encoding="utf-8"))
    assert found["options"] == {"run": "x"}
    assert found["hashes"] == {"corpus": "123"}
    assert found["versions"] == versions()
    assert {"distilcli", "python", "torch", "transformers"} <= set(found["versions"])


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("", encoding="utf-8")
    with pytest.raises(OutputError, match="cannot write"):
        RunFolder(tmp_path / "run").finish("label", "abc", 1.0)


def test_fingerprints_depend_on_every_value_and_on_nothing_else() -> None:
    base = fingerprint("pack", PackOptions(), ["a"])
    assert base == fingerprint("pack", PackOptions(), ["a"])
    others = [
        fingerprint("pack", PackOptions(gap=0.5), ["a"]),
        fingerprint("pack", PackOptions(), ["b"]),
        fingerprint("filter", PackOptions(), ["a"]),
        fingerprint("pack", FilterOptions(), ["a"]),
    ]
    assert len({base, *others}) == 5
    assert fingerprint([PackOptions()]) != fingerprint([PackOptions(gap=0.5)])
