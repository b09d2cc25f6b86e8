"""The guide of the command names every flag, format, event and exit code that there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from distilcli.bench.gate import MEASURES
from distilcli.cli.arguments import FLAGS
from distilcli.cli.bench import FLAGS as BENCH
from distilcli.writers import WRITERS

OTHER = {"--debug", "--help", "--model-dir", "--beam-siz", "--word-with-hyphens", "--word-with-underscores"}
"""What the guide mentions besides: global flags, flags of openai/whisper, examples."""

GUIDE = (Path(__file__).parents[2] / "docs" / "transcribe.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("flag", [flag for flag in FLAGS if not flag.hidden], ids=lambda flag: flag.option)
def test_every_flag_is_explained(flag) -> None:
    names = (flag.option, *flag.aliases)
    assert any(re.search(rf"{re.escape(name)}(?![\w-])", GUIDE) for name in names)


def test_every_flag_of_the_guide_exists() -> None:
    known = {name for flag in FLAGS for name in (flag.option, flag.negation, *flag.aliases)}
    named = {name.replace("_", "-") for name in re.findall(r"(?<![\w-])--[a-z][\w-]+", GUIDE)}
    assert named <= known | OTHER


def test_every_format_is_explained() -> None:
    assert all(f"| `{name}` |" in GUIDE for name in WRITERS)


BENCH_GUIDE = (Path(__file__).parents[2] / "docs" / "bench.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("flag", BENCH, ids=lambda flag: flag.option)
def test_every_flag_of_the_bench_is_explained(flag) -> None:
    names = [flag.option, *flag.aliases, *([flag.negation] if flag.negation else [])]
    assert all(re.search(rf"{re.escape(name)}(?![\w-])", BENCH_GUIDE) for name in names)


def test_every_measure_of_a_gate_is_named() -> None:
    assert all(f"`{name}`" in BENCH_GUIDE for name in MEASURES)
