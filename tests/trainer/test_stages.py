"""From recordings to a student: every product is there, nothing is done twice, errors lose nothing."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest

from distilcli.errors import InputError, NoInputError, OutputError, UsageError
from distilcli.trainer.stages import STAGES, chosen, run_stages, stages_of
from distilcli.trainer.watch import Listener, read_metrics
from tests.support.cli import running
from tests.trainer.recordings import write_wave
from tests.trainer.toy_run import Log, toy_recipe

ALL = ["label", "filter", "pack", "init", "states", "distil", "evaluate", "report"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Log]:
    """A folder in which every stage of the toy recipe has run, and what was heard."""
    folder, log = tmp_path_factory.mktemp("finished"), Log()
    run_stages(toy_recipe(folder), log)
    return folder, log


def copied(finished: tuple[Path, Log], target: Path) -> Path:
    """A copy that a test may change; paths in the recipe still point to the first one's data."""
    shutil.copytree(finished[0], target, dirs_exist_ok=True)
    return target


def at(folder: Path) -> str:
    """The override that moves the run to a copy."""
    return f"run={json.dumps(str(folder / 'run'))}"


def test_every_stage_leaves_its_product(finished: tuple[Path, Log]) -> None:
    folder, log = finished
    run = folder / "run"
    assert log.begun() == ALL
    assert [name for name, state in log.stages if state == "done"] == ALL
    for stage in STAGES:
        if stage.name in ALL:
            assert (run / stage.product).exists(), stage.name
    assert [
        row.step for row in read_metrics(run / "distil" / "metrics.jsonl").steps
    ] == []  # nobody asked for it
    assert log.steps == [1, 2, 3, 4]
    assert "filter: 2 recordings kept, 0 dropped, 0.01 h kept" in log.notes
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "word error rate, teacher" in page
    assert "word error rate, student" in page
    card = (run / "student" / "README.md").read_text(encoding="utf-8")
    assert "| short | teacher | 0.00 % |" in card
    made = json.loads((run / "recipe.json").read_text(encoding="utf-8"))
    assert set(made["hashes"]) == {"corpus", "validation", "teacher"}
    assert made["options"]["distil"]["steps"] == 4


def test_a_finished_run_has_nothing_to_do(finished: tuple[Path, Log], tmp_path: Path) -> None:
    folder, log = copied(finished, tmp_path), Log()
    before = (folder / "run" / "report.html").read_bytes()
    run_stages(toy_recipe(folder, at(folder)), log)
    assert log.stages == [(name, "already done") for name in ALL]
    assert (folder / "run" / "report.html").read_bytes() == before


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("evaluate.bootstrap=30", ["evaluate", "report"]),
        ("report.worst=1", ["report"]),
        ("distil.threads=2", []),
        ("distil.steps=6", ["states", "distil", "evaluate", "report"]),
        ("distil.store_ahead=false", []),
        ("distil.cache_encoder=false", []),
    ],
)
def test_a_changed_option_repeats_what_depends_on_it(
    finished: tuple[Path, Log], tmp_path: Path, override: str, expected: list[str]
) -> None:
    folder, log = copied(finished, tmp_path), Log()
    run_stages(toy_recipe(folder, at(folder), override), log)
    assert log.begun() == expected
    assert log.steps == ([5, 6] if "distil" in expected else [])  # it goes on; nothing is learnt twice


def test_a_product_that_was_deleted_is_made_again(finished: tuple[Path, Log], tmp_path: Path) -> None:
    folder, log = copied(finished, tmp_path), Log()
    (folder / "run" / "report.html").unlink()
    run_stages(toy_recipe(folder, at(folder)), log)
    assert log.begun() == ["report"]


class Stopper(Log):
    """Presses Ctrl-C when a stage has begun."""

    def stage(self, name: str, state: str) -> None:
        super().stage(name, state)
        if (name, state) == ("filter", "begins"):
            raise KeyboardInterrupt


def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    recipe = toy_recipe(tmp_path, "distil.steps=2")
    with pytest.raises(KeyboardInterrupt):
        run_stages(recipe, Stopper())
    log = Log()
    run_stages(recipe, log, "filter")
    assert log.stages == [("filter", "begins"), ("filter", "done")]


