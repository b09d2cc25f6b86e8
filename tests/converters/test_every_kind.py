"""Every format in every kind: the toy models' exact sentence from the real runtime, and all tensors again."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from distilcli.converters.checkpoint import Checkpoint, open_checkpoint
from distilcli.converters.runners import RUNNERS
from distilcli.converters.targets import TARGETS
from distilcli.errors import EnvironmentProblem, ModelError
from tests.support.probes import toy_probe
from tests.support.toy import toy_folder

MODELS = ("en", "multi", "v3")
"""Toys with vocabularies of 51864, 51865 and 51866 tokens."""

TOKENIZER_BYTES = 4_000_000
"""Formats guess the size of a tokenizer's files, which is large beside a toy and small beside a model."""

SLOW = {("onnx", "fp16"): "multi"}
"""Format and kind -> the only model that it is made for, because it is traced apart from the other kinds."""


def _every() -> list[tuple[str, str, str]]:
    return [
        (model, target.name, kind)
        for model in MODELS
        for target in TARGETS.values()
        for kind in target.kinds
        if SLOW.get((target.name, kind), model) == model
    ]


@pytest.mark.parametrize(("model", "name", "kind"), _every())
def test_the_runtime_says_what_the_model_knows_by_heart(
    model: str, name: str, kind: str, tmp_path: Path
) -> None:
    target = TARGETS[name]
    for library in target.needs:
        pytest.importorskip(library)
    if name == "mlx" and kind != "f16":
        pytest.importorskip("mlx.core")
    checkpoint = open_checkpoint(toy_folder(model), values=False)
    export = tmp_path / f"export{target.single_file}"
    module = target.load()
    module.write(checkpoint, kind, export)

    compared = list(module.read_back(export, checkpoint, kind))
    assert [one for one in compared if not one.passed] == []
    assert len({one.name for one in compared}) == len(compared) >= _tensors(name, checkpoint)
    assert _size(export) == pytest.approx(module.predict(checkpoint, kind), abs=TOKENIZER_BYTES)

    if target.runtime is None:
        return
    runner = RUNNERS[target.runtime]
    pytest.importorskip(runner.package)
    request, expected = toy_probe(model, "rise", tmp_path)
    try:
        answer = importlib.import_module(runner.module).run(export, request)
    except ModelError:
        raise
    except EnvironmentProblem as problem:  # a version of the runtime that cannot read this kind, and says so
        pytest.skip(str(problem))
    assert answer.tokens == expected


def _tensors(name: str, checkpoint: Checkpoint) -> int:
    """How many a format has: some runtimes compute the encoder's positions, CTranslate2 joins projections."""
    dims = checkpoint.dims
    joined = 3 * dims.n_audio_layer + 4 * dims.n_text_layer if name == "ctranslate2" else 0
    return len(checkpoint.names()) - joined - 1


def _size(path: Path) -> int:
    files = [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]
    return sum(one.stat().st_size for one in files)
