"""The commands that a model card gives for an export."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import pytest

from distilcli.converters.checkpoint import Checkpoint, open_checkpoint
from distilcli.converters.export_card import Export, usage
from distilcli.converters.targets import TARGETS, Wanted
from tests.support.checkpoint import tiny_checkpoint

SWITCHES = {
    "ctranslate2": "condition_on_previous_text=False",
    "ggml": "--max-context 0",
    "openai": "--condition_on_previous_text False",
    "mlx": "--condition-on-previous-text False",
}
"""Format -> what its program is told so that it leaves the text of the window before out."""


@pytest.fixture(scope="module")
def distil(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    folder = tmp_path_factory.mktemp("distil")
    return open_checkpoint(tiny_checkpoint(folder, size=51864, layers=(2, 1)))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return open_checkpoint(tiny_checkpoint(tmp_path_factory.mktemp("whole"), layers=(1, 1)))


def _commands(name: str, kind: str, checkpoint: Checkpoint) -> str:
    export = Export(Wanted(TARGETS[name], kind), Path("out/mine"), 1, 1.0, None)
    return usage(export, export.path, checkpoint)


@pytest.mark.parametrize(
    ("name", "kind"), [(one.name, kind) for one in TARGETS.values() for kind in one.kinds]
)
def test_commands_can_be_copied_as_they_are(name: str, kind: str, distil: Checkpoint) -> None:
    text = _commands(name, kind, distil)
    assert "out/mine" in text or '"mine"' in text
    assert re.findall(r"\{[a-z-]*\}", text) == []
    if TARGETS[name].language == "sh":
        commands = [shlex.split(line) for line in text.splitlines() if not line.startswith("#")]
        assert all(len(words) > 2 for words in commands)
        for words in commands:
            if words[:2] == ["python", "-c"]:
                ast.parse(words[2])
    if TARGETS[name].language == "python":
        ast.parse(text)


@pytest.mark.parametrize("name", TARGETS)
def test_distil_models_hear_each_window_alone(name: str, distil: Checkpoint, whole: Checkpoint) -> None:
    kind = TARGETS[name].default_kind
    switch = SWITCHES.get(name, "previous")
    assert (switch in _commands(name, kind, distil)) == (name in SWITCHES)
    assert switch not in _commands(name, kind, whole)


def test_quantised_candle_models_get_the_names_that_its_example_asks_for(
    distil: Checkpoint, whole: Checkpoint
) -> None:
    """Candle, candle-examples/examples/whisper/main.rs: three names with the model's name in them."""
    english, multilingual = (_commands("candle", "q8_0", one) for one in (distil, whole))
    for name in ("config-tiny-en.json", "tokenizer-tiny-en.json", "model-tiny-en-q80.gguf"):
        assert f" {name}\n" in english
        assert f" {name.replace('-en', '')}\n" in multilingual
    assert "--quantized --model tiny.en " in english
    assert "--quantized --model tiny " in multilingual
    assert "quantized" not in _commands("candle", "f16", distil)
