"""What ``--to`` and ``--quantization`` mean."""

from __future__ import annotations

import importlib.util

import pytest

from distilcli.converters.targets import TARGETS, parse
from distilcli.errors import EnvironmentProblem, UsageError


def _read(words: str, quantization: str | None = None) -> list[str]:
    return [one.label for one in parse(words, quantization)]


@pytest.mark.parametrize(
    ("words", "quantization", "expected"),
    [
        ("ggml", None, ["ggml f16"]),
        ("ctranslate2, ggml", None, ["ctranslate2 float16", "ggml f16"]),
        ("ggml:q5_0,ggml:f32,ctranslate2", "int8", ["ggml q5_0", "ggml f32", "ctranslate2 int8"]),
        ("ggml,openai,onnx", "float16", ["ggml f16", "openai float16", "onnx fp16"]),
        ("ggml,onnx,mlx", "q8", ["ggml q8_0", "onnx q8", "mlx 8bit"]),
        ("ggml,ggml:f16", None, ["ggml f16"]),
    ],
)
def test_formats_and_kinds(words: str, quantization: str | None, expected: list[str]) -> None:
    assert _read(words, quantization) == expected


@pytest.mark.parametrize(
    ("words", "quantization", "message"),
    [
        ("gmml", None, r"no format 'gmml' \(did you mean 'ggml'\?\)"),
        ("ggml:q6_k", None, "ggml has no kind 'q6_k'.*expected f32, f16, q8_0"),
        ("openai", "int8", "openai has no kind 'int8'"),
        (" , ", None, "names no format"),
    ],
)
def test_what_is_not_there_is_named(words: str, quantization: str | None, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse(words, quantization)


def test_every_row_is_whole() -> None:
    for name, target in TARGETS.items():
        assert name == target.name
        assert target.default_kind in target.kinds
        assert importlib.util.find_spec(f"distilcli.converters.{target.module}") is not None
        assert "{path}" in target.usage or "{name}" in target.usage


@pytest.mark.parametrize("name", TARGETS)
def test_every_module_has_the_four_functions(name: str) -> None:
    for library in TARGETS[name].needs:
        pytest.importorskip(library)
    module = TARGETS[name].load()
    assert all(callable(getattr(module, one)) for one in ("predict", "warnings", "write", "read_back"))


def test_a_missing_library_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EnvironmentProblem, match="writing ggml needs gguf") as raised:
        TARGETS["ggml"].load()
    assert raised.value.hint == "pip install 'distilcli[ggml]'"
    assert "cannot be written here" in TARGETS["onnx"].missing()[0]
