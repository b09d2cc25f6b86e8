"""The rules by which tokens of two runtimes are the same, and what a child process may do."""

from __future__ import annotations

import shutil
import stat
import sys
from pathlib import Path

import pytest

from distilcli.converters.probe import MAX_TOKENS, write_demo
from distilcli.converters.runners import RUNNERS, UNFIT, ProbeAnswer, ProbeRequest
from distilcli.converters.runners.process import ProbeFailed, RuntimeUnfit, ask
from distilcli.converters.runners.sound import samples
from distilcli.converters.verify import common, judge

EOT = 100
SURE = [9.0] * 6


def _judge(found: list[int], kind: str, margins: list[float] | None = None) -> tuple[bool, str]:
    source = ProbeAnswer([1, 2, 3, 4, 5, EOT], margins or SURE)
    return judge(source, ProbeAnswer(found), kind, EOT)


@pytest.mark.parametrize("kind", ["float32", "f16", "fp16", "bfloat16", "q4_0", "int8"])
def test_equal_tokens_pass(kind: str) -> None:
    assert _judge([1, 2, 3, 4, 5, EOT], kind) == (True, "")


@pytest.mark.parametrize("kind", ["float32", "f16", "fp16", "bfloat16"])
def test_exact_kinds_may_part_only_where_the_source_is_in_doubt(kind: str) -> None:
    assert _judge([1, 2, 9, 4, 5, EOT], kind) == (False, "the tokens differ from number 3 on")
    passed, note = _judge([1, 2, 9, 8, 7], kind, [9, 9, 0.01, 9, 9, 9])
    assert passed
    assert "number 3" in note
    assert not _judge([1, 2, 9], kind, [0.01, 9, 9, 9, 9, 9])[0]  # in doubt elsewhere


def test_an_answer_that_goes_on_or_stops_is_different() -> None:
    assert not _judge([1, 2, 3, 4, 5, 6], "f16")[0]
    assert not _judge([1, 2, 3], "f16")[0]
    assert not _judge([1, 2, 3, 4, 5, EOT, 7], "f16")[0]


def test_common_tokens_keep_their_order() -> None:
    assert common([1, 2, 3, 4], [9, 1, 2, 4]) == 3
    assert common([1, 2], []) == 0


@pytest.mark.parametrize(
    ("found", "passed", "note"),
    [
        ([1, 2, 3, 9, EOT], True, ""),
        ([9, 1, 2, 3, 4, 5, EOT], True, ""),  # one token more moves all others
        ([9, 8, 7, 4, EOT], False, "expected at least 50% of the tokens"),
        ([EOT], False, "no text"),
    ],
)
def test_quantised_kinds_keep_half_of_the_tokens(found: list[int], passed: bool, note: str) -> None:
    assert _judge(found, "q5_0") == (passed, note)


def test_a_source_in_doubt_of_everything_proves_nothing_of_quantised_kinds() -> None:
    passed, note = _judge([9, 8, 7], "q4_0", [0.1] * 6)
    assert passed
    assert "tell little" in note


def test_the_probe_is_the_beginning_of_the_demo(tmp_path: Path) -> None:
    sound = samples(write_demo(tmp_path / "probe.wav"))
    assert len(sound) == 160_000
    assert 0.01 < float(abs(sound).max()) <= 1.0


@pytest.fixture
def request_of(tmp_path: Path) -> ProbeRequest:
    return ProbeRequest(write_demo(tmp_path / "probe.wav"), (1, 2), MAX_TOKENS, EOT, 80)


def test_what_a_runtime_complains_of_is_passed_on(tmp_path: Path, request_of: ProbeRequest) -> None:
    with pytest.raises(ProbeFailed, match=r"ct2 failed: .*model\.bin"):
        ask("ct2", tmp_path, request_of, 300)


def _pretend(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Let a shell script stand for the child process."""
    python = folder / "python"
    python.write_text(f"#!/bin/sh\ncat > /dev/null\n{script}\n")
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(sys, "executable", str(python))


@pytest.mark.skipif(shutil.which("sh") is None, reason="needs a shell")
@pytest.mark.parametrize(
    "case",
    [
        ("kill -SEGV $$", 300, "ct2 was killed by SIGSEGV"),
        ("sleep 60", 0.1, r"no answer within 0\.1 s"),
        ("echo hello", 300, "an answer that is none: 'hello"),
        ("echo first >&2; echo last >&2; exit 3", 300, "ct2 failed: last"),
    ],
)
def test_a_process_that_dies_is_a_failed_check(
    tmp_path: Path,
    request_of: ProbeRequest,
    monkeypatch: pytest.MonkeyPatch,
    case: tuple[str, float, str],
) -> None:
    script, seconds, message = case
    _pretend(tmp_path, monkeypatch, script)
    with pytest.raises(ProbeFailed, match=message):
        ask("ct2", tmp_path, request_of, seconds)


def test_a_runtime_that_cannot_judge_is_no_failed_check(
    tmp_path: Path, request_of: ProbeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    _pretend(tmp_path, monkeypatch, f"echo 'too old' >&2; exit {UNFIT}")
    with pytest.raises(RuntimeUnfit, match=r"^too old$"):
        ask("ct2", tmp_path, request_of, 300)


def test_every_runtime_says_how_to_install_it() -> None:
    assert all(one.install.startswith("pip install ") for one in RUNNERS.values())
