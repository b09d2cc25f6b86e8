"""Estimates: parameters against real models, arithmetic against counts by hand, plans of recipes."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from distilcli.errors import ModelError
from distilcli.trainer import plan
from distilcli.trainer.dry_run import describe, size_of, student_facts
from distilcli.trainer.model_facts import ModelFacts, model_facts
from distilcli.trainer.plan import Estimate, Size
from distilcli.trainer.recipe import (
    DataOptions,
    DistilRecipe,
    InitOptions,
    PackOptions,
    SourceOptions,
    TeacherOptions,
)
from tests.support.checkpoint import tiny_checkpoint
from tests.trainer.recordings import write_wave

LARGE = ModelFacts(
    width=1280,
    encoder_layers=32,
    decoder_layers=32,
    encoder_hidden=5120,
    decoder_hidden=5120,
    vocabulary=51866,
    mels=128,
)


def test_parameters_are_those_of_the_model(tmp_path: Path) -> None:
    from transformers import WhisperForConditionalGeneration

    folder = tiny_checkpoint(tmp_path / "model", layers=(2, 3))
    model = WhisperForConditionalGeneration.from_pretrained(folder)
    assert model_facts(folder).parameters == sum(value.numel() for value in model.parameters())


def test_the_published_sizes_come_out() -> None:
    assert LARGE.parameters / 1e6 == pytest.approx(1543.5, abs=0.5)  # the paper's 1550 M, table 1
    student = dataclasses.replace(LARGE, decoder_layers=2)
    assert student.parameters / 1e6 == pytest.approx(756.4, abs=0.5)  # the model card's 756 M


def test_a_folder_that_is_no_whisper_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"d_model": 8}), encoding="utf-8")
    with pytest.raises(ModelError, match="encoder_layers"):
        model_facts(tmp_path)


def test_one_token_and_one_window_cost_twice_their_weights() -> None:
    """A matrix of n numbers costs 2 n operations per position; what attention adds is counted apart."""
    layer = 4 * 1280**2 + 2 * 1280 * 5120
    attention = 4 * 1500 * 1500 * 1280
    stem = 2 * 3 * 1280 * (3000 * 128 + 1500 * 1280)
    assert LARGE.encoder_flops() == pytest.approx(32 * (2 * 1500 * layer + attention) + stem)
    one = dataclasses.replace(LARGE, decoder_layers=1)
    token = 2 * (6 * 1280**2 + 2 * 1280 * 5120) + 4 * 1500 * 1280 + 2 * 1280 * 51866
    assert one.decoder_flops(1, 0) == pytest.approx(token)
    assert one.decoder_flops(0, 1) == pytest.approx(2 * 1500 * 2 * 1280**2)


def recipe(**changes: object) -> DistilRecipe:
    options: dict[str, object] = {
        "run": "run",
        "data": DataOptions(sources=(SourceOptions(path="a.jsonl"),)),
        "teacher": TeacherOptions(model="teacher"),
    }
    return DistilRecipe(**options | changes)  # type: ignore[arg-type]  # options by name


@pytest.mark.parametrize(
    ("method", "size", "expected"),
    [
        ("none", Size(recordings=100, seconds=500.0), 100),
        ("best-fit", Size(recordings=1000, seconds=2970.0), 100),
        ("next-fit", Size(recordings=1000, seconds=2520.0), 100),
        ("best-fit", Size(recordings=3, seconds=90.0), 3),
    ],
)
def test_windows_follow_from_length_and_method(method: str, size: Size, expected: int) -> None:
    found = plan.windows_of(recipe(pack=PackOptions(method=method)), size)
    assert found == pytest.approx(expected, abs=1)


def test_caches_save_arithmetic_and_cost_disk() -> None:
    size = Size(recordings=6000, seconds=60_000.0)
    student = dataclasses.replace(LARGE, decoder_layers=2)

    def distil(**changes: object) -> Estimate:
        base = recipe()
        asked = dataclasses.replace(base, distil=dataclasses.replace(base.distil, **changes))  # type: ignore[arg-type]
        _labels, *ours = [one for one in plan.estimates(asked, size, None, LARGE, student) if one.flops]
        flops, disk = sum(one.flops for one in ours), sum(one.disk for one in ours)
        return Estimate(stage="all", what="", flops=flops, disk=disk)

    live, cached = distil(cache_encoder=False, cache_teacher=False), distil()
    assert live.flops > 5 * cached.flops
    windows = plan.windows_of(recipe(), size)
    # The encoder's states, and the teacher's with timestamps and without.
    states = windows * 1500 + 2 * 60_000 * plan.TOKENS_PER_SECOND
    assert cached.disk - live.disk == pytest.approx(states * 1280 * 2, rel=0.01)
    thawed = distil(cache_encoder=False, cache_teacher=False, freeze_encoder=False)
    assert thawed.flops > 2 * live.flops


def test_what_is_stored_ahead_is_not_work_of_training() -> None:
    student, size = dataclasses.replace(LARGE, decoder_layers=2), Size(recordings=6000, seconds=60_000.0)
    ahead = recipe()
    lazy = dataclasses.replace(ahead, distil=dataclasses.replace(ahead.distil, store_ahead=False))
    states, distil = plan.estimates(ahead, size, None, LARGE, student)[-2:]
    both = plan.estimates(lazy, size, None, LARGE, student)[-1]
    assert [one.stage for one in (states, distil, both)] == ["states", "distil", "distil"]
    assert states.flops + distil.flops == pytest.approx(both.flops)
    assert states.disk + distil.disk == pytest.approx(both.disk)
    assert "in 2.0 forms each" in states.what  # 40 epochs without prompts: with timestamps and without


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "1 s"), (59, "59 s"), (90, "1.5 min"), (5400, "1.5 h"), (200_000, "2.3 d")]
)
def test_times_in_words(seconds: float, text: str) -> None:
    assert plan.duration(seconds) == text


def test_a_source_is_counted_by_its_headers(tmp_path: Path) -> None:
    lines = []
    for number in range(4):
        write_wave(tmp_path / f"{number}.wav", 16_000 * (number + 1))
        lines.append(json.dumps({"audio": f"{number}.wav", "text": "so"}))
    (tmp_path / "all.jsonl").write_text("\n".join(lines), encoding="utf-8")
    found = size_of([SourceOptions(path=str(tmp_path / "all.jsonl"))], "en")
    assert found == Size(recordings=4, seconds=pytest.approx(10.0))
    assert size_of([SourceOptions(dataset="some/where")], "en") is None


def test_the_students_shape_follows_from_the_options() -> None:
    assert student_facts(recipe(), LARGE).decoder_layers == 2
    listed = recipe(init=InitOptions(decoder_layer_list=(0, 15, -1), encoder_layers=8))
    assert student_facts(listed, LARGE) == dataclasses.replace(LARGE, decoder_layers=3, encoder_layers=8)
    assert student_facts(recipe(init=InitOptions(student="small")), LARGE) == LARGE


def test_a_plan_names_every_stage_and_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_wave(tmp_path / "a.wav", 32_000)
    (tmp_path / "a.jsonl").write_text('{"audio": "a.wav", "text": "so"}\n', encoding="utf-8")
    teacher = tiny_checkpoint(tmp_path / "teacher", layers=(1, 2))
    before = {path for path in tmp_path.rglob("*")}
    sources = (SourceOptions(path="a.jsonl"),)
    asked = recipe(
        data=DataOptions(sources=sources, validation=sources),
        teacher=TeacherOptions(model=str(teacher)),
        init=InitOptions(decoder_layers=1),
    )
    lines = list(describe(asked))
    stages = [line.split()[0] for line in lines if "to do" in line]
    assert stages == ["label", "filter", "pack", "init", "states", "distil", "evaluate", "report"]
    assert any("5,000 steps of 16 windows" in line for line in lines)
    assert any(line.startswith("disk") for line in lines)
    assert {path for path in tmp_path.rglob("*")} == before


def test_a_plan_without_models_on_this_machine_has_no_times(tmp_path: Path) -> None:
    write_wave(tmp_path / "a.wav", 32_000)
    data = DataOptions(sources=(SourceOptions(path=str(tmp_path)),))
    absent = TeacherOptions(model="nobody/has-this-model")
    lines = list(describe(recipe(run=str(tmp_path / "run"), data=data, teacher=absent)))
    assert lines[-1].startswith("no times")
    assert sum("to do" in line for line in lines) == 7
