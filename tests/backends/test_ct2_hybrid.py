"""Who encodes: CTranslate2, or PyTorch in bfloat16; how ``auto`` decides, and what it may not import."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.resources import as_file, files
from itertools import pairwise

import jiwer
import pytest
import torch

from distilcli import transcribe
from distilcli.backends import ct2, ct2_hybrid
from distilcli.backends.ct2_hybrid import HYBRID, wants_own_encoder
from distilcli.config import DecodeOptions, EngineOptions
from distilcli.errors import EnvironmentProblem
from distilcli.types import Window
from tests.support.toy import toy_ct2_folder, toy_tokens

ENGINE = EngineOptions(device="cpu", compute_type=HYBRID, threads=1)


def planted(monkeypatch: pytest.MonkeyPatch, found: float | None) -> list[float | None]:
    """Make the probe find this; what it was asked for is noted in the list."""
    asked: list[float | None] = []

    def speedup() -> float | None:
        asked.append(found)
        return found

    monkeypatch.setattr(ct2_hybrid, "speedup", speedup)
    return asked


@pytest.mark.parametrize(
    ("asked", "device", "width", "found", "own", "probed"),
    [
        ("auto", "cpu", 1280, 5.0, True, True),
        ("auto", "cpu", 768, 3.0, True, True),
        ("auto", "cpu", 1280, 2.9, False, True),  # AVX-512 with twice the units for float32
        ("auto", "cpu", 1280, 0.2, False, True),  # emulated
        ("auto", "cpu", 1280, None, False, True),  # no PyTorch
        ("auto", "cpu", 512, 7.0, False, False),  # importing PyTorch would cost more than it gains
        ("auto", "cuda", 1280, 7.0, False, False),
        ("int8", "cpu", 1280, 7.0, False, False),
        ("default", "cpu", 1280, 7.0, False, False),
        (HYBRID, "cpu", 64, 0.2, True, True),  # who asks for it gets it
        (HYBRID, "cuda", 1280, 7.0, False, False),  # a number format of CTranslate2's own
    ],
)
def test_who_encodes(
    monkeypatch: pytest.MonkeyPatch,
    asked: str,
    device: str,
    width: int,
    found: float | None,
    own: bool,
    probed: bool,
) -> None:
    calls = planted(monkeypatch, found)
    wanted, notes = wants_own_encoder(asked, device, width)
    assert (wanted, bool(notes), len(calls)) == (own, own, probed)


def test_how_it_was_decided_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    planted(monkeypatch, 5.04)
    assert wants_own_encoder("auto", "cpu", 1280)[1] == (
        "encoder in bfloat16: 5.0 times as fast as float32 here",
    )
    planted(monkeypatch, 0.96)
    (note,) = wants_own_encoder(HYBRID, "cpu", 1280)[1]
    assert note.endswith("1.0 times as fast as float32 here, which is too little: int8 is faster")


def test_without_pytorch_auto_takes_int8_and_who_asks_is_told(
    monkeypatch: pytest.MonkeyPatch, clips: dict[str, Window]
) -> None:
    planted(monkeypatch, 5.0)  # remembered from when PyTorch was there
    monkeypatch.setattr(ct2_hybrid, "NARROWEST", 64)
    monkeypatch.delitem(sys.modules, "distilcli.backends.ct2_encoder", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    backend = ct2.load(toy_ct2_folder("multi"), replace(ENGINE, compute_type="auto"))
    assert backend.capabilities.compute_type.startswith("int8_float")
    assert backend.capabilities.notes == ()
    (answer,) = backend.decode([clips["rise"]], DecodeOptions())
    assert answer.tokens == toy_tokens(backend.tokenizer, "rise")
    backend.close()
    with pytest.raises(EnvironmentProblem, match=f"--compute-type {HYBRID} needs PyTorch") as caught:
        ct2.load(toy_ct2_folder("multi"), ENGINE)
    assert caught.value.hint == "pip install torch"


def test_auto_takes_it_for_wide_models(monkeypatch: pytest.MonkeyPatch, clips: dict[str, Window]) -> None:
    planted(monkeypatch, 5.0)
    monkeypatch.setattr(ct2_hybrid, "NARROWEST", 64)  # a model of 768 would be 300 MB
    backend = ct2.load(toy_ct2_folder("multi"), replace(ENGINE, compute_type="auto"))
    assert backend.capabilities.compute_type == HYBRID
    (answer,) = backend.decode([clips["rise"]], DecodeOptions())
    assert answer.tokens == toy_tokens(backend.tokenizer, "rise")
    backend.close()


def test_threads_are_those_of_the_backend() -> None:
    for threads in (2, 1):
        ct2.load(toy_ct2_folder("multi"), replace(ENGINE, threads=threads)).close()
        assert torch.get_num_threads() == threads


def test_workers_decode_what_pytorch_encoded(loaded: Callable[..., object], clips: dict[str, Window]) -> None:
    windows = [*clips.values(), replace(clips["rise"], prompt=(1000,))]
    backend = ct2.load(toy_ct2_folder("multi"), replace(ENGINE, threads=2))
    one = loaded("ctranslate2", "multi", HYBRID)
    assert backend.decode(windows, DecodeOptions()) == one.decode(windows, DecodeOptions())
    assert backend.encoded_windows == len(clips)
    backend.close()


@pytest.mark.parametrize("chosen", ["auto", "int8", "float32"])
def test_narrow_models_import_no_pytorch(chosen: str) -> None:
    code = (
        "import sys; from pathlib import Path; from distilcli.backends import ct2; "
        "from distilcli.config import EngineOptions; "
        "ct2.load(Path(sys.argv[1]), EngineOptions(device='cpu', compute_type=sys.argv[2])); "
        "print('torch' in sys.modules)"
    )
    line = [sys.executable, "-c", code, str(toy_ct2_folder("en")), chosen]
    assert subprocess.run(line, capture_output=True, text=True, check=True).stdout == "False\n"


def test_the_demo_is_read_as_well_as_in_int8() -> None:
    assets = files("distilcli.assets")
    expected = _words((assets / "demo.txt").read_text(encoding="utf-8"))
    rates = []
    for compute_type in ("int8", HYBRID):
        with as_file(assets / "demo.mp3") as recording:
            engine = EngineOptions(device="cpu", compute_type=compute_type)
            transcript = transcribe(recording, model="nano", engine=engine)
        assert all(a.span.end <= b.span.end for a, b in pairwise(transcript.segments))
        rates.append(jiwer.wer(expected, _words(transcript.text)))
    int8, hybrid = rates
    assert hybrid <= int8 + 0.02


def _words(text: str) -> str:
    """Lower case, letters and apostrophes only."""
    return " ".join(re.findall(r"[a-z']+", text.lower()))
