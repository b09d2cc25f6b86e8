"""The probe of bfloat16: measured once, remembered for what the answer depends on."""

from __future__ import annotations

import json
import sys
from importlib import metadata
from pathlib import Path

import pytest
import torch

from distilcli.backends import bf16_probe
from distilcli.backends.bf16_probe import speedup


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DISTILCLI_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    return tmp_path / "cache" / "bfloat16"


@pytest.fixture
def products(monkeypatch: pytest.MonkeyPatch) -> list[torch.dtype]:
    """Number formats of what is multiplied, on a clock by which bfloat16 is four times as fast."""
    seen: list[torch.dtype] = []
    now = 0.0

    def multiply(x: torch.Tensor, weight: torch.Tensor) -> None:
        nonlocal now
        seen.append(x.dtype)
        now += 1.0 if x.dtype == torch.bfloat16 else 4.0

    monkeypatch.setattr(torch.nn.functional, "linear", multiply)
    monkeypatch.setattr(bf16_probe.time, "perf_counter", lambda: now)
    return seen


def test_the_ratio_of_the_times(cache: Path, products: list[torch.dtype]) -> None:
    threads = torch.get_num_threads()
    assert speedup() == 4.0
    assert products.count(torch.float32) == products.count(torch.bfloat16)
    assert products[0] != products[1]  # in turns
    assert torch.get_num_threads() == threads


def test_a_second_call_measures_nothing(cache: Path, products: list[torch.dtype]) -> None:
    assert speedup() == 4.0
    before = len(products)
    assert speedup() == 4.0
    assert len(products) == before
    assert len(list(cache.iterdir())) == 1


@pytest.mark.parametrize("changed", ["limit", "version", "processor"])
def test_what_the_answer_depends_on(
    cache: Path, products: list[torch.dtype], monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    speedup()
    before = len(products)
    if changed == "limit":
        monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    elif changed == "version":
        monkeypatch.setattr(metadata, "version", lambda name: "2.99")
    else:
        monkeypatch.setattr(bf16_probe, "_processor", lambda: "another")
    speedup()
    assert len(products) == 2 * before
    assert len(list(cache.iterdir())) == 2


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"speedup": "fast"}', '{"speedup": NaN}', '{"speedup": -1}', "\0\xff"]
)
def test_a_damaged_note_is_written_anew(cache: Path, products: list[torch.dtype], content: str) -> None:
    speedup()
    (note,) = cache.iterdir()
    note.write_text(content, encoding="latin-1")
    before = len(products)
    assert speedup() == 4.0
    assert len(products) == 2 * before
    assert json.loads(note.read_text())["speedup"] == 4.0


def test_the_first_of_two_processes_is_right(
    cache: Path, products: list[torch.dtype], monkeypatch: pytest.MonkeyPatch
) -> None:
    speedup()
    (note,) = cache.iterdir()
    first = note.read_text()
    note.unlink()
    multiply = torch.nn.functional.linear

    def meanwhile(x: torch.Tensor, weight: torch.Tensor) -> None:
        note.write_text(first.replace("4.0", "3.5"))
        multiply(x, weight)

    monkeypatch.setattr(torch.nn.functional, "linear", meanwhile)
    assert speedup() == 3.5


def test_a_cache_that_cannot_be_written_costs_nothing_else(cache: Path, products: list[torch.dtype]) -> None:
    cache.parent.parent.mkdir(exist_ok=True)
    cache.parent.write_text("a file where a folder should be")
    assert speedup() == 4.0


def test_without_pytorch_there_is_no_answer(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)  # there, and cannot be imported
    assert speedup() is None

    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    assert speedup() is None
    assert not cache.exists()
