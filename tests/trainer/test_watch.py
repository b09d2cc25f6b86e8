"""Listeners: what reaches the metrics file, the lines of a log, the screen, and other services."""

from __future__ import annotations

import importlib.util
import io
import json
import sys
from dataclasses import replace
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from distilcli.errors import EnvironmentProblem, OutputError
from distilcli.trainer import watch
from distilcli.trainer.recipe import (
    DataOptions,
    DistilRecipe,
    ReportOptions,
    SourceOptions,
    TeacherOptions,
)
from distilcli.trainer.watch import Lines, Listener, MetricsFile, Several, StepRow, read_metrics

ROW = StepRow(
    step=10,
    total=40,
    losses={"loss": 2.5, "ce": 2.0, "kl": 0.625},
    lr=1e-4,
    tokens_per_second=12_345.6,
    audio_hours=1.25,
)


def recipe(folder: Path, **report: object) -> DistilRecipe:
    return DistilRecipe(
        run=str(folder),
        data=DataOptions(sources=(SourceOptions(path="speech.jsonl"),)),
        teacher=TeacherOptions(model="teacher"),
        report=ReportOptions(**report),  # type: ignore[arg-type]  # options by name
    )


def test_a_metrics_file_gives_back_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "distil" / "metrics.jsonl"
    written = MetricsFile(path)
    written.step(ROW)
    written.validated(10, {"loss": 3.0})
    assert read_metrics(path) == watch.Metrics((ROW,), ((10, {"loss": 3.0}),))
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [10, 10]


