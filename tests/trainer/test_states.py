"""States that are stored before training: it then never loads the teacher, and learns the same."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import WhisperForConditionalGeneration

from distilcli.errors import OutputError
from distilcli.trainer.material import open_materials
from distilcli.trainer.ranks import Ranks
from distilcli.trainer.recipe import DistilRecipe
from distilcli.trainer.states import questions, store_states
from distilcli.trainer.variants import draw_form
from distilcli.trainer.window_batches import epoch_order
from tests.trainer.distillation import Heard, make_models, recipe, run_distil, tones

Models = tuple[Path, Path]
CPU = torch.device("cpu")
LIVE = {"cache_encoder": False, "cache_teacher": False}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    """Teacher and student."""
    return make_models(tmp_path_factory.mktemp("models"))


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch, models: Models) -> list[Path]:
    """A list that grows whenever the whole teacher is loaded."""
    found: list[Path] = []
    load = WhisperForConditionalGeneration.from_pretrained

    def counted(folder: Path, **options: Any) -> WhisperForConditionalGeneration:
        if folder == models[0]:
            found.append(folder)
        return load(folder, **options)

    monkeypatch.setattr(WhisperForConditionalGeneration, "from_pretrained", counted)
    return found


def store(
    options: DistilRecipe,
    models: Models,
    ranks: Ranks | None = None,
    heard: list[tuple[int, int]] | None = None,
) -> None:
    """Stores what `run_distil` with the same options will ask for."""
    store_states(
        options,
        student=models[1],
        teacher=models[0],
        learnt=tones(10),
        measured=tones(4, seed=1),
        ranks=ranks or Ranks(CPU),
        on_progress=None if heard is None else lambda *one: heard.append(one),
    )


@pytest.mark.parametrize(
    "changes", [{}, {"cache_encoder": False}, {"freeze_encoder": False, "cache_encoder": False}]
)
def test_training_after_it_never_loads_the_teacher_and_learns_the_same(
    changes: dict[str, Any], tmp_path: Path, models: Models, loads: list[Path]
) -> None:
    """Twelve steps of two windows: more than two epochs of ten, in up to four forms."""
    options = {"steps": 12, "validate_every": 6, "lr": 1e-4} | changes
    live, ahead = Heard(), Heard()
    run_distil(tmp_path / "live", models, live, **options | LIVE)
    assert len(loads) == 1
    store(recipe(tmp_path / "ahead", **options), models)
    assert len(loads) == 2
    run_distil(tmp_path / "ahead", models, ahead, **options)
    assert len(loads) == 2
    for mine, theirs in zip(ahead.rows, live.rows, strict=True):
        assert mine.losses == pytest.approx(theirs.losses, rel=1e-4), mine.step
    for (_, mine), (_, theirs) in zip(ahead.validations, live.validations, strict=True):
        assert mine == pytest.approx(theirs, rel=1e-4)


def test_every_window_is_asked_about_once_in_every_form_that_is_drawn(tmp_path: Path, models: Models) -> None:
    options = recipe(tmp_path, steps=23)
    learning, _ = open_materials(options, models[1], tones(10), None)
    asked = [
        (number, draw_form(learning.windows[number], options, one.epoch))
        for one in questions(learning)
        for number in one.windows
    ]
    assert max(Counter(asked).values()) == 1
    orders = [epoch_order(10, options.distil.seed, epoch) for epoch in range(5)]
    drawn = [(int(number), epoch) for epoch, order in enumerate(orders) for number in order][: 23 * 2]
    assert set(asked) == {
        (number, draw_form(learning.windows[number], options, epoch)) for number, epoch in drawn
    }
    assert len(asked) > 20


def test_stopped_and_started_again_it_repeats_nothing(tmp_path: Path, models: Models) -> None:
    options = recipe(tmp_path, steps=5)
    asked = 0

    def stop_after_three(done: int, total: int) -> None:
        nonlocal asked
        asked += 1
        if asked == 3:
            raise KeyboardInterrupt

    both = {"student": models[1], "teacher": models[0], "learnt": tones(10), "ranks": Ranks(CPU)}
    with pytest.raises(KeyboardInterrupt):
        store_states(options, on_progress=stop_after_three, **both)  # type: ignore[arg-type]  # by name
    (states,) = (tmp_path / "distil" / "cache").glob("teacher-*/states-000.bin")
    kept = states.read_bytes()
    store_states(options, **both)  # type: ignore[arg-type]  # by name
    whole = states.read_bytes()
    assert whole.startswith(kept)
    assert len(whole) > len(kept) > 0
    store_states(options, **both)  # type: ignore[arg-type]  # by name
    assert states.read_bytes() == whole


def test_processes_share_the_work(tmp_path: Path, models: Models, loads: list[Path]) -> None:
    """Steps of two processes have twice as many windows: 4, 4 and the 2 that an epoch has left."""
    heard: list[list[tuple[int, int]]] = [[], []]
    for rank in (0, 1):
        store(recipe(tmp_path, steps=6), models, Ranks(CPU, rank, 2), heard[rank])
    ends = [one[-1] for one in heard]
    assert all(done == total for done, total in ends)
    assert abs(ends[0][1] - ends[1][1]) <= 2
    before = len(loads)
    run_distil(tmp_path, models, Heard(), steps=10)  # one process: the same two epochs
    assert len(loads) == before


def test_a_question_that_was_not_foreseen_is_asked_then(
    tmp_path: Path, models: Models, loads: list[Path]
) -> None:
    store(recipe(tmp_path, steps=2), models)
    run_distil(tmp_path, models, Heard(), steps=3)
    assert len(loads) == 2


def test_a_disk_without_room_is_refused_before_any_work(
    tmp_path: Path, models: Models, monkeypatch: pytest.MonkeyPatch, loads: list[Path]
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=100))
    with pytest.raises(OutputError, match=r"the teacher's states of .* windows need") as caught:
        store(recipe(tmp_path, cache_encoder=False), models)
    assert "distil.cache_teacher=false" in str(caught.value.hint)
    assert not loads
