"""The ``distilcli`` command: sub-commands, and the only place where errors become messages and codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer

from distilcli import __version__
from distilcli.cli import panels
from distilcli.cli.argv import fold_booleans, take_debug
from distilcli.cli.commands import Commands, flags_of
from distilcli.cli.stdout import ReaderGone
from distilcli.errors import EXIT_INTERRUPTED, DistilError

EXIT_BUG = 1

app = typer.Typer(
    name="distilcli",
    cls=Commands,
    rich_markup_mode=None,
    no_args_is_help=True,
    context_settings={
        "token_normalize_func": lambda word: word.replace("_", "-"),
        "help_option_names": ["-h", "--help"],
        **panels.WIDTH,
    },
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"distilcli {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show where an error comes from; works anywhere on the line.")
    ] = False,
) -> None:
    """Transcribe recordings of any length with (Distil-)Whisper."""


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit with one of the codes of `distilcli.errors`."""
    _speak_utf8()
    debug, words = take_debug(sys.argv[1:] if argv is None else argv)
    try:
        code = app(fold_booleans(words, flags_of(words)), prog_name="distilcli", standalone_mode=False) or 0
        if code == EXIT_INTERRUPTED:  # Typer turns a Ctrl-C that no command handles into this code
            _complain("interrupted", None)
    except typer.TyperException as error:
        _complain_usage(error)
        code = error.exit_code
    except ReaderGone as error:
        _drop_stdout()
        code = error.exit_code
    except DistilError as error:
        if debug:
            raise
        _complain(error.message, error.hint)
        code = error.exit_code
    except Exception as error:
        if debug:
            raise
        kind = type(error).__name__
        _complain(f"this is a bug in distilcli: {kind}: {error}", "add --debug for the report to send")
        code = EXIT_BUG
    sys.exit(code)


def _complain(message: str, hint: str | None) -> None:
    print(f"error: {message}", file=sys.stderr)
    if hint:
        print(f"hint: {hint}", file=sys.stderr, flush=True)


def _complain_usage(error: typer.TyperException) -> None:
    """Say what is wrong with a command line that Typer cannot parse, and name the closest flag."""
    if error.message.startswith("Usage:"):  # a group without a command: the message is its help page
        print(error.message, file=sys.stderr)
        return
    near = getattr(error, "possibilities", None)
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "distilcli"
    message = error.message if near else error.format_message()
    message = message[:1].lower() + message[1:].rstrip(".")
    _complain(f"{message} (did you mean {near[0]}?)" if near else message, f"{path} --help")


def _speak_utf8() -> None:
    """Print transcripts of any language, whatever the console's code page."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure") and (stream.encoding or "").lower().replace("-", "") != "utf8":
            stream.reconfigure(encoding="utf-8", errors="replace")


def _drop_stdout() -> None:
    """Send what is still buffered nowhere, so that the interpreter does not complain at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
