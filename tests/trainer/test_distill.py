"""The loop: it learns, goes on bit for bit after kill -9, spreads over processes, and says what is wrong."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import WhisperForConditionalGeneration

from distilcli.errors import DistilError, NoInputError, OutputError, UsageError
from distilcli.model_folder import inspect, read_json
from distilcli.trainer import checkpoint
from distilcli.trainer.distill import distil, main
from distilcli.trainer.packing import pack, write_windows
from distilcli.trainer.recipe import AugmentOptions, load_distil_recipe
from distilcli.trainer.run import Run
from distilcli.trainer.student import CONTEXTS
from distilcli.trainer.text_labels import text_labels
from distilcli.trainer.watch import Listener, read_metrics
from tests.support.checkpoint import tiny_checkpoint
from tests.support.ports import free_port
from tests.trainer.distillation import Heard, Told, make_models, recipe, run_distil, start, tones
from tests.trainer.recordings import write_wave

Models = tuple[Path, Path]
WHOLE = {"steps": 8, "ema": 0.9, "keep_best": 2, "validate_every": 2, "checkpoint_every": 2, "lr": 1e-2}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    """Teacher and student."""
    return make_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, models: Models) -> tuple[Path, Heard]:
    """The folder of an uninterrupted run, and what was heard of it."""
    run, heard = tmp_path_factory.mktemp("whole"), Heard()
    run_distil(run, models, heard, **WHOLE)
    return run, heard


def flat(value: object, where: str = "") -> dict[str, object]:
    """Every leaf of a nested state by its path."""
    pairs: Sequence[tuple[object, object]]
    if isinstance(value, dict):
        pairs = list(value.items())
    elif isinstance(value, (list, tuple)):
        pairs = list(enumerate(value))
    else:
        return {where: value}
    return {key: leaf for name, inner in pairs for key, leaf in flat(inner, f"{where}/{name}").items()}


def assert_same_end(run: Path, expected: Path) -> None:
    """Compares everything in the last checkpoints, and the students, bit for bit."""
    mine, theirs = (checkpoint.listed(one / "distil")[-1] for one in (run, expected))
    assert mine.name == theirs.name
    found, wanted = flat(checkpoint.load(mine)), flat(checkpoint.load(theirs))
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        same = torch.equal(value, found[name]) if isinstance(value, Tensor) else value == found[name]  # type: ignore[arg-type]
        assert same, name
    students = [one / "student" / "model.safetensors" for one in (run, expected)]
    assert students[0].read_bytes() == students[1].read_bytes()
    best = [[path.name for path in checkpoint.listed(one / "distil", "best")] for one in (run, expected)]
    assert best[0] == best[1]


def test_it_learns_and_tells(whole: tuple[Path, Heard]) -> None:
    _, heard = whole
    assert [row.step for row in heard.rows] == list(range(1, 9))
    assert [step for step, _ in heard.validations] == [2, 4, 6, 8]
    assert heard.rows[-1].losses["ce"] < 0.95 * heard.rows[0].losses["ce"]
    first = heard.rows[0]
    assert first.losses.keys() == {"loss", "ce", "kl"}
    assert first.losses["loss"] == pytest.approx(first.losses["ce"] + 0.8 * 4 * first.losses["kl"], rel=1e-4)
    assert first.lr == pytest.approx(0.5e-2)
    assert heard.rows[4].epoch == 1.0
    _, windows = tones(10)
    assert heard.rows[4].audio_hours == pytest.approx(sum(one.seconds for one in windows) / 3600)


def test_the_student_is_the_best_average_and_an_ordinary_model(
    whole: tuple[Path, Heard], models: Models
) -> None:
    run, heard = whole
    assert inspect(run / "student").decoder_layers == 1
    assert {path.name for path in (run / "student").iterdir()} == {path.name for path in models[1].iterdir()}
    best = min(heard.validations, key=lambda one: one[1]["loss"])[0]
    state = checkpoint.load(run / "distil" / f"best-{best:07d}.pt")
    averages: dict[str, Tensor] = state["averages"]  # type: ignore[assignment]
    written = load_file(run / "student" / "model.safetensors")
    before = load_file(models[1] / "model.safetensors")
    for name, value in written.items():
        assert torch.equal(value, averages[name] if name in averages else before[name]), name
    WhisperForConditionalGeneration.from_pretrained(run / "student")


def test_the_last_and_the_best_checkpoints_are_kept(whole: tuple[Path, Heard]) -> None:
    run, heard = whole
    ranked = sorted((values["loss"], step) for step, values in heard.validations)
    best = sorted(step for _, step in ranked[:2])
    assert [checkpoint.step_of(path) for path in checkpoint.listed(run / "distil", "best")] == best


@pytest.mark.parametrize("step", [2, 6])
def test_going_on_from_any_checkpoint_gives_the_same_bits(
    step: int, whole: tuple[Path, Heard], models: Models, tmp_path: Path
) -> None:
    saved = whole[0] / "distil"
    (tmp_path / "distil").mkdir()
    for path in (*checkpoint.listed(saved), *checkpoint.listed(saved, "best")):
        if checkpoint.step_of(path) <= step:
            shutil.copy(path, tmp_path / "distil" / path.name)
    if step == 6:  # with everything that the whole run has cached, or with nothing
        shutil.copytree(saved / "cache", tmp_path / "distil" / "cache")
    heard = Heard()
    run_distil(tmp_path, models, heard, **WHOLE)
    assert f"going on after step {step}" in heard.notes
    assert [row.step for row in heard.rows] == list(range(step + 1, 9))
    assert_same_end(tmp_path, whole[0])


def test_a_run_killed_again_and_again_ends_with_the_same_bits(
    whole: tuple[Path, Heard], models: Models, tmp_path: Path
) -> None:
    told = Told(file=tmp_path / "told")
    for number, moment in enumerate((0.0, 0.03, 0.11)):
        process = start(tmp_path, models, told.file, {}, **WHOLE)
        before, deadline = len(told.rows_told()), time.monotonic() + 200
        while len(told.rows_told()) < before + 2 + number and time.monotonic() < deadline:
            time.sleep(0.002)
            assert process.exitcode is None
        time.sleep(moment)
        process.kill()
        process.join()
        process.close()
    steps = [int(row["step"]) for row in told.rows_told()]
    assert len(steps) > len(set(steps))  # some were taken twice
    run_distil(tmp_path, models, Heard(), **WHOLE)
    assert_same_end(tmp_path, whole[0])


def test_two_processes_are_one(models: Models, tmp_path: Path) -> None:
    """Ten windows in steps of four: in every third step the second process has nothing to do."""
    options = {"steps": 4, "log_every": 1, "validate_every": 2, "lr": 1e-2, "warmup": 0}
    alone = Heard()
    run_distil(tmp_path / "alone", models, alone, **options, batch_size=4)
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    shared |= {"OMP_NUM_THREADS": "1", "LOCAL_WORLD_SIZE": "2"}
    processes = [
        start(
            tmp_path / "both",
            models,
            tmp_path / f"told-{rank}",
            shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            **options,
            batch_size=2,
        )
        for rank in range(2)
    ]
    for process in processes:
        process.join(250)
        assert process.exitcode == 0
    both = [Told(file=tmp_path / f"told-{rank}").rows_told() for rank in range(2)]
    assert both[0] == both[1]
    for mine, theirs in zip(alone.rows, both[0], strict=True):
        for name, value in mine.losses.items():
            assert theirs[name] == pytest.approx(value, rel=1e-4), (mine.step, name)
    states = [checkpoint.load(checkpoint.listed(tmp_path / one / "distil")[-1]) for one in ("alone", "both")]
    for name, value in states[0]["weights"].items():  # type: ignore[attr-defined]
        torch.testing.assert_close(states[1]["weights"][name], value, rtol=1e-3, atol=2e-3)  # type: ignore[index]


def test_elastic_windows_are_written_into_the_student(models: Models, tmp_path: Path) -> None:
    elastic = {"elastic_seconds": (5.0, 10.0), "cache_encoder": False, "cache_teacher": False}
    folder = run_distil(tmp_path, models, Heard(), **elastic, steps=2)
    assert read_json(folder / "config.json")[CONTEXTS] == [5.0, 10.0]


def test_without_a_teacher_it_fine_tunes(models: Models, tmp_path: Path) -> None:
    corpus, windows = tones(10)
    options = recipe(tmp_path, kl_weight=0.0, steps=2, freeze_encoder=False)
    heard = Heard()
    folder = distil(options, student=models[1], teacher=None, corpus=corpus, windows=windows, listener=heard)
    assert heard.rows[0].losses.keys() == {"loss", "ce"}
    before, after = (load_file(one / "model.safetensors") for one in (models[1], folder))
    assert not torch.equal(before["model.encoder.conv1.weight"], after["model.encoder.conv1.weight"])


def test_a_rate_that_is_too_high_ends_with_the_recordings_and_an_intact_checkpoint(
    models: Models, tmp_path: Path
) -> None:
    run_distil(tmp_path, models, Listener(), steps=2)
    with pytest.raises(DistilError, match=r"nan|inf") as caught:
        run_distil(tmp_path, models, Listener(), steps=9, lr=1e30, clip=1e30, checkpoint_every=1)
    assert "tones0/" in caught.value.message
    assert "distil.lr" in str(caught.value.hint)
    assert [path.name for path in checkpoint.listed(tmp_path / "distil")] == ["step-0000002.pt"]
    run_distil(tmp_path, models, Listener(), steps=4)
    assert checkpoint.listed(tmp_path / "distil")[-1].name == "step-0000004.pt"


def refused(models: Models, run: Path, **changes: Any) -> DistilError:
    """The error of a run that cannot begin."""
    with pytest.raises(DistilError) as caught:
        run_distil(run, models, Listener(), **changes)
    return caught.value


def test_what_does_not_fit_together_is_refused_before_the_first_step(models: Models, tmp_path: Path) -> None:
    english = tiny_checkpoint(tmp_path / "english", size=51864, layers=(1, 2))
    error = refused((english, models[1]), tmp_path / "run")
    assert isinstance(error, UsageError)
    assert "51864" in error.message
    assert "51865" in error.message
    error = refused(models, tmp_path / "run", elastic_seconds=(5.0,), cache_encoder=False)
    assert "distil.cache_teacher" in error.message
    assert not list((tmp_path / "run").rglob("*.pt"))


def test_a_checkpoint_of_other_data_is_refused(whole: tuple[Path, Heard], models: Models) -> None:
    corpus, windows = tones(9)
    options = recipe(whole[0], **WHOLE)  # type: ignore[arg-type]  # options by name
    with pytest.raises(UsageError, match=r"other inputs \(data changed since\)"):
        distil(options, student=models[1], teacher=models[0], corpus=corpus, windows=windows)


def test_a_finished_run_is_not_taken_for_one_with_other_options(
    whole: tuple[Path, Heard], models: Models
) -> None:
    student = whole[0] / "student" / "model.safetensors"
    written = student.read_bytes()
    heard = Heard()
    run_distil(whole[0], models, heard, **WHOLE | {"log_every": 5})
    assert not heard.rows
    assert student.read_bytes() == written
    error = refused(models, whole[0], **WHOLE | {"temperature": 3.0})
    assert "distil.temperature" in error.message
    assert "distil.steps" in str(error.hint)


def test_windows_of_sources_without_weight_are_no_windows(models: Models, tmp_path: Path) -> None:
    corpus, windows = tones(2)
    silent = replace(corpus, recordings=tuple(replace(one, weight=0.0) for one in corpus.recordings))
    with pytest.raises(NoInputError, match="no window"):
        distil(recipe(tmp_path), student=models[1], teacher=models[0], corpus=silent, windows=windows)


def test_the_command_distils_what_the_earlier_stages_left(
    models: Models, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = []
    for number in range(3):
        write_wave(tmp_path / f"{number}.wav", 16_000 + 4_000 * number)
        rows.append(json.dumps({"audio": f"{number}.wav", "text": "one two three", "speaker": "a"}))
    (tmp_path / "all.jsonl").write_text("\n".join(rows), encoding="utf-8")
    config = tmp_path / "recipe.toml"
    config.write_text(
        f"""
