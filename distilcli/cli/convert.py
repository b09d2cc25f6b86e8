"""``distilcli convert``: a checkpoint in the form that another runtime reads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from distilcli.errors import UsageError

EPILOG = """
\b
Examples:
  distilcli convert --list                                         formats, their kinds, what each needs
  distilcli convert nano --to ggml -o nano.bin                     for whisper.cpp
  distilcli convert runs/mine/student --to ctranslate2 --quantization int8 -o mine-int8
  distilcli convert runs/mine/student --to ctranslate2,ggml:q5_0,onnx:q8 -o exports
  distilcli convert ggml-small.bin --to transformers -o small      back to Hugging Face
  distilcli convert nano --to ggml,openai --dry-run                sizes and warnings; writes nothing

\b
Every export is read again and asked the same question as the checkpoint before it appears. docs/converting.md
explains formats, kinds and checks.
"""


def convert(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="MODEL",
            help="A model's name, owner/name on the Hugging Face hub, a folder of Transformers or of the "
            "trainer, a ggml file of whisper.cpp, or a .pt file of openai/whisper.",
            show_default=False,
        ),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="FORMAT[:KIND],...", help="One format or several; see --list."),
    ] = None,
    quantization: Annotated[
        str | None,
        typer.Option(
            "--quantization", metavar="KIND", help="Kind of the formats that name none, such as int8 or q5_0."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="OUT", help="File or folder to make; a folder for several formats."
        ),
    ] = None,
    list_formats: Annotated[bool, typer.Option("--list", help="Show the formats and their kinds.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be made and how large; write nothing.")
    ] = False,
    no_verify: Annotated[
        bool, typer.Option("--no-verify", help="Do not read the exports again, nor ask their runtimes.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace what an earlier conversion wrote to OUT.")
    ] = False,
    push_to_hub: Annotated[
        str | None,
        typer.Option(
            "--push-to-hub", metavar="OWNER/NAME", help="Upload the exports; a new repository is private."
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Warnings and errors only.")] = False,
) -> None:
    """Convert a model for CTranslate2, whisper.cpp, openai/whisper, Transformers.js, Candle or MLX, or back.

    Each export appears whole and verified, or not at all; its path is printed.
    """
    if list_formats:
        _list()
        return
    if model is None or to is None:
        raise UsageError("expected a MODEL and --to FORMAT", hint="distilcli convert --list")
    if output is None and not dry_run:
        raise UsageError("expected -o OUT, the file or folder to make", hint="distilcli convert --help")
    from distilcli.cli import convert_run

    asked = convert_run.Asked(
        model=model,
        to=to,
        quantization=quantization,
        output=output or Path("export"),
        dry_run=dry_run,
        verify=not no_verify,
        overwrite=overwrite,
        push_to_hub=push_to_hub,
        quiet=quiet,
    )
    for line in convert_run.convert(asked):
        typer.echo(line)


def _list() -> None:
    from distilcli.converters.targets import TARGETS

    for one in TARGETS.values():
        typer.echo(f"{one.name:14}{one.purpose}")
        kinds = (f"{kind} (default)" if kind == one.default_kind else kind for kind in one.kinds)
        typer.echo(f"{'':14}{', '.join(kinds)}")
        for line in one.missing():
            typer.echo(f"{'':14}{line}")
