"""The supervised loop end to end: it learns, it resumes bit for bit after kill -9, it says what is wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from distilcli import trainer
from distilcli.model_folder import inspect
from distilcli.trainer import checkpoint, supervised
from distilcli.trainer.config import load_recipe
from tests.support.cli import run
from tests.trainer.recordings import ROOT, smoke_corpus

SMOKE = Path(trainer.__file__).parent / "recipes" / "smoke.toml"
TINY = """
run = "run"
[data]
manifests = ["corpus/train.jsonl"]
[model]
width = 64
heads = 1
encoder_layers = 1
decoder_layers = 1
mels = 80
dropout = 0.1
[train]
dtype = "float32"
optimizer = "muon"
warmup = 2
log_every = 1
checkpoint_every = 3
keep_checkpoints = 9
[[phases]]
name = "single"
steps = 4
batch_seconds = 4.0
guide = [1.0, 1.0]
ctc = [1.0, 0.5]
[[phases]]
name = "several"
steps = 6
batch_seconds = 6.0
min_seconds = 1.0
max_seconds = 3.0
noise = 0.5
cut = 0.5
previous = 0.5
"""


def test_the_smoke_recipe_learns_and_reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    smoke_corpus(tmp_path / "smoke" / "corpus")
    assert supervised.main(["--config", str(SMOKE)]) == 0
    rows = [json.loads(line) for line in (tmp_path / "smoke/run/metrics.jsonl").read_text().splitlines()]
    singles = [row["cross_entropy"] for row in rows if row["phase"] == "single"]
    assert singles[-1] < 0.35 * singles[0]
    letters = [row["ctc"] for row in rows if row["phase"] == "single"]
    assert letters[-1] < 0.35 * letters[0]
    assert [row["step"] for row in rows if "validation" in row] == [50, 100, 130]
    assert checkpoint.listed(tmp_path / "smoke" / "run")[-1].name == "step-0000130.pt"


def prepared(folder: Path) -> Path:
    """Writes the tiny recipe and its recordings."""
    smoke_corpus(folder / "corpus", sentences=30)
    path = folder / "recipe.toml"
    path.write_text(TINY, encoding="utf-8")
    return path


def test_a_killed_run_ends_with_the_same_bits_as_an_uninterrupted_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = prepared(tmp_path)
    whole = supervised.run_recipe(load_recipe(recipe, ["run=whole"]))

    command = [
        sys.executable,
        "-m",
        "distilcli.trainer.supervised",
        "--config",
        str(recipe),
        "--set",
        "run=killed",
    ]
    process = subprocess.Popen(command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)})
    killed = tmp_path / "killed"
    deadline = time.monotonic() + 120
    while not checkpoint.listed(killed) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert checkpoint.listed(killed)
    resumed = supervised.run_recipe(load_recipe(recipe, ["run=killed"]))

    assert resumed.step == whole.step == 10
    expected = whole.network.state_dict()
    for name, value in resumed.network.state_dict().items():
        assert torch.equal(value, expected[name]), name


@pytest.mark.parametrize("step", [3, 6])
def test_going_on_from_any_checkpoint_gives_the_same_bits(
    step: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = prepared(tmp_path)
    whole = supervised.run_recipe(load_recipe(recipe, ["run=whole"]))
    part = tmp_path / "part"
    part.mkdir()
    (tmp_path / "whole" / f"step-{step:07d}.pt").rename(part / f"step-{step:07d}.pt")
    heard: list[tuple[int, int]] = []
    resumed = supervised.run_recipe(load_recipe(recipe, ["run=part"]), lambda *one: heard.append(one))
    assert heard == [(number, 10) for number in range(step + 1, 11)]
    for mine, theirs in zip(resumed.network.parameters(), whole.network.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_accumulated_gradients_weigh_every_token_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = prepared(tmp_path)
    settings = [
        "model.dropout=0.0",
        "run=sum",
        "train.accumulate=3",
        'phases=[{name="a",steps=1,batch_seconds=4.0}]',
    ]
    first = supervised.prepare(load_recipe(recipe, settings))
    twin = supervised.prepare(load_recipe(recipe, settings))
    sums = first.train_step()
    batches = [supervised.make_batch(twin.next_plans(), twin.bank, twin.vocabulary, 80) for _ in range(3)]
    phase = twin.recipe.phases[0]
    parts = [twin.losses(batch, phase, 0.0) for batch in batches]
    nats, tokens = sum(float(part[0].detach()) for part in parts), sum(part[3] for part in parts)
    assert sums.tokens == tokens
    assert sums.cross_entropy == pytest.approx(nats / tokens, rel=1e-5)


def test_the_command_tells_how_far_it_is_and_leaves_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ("train", "--config", prepared(tmp_path), "--set", "phases.several.steps=1")
    done = run(*words, "--set", "phases.single.steps=1")
    assert done.code == 0, done.stderr
    assert done.stderr.splitlines() == ["train: 1 of 2 steps", "train: 2 of 2 steps"]
    assert done.stdout.splitlines() == ["run/model"]
    assert inspect(tmp_path / "run" / "model").decoder_layers == 1


def test_new_recordings_get_rows_that_start_as_the_shared_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = prepared(tmp_path)
    before = supervised.run_recipe(load_recipe(recipe, ["run=grown"]))
    lines = (tmp_path / "corpus/train.jsonl").read_text().splitlines()
    (tmp_path / "corpus/more.jsonl").write_text(lines[0].replace('"text": "', '"text": "Elephant '))
    after = supervised.prepare(
        load_recipe(recipe, ["run=grown", 'data.manifests=["corpus/train.jsonl", "corpus/more.jsonl"]'])
    )
    added = sorted(set(after.vocabulary.kept) - set(before.vocabulary.kept))
    assert added
    row = int(after.vocabulary.compress(torch.tensor(added[0])))
    assert torch.allclose(after.network.rows[row], before.network.rows[-1])
    assert after.step == before.step


@pytest.mark.parametrize(
    ("settings", "code", "message"),
    [
        (['data.manifests=["nowhere.jsonl"]'], 3, "nowhere.jsonl"),
        (["train.lr=1e9", "train.clip=1e9", 'train.optimizer="adamw"', "train.warmup=1"], 1, "not finite"),
        (["train.sped=1"], 2, "unknown key"),
    ],
)
def test_mistakes_end_with_a_message_and_a_code(
    settings: list[str],
    code: int,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = prepared(tmp_path)
    arguments = [part for setting in settings for part in ("--set", setting)]
    assert supervised.main(["--config", str(recipe), *arguments]) == code
    assert message in capsys.readouterr().err