run = "{tmp_path / "run"}"
data.sources = [{{path = "{tmp_path / "all.jsonl"}"}}]
data.validation = [{{path = "{tmp_path / "all.jsonl"}", max_samples = 2}}]
teacher.model = "{models[0]}"
[distil]
steps = 2
batch_size = 2
dtype = "float32"
device = "cpu"
threads = 1
""",
        encoding="utf-8",
    )
    command = ["--config", str(config)]
    assert main(command) == 3
    assert "windows.jsonl" in capsys.readouterr().err
    options = load_distil_recipe(config)
    run = Run(options, Listener())
    assert run.validation is not None
    for name, corpus in (("windows", run.corpus), ("validation", run.validation)):
        labels = text_labels(corpus, run.tokenizer, "transcribe")
        packed = pack(corpus, labels, range(len(corpus.recordings)), options, run.tokenizer.vocab)
        write_windows(options.folder / "pack" / f"{name}.jsonl", packed)
    shutil.copytree(models[1], options.folder / "init")
    assert main(command) == 0
    assert "step 2 of 2" in capsys.readouterr().err
    assert [step for step, _ in read_metrics(options.folder / "distil" / "metrics.jsonl").validations] == [2]
    assert inspect(options.folder / "student").decoder_layers == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_disk_that_fills_up_is_a_clear_error_and_the_run_goes_on_later(
    models: Models, whole: tuple[Path, Heard], tmp_path: Path
) -> None:
    (tmp_path / "distil").mkdir()
    (tmp_path / "distil" / "step-0000004.partial").symlink_to("/dev/full")
    with pytest.raises(OutputError, match=r"no space left.*step-0000002\.pt is intact"):
        run_distil(tmp_path, models, Listener(), **WHOLE)
    run_distil(tmp_path, models, Listener(), **WHOLE)
    assert_same_end(tmp_path, whole[0])


def test_augmented_sound_is_learnt_live_and_measured_plain(models: Models, tmp_path: Path) -> None:
    corpus, windows = tones(4)
    noisy = replace(
        recipe(tmp_path, cache_encoder=False, cache_teacher=False, steps=2, validate_every=1, lr=0.0),
        augment=AugmentOptions(noise_probability=1.0),
    )
    heard = Heard()
    distil(
        noisy,
        student=models[1],
        teacher=models[0],
        corpus=corpus,
        windows=windows,
        validation=(corpus, windows),
        listener=heard,
    )
    assert heard.validations[0][1] == heard.validations[1][1]
