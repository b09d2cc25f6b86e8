"""Sub-commands are loaded when they are asked for, and values of flags need no Pydantic."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from distilcli.cli.commands import COMMANDS, flags_of, load
from tests.support.cli import run

PROGRAM = """
import json, sys
from distilcli.cli.app import main
try:
    main(sys.argv[1:])
except SystemExit:
    print("\\n" + json.dumps(sorted(sys.modules)))
"""


def loaded_by(*words: str) -> set[str]:
    """Modules that a command line imports."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, *words], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(("words", "own"), [(["--help"], set()), (["doctor", "--help"], {"doctor"})])
def test_a_help_page_loads_no_other_command(words: list[str], own: set[str]) -> None:
    found = loaded_by(*words)
    assert {name for name in COMMANDS if f"distilcli.cli.{name}" in found} == own
    assert "distilcli.cli.arguments" not in found


def test_a_transcription_needs_no_pydantic_and_no_bench() -> None:
    found = loaded_by("transcribe", "nothing.wav", "--beam-size", "2", "-f", "srt", "--no-fp16")
    assert "distilcli.cli.run" in found
    assert not {"pydantic", "torch", "distilcli.bench.values"} & found


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_line_and_a_page(name: str) -> None:
    assert f"  {name}" in run("--help").stdout
    assert load(name).name == name
    assert run(name, "--help").stdout.startswith(f"Usage: distilcli {name}")


def test_flags_are_those_of_the_command_that_is_named() -> None:
    assert "--noise-kind" in [flag.option for flag in flags_of(["bench", "transcribe"])]
    assert "--beam-size" in [flag.option for flag in flags_of(["--debug", "transcribe", "bench.wav"])]
    assert flags_of(["--help"]) == flags_of(["doctor"]) == ()
