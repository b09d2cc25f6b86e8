"""The command as a whole: help pages, what start-up imports, usage errors, exit codes, bugs."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from distilcli import __version__
from tests.support.cli import command, run

HEAVY = (
    *("torch", "numpy", "transformers", "ctranslate2", "av", "faster_whisper", "huggingface_hub"),
    *("tokenizers", "rich.console", "rich.progress", "platformdirs", "distilcli.pipeline"),
)


@pytest.mark.parametrize(
    "page", [["--help"], ["transcribe", "--help"], ["--version"], ["transcribe", "--nope"]]
)
def test_start_up_imports_nothing_heavy(page: list[str]) -> None:
    program = (
        "import sys\nfrom distilcli.cli.app import main\n"
        f"try: main({page!r})\n"
        f"except SystemExit: print('LOADED', sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "LOADED []"


def test_version() -> None:
    assert run("--version").stdout == f"distilcli {__version__}\n"


def test_runs_as_a_module() -> None:
    done = subprocess.run(command("--version"), capture_output=True, text=True, check=True)
    assert done.stdout == f"distilcli {__version__}\n"


def test_help_lists_the_commands() -> None:
    page = run("--help")
    assert page.code == 0
    assert all(name in page.stdout for name in ("transcribe", "models", "doctor"))


def test_help_of_transcribe_teaches() -> None:
    page = run("transcribe", "-h").stdout
    panels = ("Output:", "Model:", "Recording:", "Long recordings:", "Decoding:", "Fallback:", "Report:")
    places = [page.index(f"\n{panel}\n") for panel in (*panels, "  Examples:", "  Exit codes:")]
    assert places == sorted(places)
    assert "[default: distil-large-v3]" in page
    assert max(len(line) for line in page.splitlines()) <= 110


def test_a_console_of_another_code_page_gets_utf8() -> None:
    words, env = command("transcribe", "--help"), {**os.environ, "PYTHONIOENCODING": "ascii"}
    page = subprocess.run(words, capture_output=True, env=env, check=True).stdout
    assert "beam_size × patience" in " ".join(page.decode("utf-8").split())


def test_completion_in_a_shell() -> None:
    env = {
        "_DISTILCLI_COMPLETE": "complete_bash",
        "COMP_WORDS": "distilcli transcribe --model distil-large",
        "COMP_CWORD": "3",
    }
    offered = run(env=env).stdout.split()
    assert offered == ["distil-large-v2", "distil-large-v3", "distil-large-v3.5"]


def test_without_a_command_the_help_is_shown_as_a_usage_error() -> None:
    result = run()
    assert (result.code, result.stdout) == (2, "")
    assert result.stderr.startswith("Usage: distilcli")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["transcribe", "a.wav", "--beam_siz", "3"],
            "no such option: --beam-siz (did you mean --beam-size?)",
        ),
        (["transcribe"], "nothing to transcribe is given"),
        (["transcirbe", "a.wav"], "Did you mean 'transcribe'"),
        (["transcribe", "a.wav", "--beam-size", "many"], "--beam-size must be a whole number, not 'many'"),
        (["transcribe", "a.wav", "--beam-size", "0"], "--beam-size must be at least 1, not 0"),
        (["transcribe", "a.wav", "--task", "translat"], "not 'translat' (did you mean 'translate'?)"),
        (["transcribe", "a.wav", "-f", "sr"], "not 'sr' (did you mean 'srt'?)"),
        (["transcribe", "a.wav", "--device", "cudo"], "not 'cudo' (did you mean 'cuda'?)"),
        (["transcribe", "a.wav", "--backend", "transformer"], "(did you mean 'transformers'?)"),
        (["transcribe", "a.wav", "--compute-type", "int9"], "(did you mean 'int8'?)"),
        (["transcribe", "a.wav", "--long-form", "chunk"], "(did you mean 'chunked'?)"),
        (["transcribe", "a.wav", "--language", "germann"], "(did you mean 'german'?)"),
        (["transcribe", "a.wav", "--temperature", "hot"], "--temperature must be a number"),
        (["transcribe", "a.wav", "--suppress-tokens", "x"], "--suppress-tokens must be token ids"),
        (["transcribe", "a.wav", "--chunk-length", "31"], "--chunk-length is at most 30 seconds, not 31"),
        (["transcribe", "a.wav", "-o", "-", "-f", "all"], "-o - prints one format, and 5 are asked for"),
        (["transcribe", "a.wav", "-o", "-", "--json"], "-o - and --json both write to stdout"),
        (["transcribe", "a.wav", "--compile"], "--compile cannot be used with the ctranslate2 backend"),
        (
            ["transcribe", "a.wav", "--device", "mps"],
            "--device mps cannot be used with the ctranslate2 backend",
        ),
        (
            ["transcribe", "a.wav", "--compute-type", "int4"],
            "with the ctranslate2 backend, not 'int4'",
        ),
        (
            ["transcribe", "a.wav", "--backend", "transformers", "--assistant-model", "tiny"],
            "--assistant-model decodes greedily and cannot search with 5 beams",
        ),
        (["transcribe", "a.wav", "--fp16", "False", "--compute-type", "int8"], "say the same thing"),
    ],
)
def test_usage_errors_are_one_sentence_and_exit_2(words: list[str], message: str) -> None:
    result = run(*words)
    assert (result.code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: ")
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_an_unexpected_exception_is_called_a_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(request: object) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("distilcli.cli.run.transcribe", broken)
    result = run("transcribe", "a.wav")
    assert result.code == 1
    assert result.stderr.splitlines() == [
        "error: this is a bug in distilcli: ZeroDivisionError: division by zero",
        "hint: add --debug for the report to send",
    ]
    with pytest.raises(ZeroDivisionError):
        run("transcribe", "a.wav", "--debug")


def test_debug_shows_where_an_error_comes_from() -> None:
    done = subprocess.run(
        command("transcribe", "no.wav", "--debug"), capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert done.stderr.splitlines()[-1].endswith("NoInputError: there is no file no.wav")
