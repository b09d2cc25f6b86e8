"""Two runs never write into one folder: the second is refused at once, and the first is not disturbed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from distilcli.errors import OutputError
from distilcli.trainer import checkpoint, supervised
from distilcli.trainer.config import load_recipe
from distilcli.trainer.only_writer import only_writer
from distilcli.trainer.ranks import Ranks
from distilcli.trainer.states import store_states
from distilcli.trainer.watch import StepRow
from tests.trainer.distillation import Heard, make_models, recipe, run_distil, tones
from tests.trainer.recordings import smoke_corpus

Models = tuple[Path, Path]
SUPERVISED = """
run = "{folder}/run"
[data]
manifests = ["{folder}/corpus/train.jsonl"]
[model]
width = 64
heads = 1
encoder_layers = 1
decoder_layers = 1
mels = 80
[[phases]]
name = "only"
steps = 2
batch_seconds = 4.0
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    """Teacher and student."""
    return make_models(tmp_path_factory.mktemp("models"))


def store(run: Path, models: Models, meanwhile: Callable[[], None] | None = None) -> None:
    store_states(
        recipe(run, steps=1),
        student=models[1],
        teacher=models[0],
        learnt=tones(10),
        ranks=Ranks(torch.device("cpu")),
        on_progress=None if meanwhile is None else lambda done, total: meanwhile(),
    )


@dataclass
class Meanwhile(Heard):
    """Starts something else after the first step."""

    work: Callable[[], None] = lambda: None

    def step(self, row: StepRow) -> None:
        if not self.rows:
            self.work()
        super().step(row)


def refused(*attempts: Callable[[], object]) -> None:
    """All of these end with a sentence and a way out."""
    for attempt in attempts:
        with pytest.raises(OutputError, match=r"another run is writing \w+ into .*distil") as caught:
            attempt()
        assert "--set run=FOLDER" in str(caught.value.hint)


def test_a_folder_has_one_writer_per_rank_and_is_free_afterwards(tmp_path: Path) -> None:
    folder = tmp_path / "distil"
    with only_writer(folder, "labels"), only_writer(folder, "labels", rank=1):
        refused(lambda: only_writer(folder, "labels", rank=1).__enter__())
    with pytest.raises(KeyError), only_writer(folder, "labels"):
        raise KeyError
    with only_writer(folder, "labels"):
        pass


def test_a_folder_that_cannot_be_made_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with (
        pytest.raises(OutputError, match="cannot write"),
        only_writer(tmp_path / "file" / "folder", "labels"),
    ):
        pass


def test_while_states_are_stored_nobody_stores_or_trains(tmp_path: Path, models: Models) -> None:
    store(
        tmp_path,
        models,
        lambda: refused(
            lambda: store(tmp_path, models), lambda: run_distil(tmp_path, models, Heard(), steps=1)
        ),
    )
    assert not checkpoint.listed(tmp_path / "distil")
    heard = Heard()
    run_distil(tmp_path, models, heard, steps=1)
    assert len(heard.rows) == 1


def test_while_a_student_is_trained_nobody_stores_or_trains(tmp_path: Path, models: Models) -> None:
    def others() -> None:
        refused(lambda: store(tmp_path, models), lambda: run_distil(tmp_path, models, Heard(), steps=2))

    disturbed, alone = Meanwhile(work=others), Heard()
    run_distil(tmp_path, models, disturbed, steps=2)
    run_distil(tmp_path / "alone", models, alone, steps=2)
    assert [row.losses for row in disturbed.rows] == [row.losses for row in alone.rows]


def test_while_a_network_is_trained_from_scratch_nobody_else_does(tmp_path: Path) -> None:
    folder = tmp_path / "distil"
    smoke_corpus(folder / "corpus", sentences=5)
    path = tmp_path / "recipe.toml"
    path.write_text(SUPERVISED.format(folder=folder), encoding="utf-8")
    steps: list[int] = []

    def meanwhile(done: int, total: int) -> None:
        refused(lambda: supervised.run_recipe(load_recipe(path)))
        steps.append(done)

    supervised.run_recipe(load_recipe(path), meanwhile)
    assert steps == [1, 2]