def test_a_killed_command_ends_with_the_same_student(finished: tuple[Path, Log], tmp_path: Path) -> None:
    folder, run = finished[0], tmp_path / "run"
    product = run / "distil" / "step-0000002.pt"
    words = ("train", "--config", folder / "recipe.toml", "--set", at(tmp_path), "--quiet")
    with running(*words) as process:
        deadline = time.monotonic() + 200
        while not product.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        process.kill()
    assert product.exists()
    run_stages(toy_recipe(folder, at(tmp_path)), Log())
    weights = [(one / "student" / "model.safetensors").read_bytes() for one in (run, folder / "run")]
    assert weights[0] == weights[1]


def test_one_stage_needs_those_before_it(tmp_path: Path) -> None:
    recipe = toy_recipe(tmp_path)
    with pytest.raises(UsageError, match="stage 'pack' needs 'filter', which has not been run") as caught:
        run_stages(recipe, Log(), "pack")
    assert caught.value.hint == "add --stage filter first, or leave --stage out"


def test_stages_are_chosen_by_name(tmp_path: Path) -> None:
    recipe = toy_recipe(tmp_path)
    assert [stage.name for stage in stages_of(recipe)] == ALL
    with pytest.raises(
        UsageError, match=r"must be one of teacher, label.*'lable' \(did you mean 'label'\?\)"
    ):
        chosen(recipe, "lable")
    with pytest.raises(UsageError, match="this recipe has no stage 'publish': it has label, filter"):
        chosen(recipe, "publish")
    hub = toy_recipe(tmp_path, 'report.push_to_hub="me/student"', "data.validation=[]")
    assert [stage.name for stage in stages_of(hub)] == [*ALL[:-2], "report", "publish"]


def test_a_filter_that_drops_everything_keeps_the_labels(finished: tuple[Path, Log], tmp_path: Path) -> None:
    folder = copied(finished, tmp_path)
    strict = toy_recipe(folder, at(folder), "filter.min_logprob=0.0")
    with pytest.raises(NoInputError, match="the filter drops all 2 recordings"):
        run_stages(strict, Log())
    log = Log()
    run_stages(toy_recipe(folder, at(folder)), log)
    assert "label" not in log.begun()


def test_no_recordings_at_all_is_said_before_any_work(tmp_path: Path) -> None:
    empty = tmp_path / "empty.jsonl"
    empty.write_text('{"audio": "nowhere.wav"}\n', encoding="utf-8")
    recipe = toy_recipe(tmp_path, f"data.sources=[{{path={json.dumps(str(empty))}}}]")
    with pytest.raises(NoInputError, match="no usable recordings"):
        run_stages(recipe, Log())
    assert not (tmp_path / "run" / "labels").exists()


def test_a_run_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    recipe = toy_recipe(tmp_path)
    (tmp_path / "run").write_text("", encoding="utf-8")
    with pytest.raises(OutputError, match="cannot write"):
        run_stages(recipe, Listener())


def test_a_damaged_decision_of_the_filter_is_named(finished: tuple[Path, Log], tmp_path: Path) -> None:
    folder = copied(finished, tmp_path)
    (folder / "run" / "filter" / "filter.json").write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match=r"filter\.json cannot be read"):
        run_stages(toy_recipe(folder, at(folder), "report.worst=2"), Log())


def test_fine_tuning_needs_no_teacher(tmp_path: Path) -> None:
    from tests.support.toy import toy_folder

    student = json.dumps(str(toy_folder("multi")))
    write_wave(tmp_path / "silent.wav", 16_000)
    log = Log()
    recipe = toy_recipe(
        tmp_path,
        "teacher.model=''",
        f"init.student={student}",
        "distil.kl_weight=0.0",
        "distil.steps=1",
        "data.validation=[]",
    )
    run_stages(recipe, log)
    assert log.begun() == ["filter", "pack", "init", "distil", "report"]
    config = json.loads((tmp_path / "run" / "student" / "config.json").read_text(encoding="utf-8"))
    assert config["decoder_layers"] == 2  # all of the model that is tuned
    card = (tmp_path / "run" / "student" / "README.md").read_text(encoding="utf-8")
    assert "fine-tuned from" in card