def test_the_later_row_of_a_repeated_step_counts_and_half_a_line_does_not(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    written = MetricsFile(path)
    for step, loss in ((10, 3.0), (20, 2.0), (10, 1.0)):
        written.step(replace(ROW, step=step, losses={"loss": loss}))
    with path.open("a", encoding="utf-8") as file:
        file.write('{"step": 30, "tot')
    found = read_metrics(path)
    assert [(row.step, row.losses["loss"]) for row in found.steps] == [(10, 1.0), (20, 2.0)]


def test_a_run_that_goes_on_after_half_a_line_loses_that_line_only(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 5, "tot', encoding="utf-8")
    MetricsFile(path).step(ROW)
    assert [row.step for row in read_metrics(path).steps] == [10]


def test_no_file_is_no_metrics(tmp_path: Path) -> None:
    assert read_metrics(tmp_path / "metrics.jsonl") == watch.Metrics((), ())


def test_a_metrics_file_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.mkdir()
    with pytest.raises(OutputError, match=r"cannot write .*metrics\.jsonl"):
        MetricsFile(path).step(ROW)


def test_lines_say_losses_rate_speed_and_time_left() -> None:
    seconds = iter((100.0, 130.0))
    out = io.StringIO()
    lines = Lines(out, clock=lambda: next(seconds))
    lines.step(ROW)
    lines.step(replace(ROW, step=20))
    first, second = out.getvalue().splitlines()
    assert first.startswith("distil: step 10 of 40  loss 2.500 ce 2.000 kl 0.625 nats/token  lr 1.00e-04")
    assert "12,346 tokens/s  1.25 h of audio" in first
    assert "left" not in first  # one row says nothing about speed
    assert second.endswith("0:01:00 left")  # 10 steps in 30 s, 20 to go


def test_progress_is_said_at_every_tenth() -> None:
    out = io.StringIO()
    lines = Lines(out)
    for done in range(1, 101):
        lines.progress("label", done, 100, "recordings")
    said = out.getvalue().splitlines()
    assert len(said) == 10
    assert said[0] == "label: 10 of 100 recordings"


def test_progress_without_a_total_is_said_now_and_then() -> None:
    out = io.StringIO()
    lines = Lines(out)
    for done in range(1, 5001):
        lines.progress("corpus", done, 0, "recordings decoded")
    assert out.getvalue().splitlines()[-1] == "corpus: 4,096 recordings decoded"
    assert len(out.getvalue().splitlines()) < 8


def test_several_listeners_all_hear_everything() -> None:
    heard: list[str] = []

    class Ear(Listener):
        def __init__(self, name: str) -> None:
            self.name = name

        def stage(self, name: str, state: str) -> None:
            heard.append(f"{self.name} {name} {state}")

        def note(self, text: str) -> None:
            heard.append(f"{self.name} {text}")

        def close(self) -> None:
            heard.append(f"{self.name} closed")

    both = Several([Ear("a"), Ear("b")])
    both.stage("label", "begins")
    both.progress("label", 1, 2, "x")
    both.step(ROW)
    both.validated(1, {})
    both.note("so")
    both.close()
    assert heard == ["a label begins", "b label begins", "a so", "b so", "a closed", "b closed"]


def test_the_live_view_shows_stage_losses_and_curve(capsys: pytest.CaptureFixture[str]) -> None:
    live = watch.Live()
    live.progress("label", 5, 10, "recordings")
    live.stage("label", "done")
    live.step(ROW)
    live.step(replace(ROW, step=20, losses={"loss": 1.5, "ce": 1.0}))
    live.validated(20, {"loss": 1.75})
    live.close()
    shown = capsys.readouterr().err
    assert "validation loss 1.750 nats/token" in shown
    assert "20/40 steps" in shown
    assert "loss 1.500 ce 1.000 nats/token  █▁" in shown
    assert "12,346 tokens/s  1.25 h of audio" in shown


@pytest.mark.parametrize(
    ("values", "expected"),
    [([], ""), ([1.0], "▁"), ([8.0, 1.0], "█▁"), ([2.0, 2.0], "▁▁"), ([1.0, float("nan"), 8.0], "▁█")],
)
def test_a_sparkline_spans_lowest_to_highest(values: list[float], expected: str) -> None:
    assert watch.sparkline(values) == expected


def test_everyone_that_the_recipe_names_is_told(tmp_path: Path) -> None:
    listener = watch.open_listener(recipe(tmp_path, tensorboard=False), Listener())
    listener.step(ROW)
    listener.close()
    assert len(read_metrics(tmp_path / "distil" / "metrics.jsonl").steps) == 1


@pytest.mark.skipif(importlib.util.find_spec("wandb") is not None, reason="wandb is installed")
def test_a_service_that_is_not_installed_is_named_with_its_command(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem, match=r"report\.wandb_project needs the wandb package") as caught:
        watch.open_listener(recipe(tmp_path, wandb_project="speech"), Listener())
    assert caught.value.hint == "pip install wandb"


def test_weights_and_biases_gets_options_and_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, object, object]] = []
    run = SimpleNamespace(
        log=lambda values, step: calls.append(("log", values, step)),
        finish=lambda: calls.append(("finish", None, None)),
    )
    fake = ModuleType("wandb")
    fake.__spec__ = ModuleSpec("wandb", None)
    fake.init = lambda project, name, config: calls.append((project, name, config["run"])) or run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wandb", fake)
    asked = recipe(tmp_path / "whales", tensorboard=False, wandb_project="speech")
    listener = watch.open_listener(asked, Listener())
    listener.step(ROW)
    listener.validated(10, {"loss": 3.0})
    listener.close()
    assert calls == [
        ("speech", "whales", str(tmp_path / "whales")),
        ("log", watch.scalars(ROW), 10),
        ("log", {"validation/loss": 3.0}, 10),
        ("finish", None, None),
    ]


def test_tensorboard_gets_every_number(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    listener = watch.open_listener(recipe(tmp_path), Listener())
    listener.step(ROW)
    listener.validated(10, {"loss": 3.0})
    listener.close()
    events = EventAccumulator(str(tmp_path / "distil" / "tensorboard"))
    events.Reload()
    found = {name: events.Scalars(name)[0].value for name in events.Tags()["scalars"]}
    assert found["train/ce"] == 2.0
    assert found["validation/loss"] == 3.0
    assert set(found) == {*watch.scalars(ROW), "validation/loss"}
