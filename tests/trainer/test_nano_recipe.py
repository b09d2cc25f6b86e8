"""The way to nano as recipe and manual write it: its commands with less of everything, what they share."""

from __future__ import annotations

import json
import os
import re
import runpy
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

from distilcli import transcribe
from distilcli.models import resolve
from distilcli.sound_files import write_wave
from distilcli.trainer.config import load_recipe
from distilcli.trainer.recipe import load_distil_recipe
from distilcli.trainer.shipped import is_supervised, shipped_recipes
from distilcli.trainer.stages import STAGES, teacher_recipe
from tests.support.cli import run
from tests.support.toy import toy_clip, toy_folder, toy_text

ROOT = Path(__file__).parents[2]
RECIPES = shipped_recipes()
COMMANDS = [
    line.removeprefix("#   ")
    for line in RECIPES["nano"].read_text(encoding="utf-8").splitlines()
    if line.startswith("#   ")
]
VOICE = '#!/bin/sh\ncat "$(dirname "$0")/voice.wav"\n'


def of(command: str) -> list[list[str]]:
    """The arguments of every line of the recipe's header that calls a command."""
    return [shlex.split(line)[1:] for line in COMMANDS if line.startswith(command)]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the recipe's corpus commands have run: fewer sentences, and voices that sing."""
    folder = tmp_path_factory.mktemp("nano")
    sound = (toy_clip() * 32767).astype(np.int16)
    for name in ("espeak-ng", "flite"):
        program = folder / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(VOICE, encoding="utf-8")
        program.chmod(0o755)
    write_wave(folder / "bin" / "voice.wav", sound)
    (folder / "speech").mkdir()
    write_wave(folder / "speech" / "real.wav", sound)
    row = {"audio": "real.wav", "text": "THE RED HOUSE", "duration": len(sound) / 16_000}
    lines = [json.dumps(row | {"split": split}) + "\n" for split in ("train", "eval")]
    (folder / "speech" / "manifest.jsonl").write_text("".join(lines), encoding="utf-8")
    for arguments in of("scripts/make_nano_corpus"):
        at = arguments.index("--sentences") + 1
        arguments[at] = str(int(arguments[at]) // 40)
        subprocess.run(
            [sys.executable, str(ROOT / "scripts" / "make_nano_corpus"), *arguments, "--processes", "1"],
            cwd=folder,
            env=os.environ | {"PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"},
            check=True,
        )
    return folder


def rows(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_the_corpus_is_where_the_recipes_look_for_it(corpus: Path) -> None:
    nano, teacher = load_distil_recipe(RECIPES["nano"]), load_recipe(RECIPES["nano-teacher"])
    assert nano.teacher.recipe == "nano-teacher"
    assert {one.path for one in nano.data.sources} == set(teacher.data.manifests)
    assert {one.path for one in nano.data.validation} == set(teacher.data.validation)
    real, held_out = (corpus / "nano/corpus" / f"manifest-{name}.jsonl" for name in ("real", "1000"))
    for path in (*teacher.data.manifests, *teacher.data.validation):
        found = rows(corpus / path)
        assert all((corpus / path).parent.joinpath(row["audio"]).is_file() for row in found)
    assert [(row["text"], row["speaker"]) for row in rows(real)] == [("The red house.", "real")]
    assert len(rows(held_out)) == 480 // 40  # sentences with rare words are left out of the other only
    assert {row["speaker"] for row in rows(held_out)} == {"espeak:en-us", "espeak:en-us+f3", "flite:slt"}


def test_both_recipes_have_a_plan(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(corpus)
    before = sorted(corpus.rglob("*"))
    steps = sum(phase.steps for phase in load_recipe(RECIPES["nano-teacher"]).phases)
    (arguments,) = of("distilcli train")
    done = run("train", *arguments[1:], "--dry-run")
    assert done.code == 0, done.stderr
    plan = {line.split()[0]: line for line in done.stdout.splitlines()}
    made = [stage.name for stage in STAGES if stage.name != "publish"]
    assert [name for name in plan if name in made] == made
    assert f"{steps:,} steps in 9 phases" in plan["teacher"]
    assert "4 encoder and 2 decoder layers" in plan["init"]
    alone = run("train", "--config", "nano-teacher", "--dry-run")
    assert alone.code == 0, alone.stderr
    assert "4 encoder and 4 decoder layers" in alone.stdout
    assert sorted(corpus.rglob("*")) == before


def test_a_smaller_way_is_a_matter_of_overrides(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(corpus)
    overrides = ["data.sources.0.max_samples=9", 'teacher.overrides=["phases.single.steps=7"]']
    recipe = load_distil_recipe(RECIPES["nano"], overrides)
    assert recipe.data.sources[0].max_samples == 9
    teacher = teacher_recipe(recipe)
    assert (teacher.phases[0].name, teacher.phases[0].steps) == ("single", 7)


def test_the_bundled_model_has_the_shape_of_the_recipes() -> None:
    nano, teacher = load_distil_recipe(RECIPES["nano"]), load_recipe(RECIPES["nano-teacher"])
    config = json.loads((resolve("nano", "transformers").folder / "config.json").read_text(encoding="utf-8"))
    assert config["vocab_size"] == teacher.data.vocabulary_size == 51866
    assert config["num_mel_bins"] == teacher.model.mels
    assert config["d_model"] == teacher.model.width
    assert config["encoder_layers"] == teacher.model.encoder_layers
    assert config["decoder_layers"] == nano.init.decoder_layers < teacher.model.decoder_layers


def pack(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    """Runs the script in this process, which has imported what it needs."""
    script = str(ROOT / "scripts" / "pack_nano")
    monkeypatch.setattr(sys, "argv", [script, *arguments])
    runpy.run_path(script, run_name="__main__")


def test_the_student_is_packed_and_transcribes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (arguments,) = of("scripts/pack_nano")
    assert arguments[0] == f"{load_distil_recipe(RECIPES['nano']).run}/student"
    student = tmp_path / "nano" / "run" / "student"
    student.parent.mkdir(parents=True)
    student.symlink_to(toy_folder("multi"))
    pack(monkeypatch, *arguments)
    with zipfile.ZipFile(tmp_path / arguments[1]) as packed:
        packed.extractall(tmp_path / "model")
    assert json.loads((tmp_path / "model/config.json").read_text(encoding="utf-8"))["dtype"] == "float16"
    weights = load_file(tmp_path / "model" / "model.safetensors")
    assert {str(value.dtype) for value in weights.values()} == {"torch.float16"}
    write_wave(tmp_path / "rise.wav", (toy_clip() * 32767).astype(np.int16))
    found = transcribe(tmp_path / "rise.wav", model=str(tmp_path / "model"))
    assert found.text.strip() == toy_text().strip()


def test_the_manual_has_the_commands_of_the_recipe() -> None:
    manual = (ROOT / "docs" / "nano.md").read_text(encoding="utf-8")
    for command in COMMANDS:
        assert f"{command}\n" in manual, command


@pytest.mark.parametrize("page", ["nano", "training", "distillation"])
def test_the_overrides_in_the_manual_are_understood(page: str) -> None:
    manual = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    blocks = "".join(manual.split("```")[1::2]).replace("\\\n", " ")
    calls = re.findall(r"^distilcli train (?:[^'\n]|'[^']*')*", blocks, re.MULTILINE)
    understood = 0
    for words in (shlex.split(call, comments=True) for call in calls):
        path = RECIPES.get(words[words.index("--config") + 1])
        if path is None:  # a recipe of the reader's own
            continue
        overrides = [words[at + 1] for at, word in enumerate(words) if word == "--set"]
        if is_supervised(path):
            load_recipe(path, overrides)
        else:
            recipe = load_distil_recipe(path, overrides)
            if recipe.teacher.recipe:
                load_recipe(RECIPES[recipe.teacher.recipe], recipe.teacher.overrides)
        understood += 1
    assert understood


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--voices", "nobody:x"], "not installed: nobody"),
        (["--voices", "cat:x", "--manifest", "nowhere.jsonl"], "there is no file nowhere.jsonl"),
        (["--voices", "cat:x", "--sentences", "3"], "occurs fewer than --least 4 times"),
    ],
)
def test_a_corpus_that_cannot_be_made_is_refused_in_one_line(
    arguments: list[str], message: str, tmp_path: Path
) -> None:
    script = [sys.executable, str(ROOT / "scripts" / "make_nano_corpus"), "corpus", *arguments]
    done = subprocess.run(script, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert message in done.stderr.splitlines()[-1]
    assert not (tmp_path / "corpus").exists()


@pytest.mark.parametrize(
    ("target", "message"), [("out.zip", "nowhere"), ("out/nano.zip", "there is no folder out")]
)
def test_a_student_that_cannot_be_packed_is_refused_in_one_line(
    target: str,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        pack(monkeypatch, "nowhere", target)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert not list(tmp_path.iterdir())
