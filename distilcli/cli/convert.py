"""``distilcli convert``: a checkpoint in the form that another runtime reads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from distilcli.cli.flags import SWITCH, Flag, Reader, with_flags
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


_PANEL = "Options"


def _flag(name: str, text: str, metavar: str, *aliases: str) -> Flag:
    return Flag(name=name, help=text, panel=_PANEL, reader=Reader(metavar=metavar), aliases=aliases)


def _on(name: str, text: str, *aliases: str) -> Flag:
    return Flag(
        name=name, help=text, panel=_PANEL, reader=SWITCH, default=False, aliases=aliases, negative=False
    )


Model = Annotated[
    str | None,
    typer.Argument(
        metavar="MODEL",
        help="A model's name, owner/name on the Hugging Face hub, a folder of Transformers or of the "
        "trainer, a ggml file of whisper.cpp, or a .pt file of openai/whisper.",
        show_default=False,
    ),
]

FLAGS = [
    _flag("to", "One format or several; see --list.", "FORMAT[:KIND],..."),
    _flag("quantization", "Kind of the formats that name none, such as int8 or q5_0.", "KIND"),
    _flag("output", "File or folder to make; a folder for several formats.", "OUT", "-o"),
    _on("list", "Show the formats and their kinds."),
    _on("dry_run", "Show what would be made and how large; write nothing."),
    _on("no_verify", "Do not read the exports again, nor ask their runtimes."),
    _on("overwrite", "Replace what an earlier conversion wrote to OUT."),
    _flag("push_to_hub", "Upload the exports; a new repository is private.", "OWNER/NAME"),
    _on("quiet", "Warnings and errors only.", "-q"),
]


@with_flags(Model, FLAGS, default=None)
def convert(inputs: str | None, **values: Any) -> None:
    """Convert a model for CTranslate2, whisper.cpp, openai/whisper, Transformers.js, Candle or MLX, or back.

    Each export appears whole and verified, or not at all; its path is printed.
    """
    if values["list"]:
        _list()
        return
    model, output = inputs, values["output"]
    if model is None or values["to"] is None:
        raise UsageError("expected a MODEL and --to FORMAT", hint="distilcli convert --list")
    if output is None and not values["dry_run"]:
        raise UsageError("expected -o OUT, the file or folder to make", hint="distilcli convert --help")
    from distilcli.cli import convert_run

    asked = convert_run.Asked(
        model=model,
        to=values["to"],
        quantization=values["quantization"],
        output=Path(output or "export"),
        dry_run=values["dry_run"],
        verify=not values["no_verify"],
        overwrite=values["overwrite"],
        push_to_hub=values["push_to_hub"],
        quiet=values["quiet"],
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
