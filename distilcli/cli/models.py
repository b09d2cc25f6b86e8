"""``distilcli models``: what models there are, and which of them are on this machine."""

from __future__ import annotations

import json
from typing import Annotated

import typer

app = typer.Typer(
    rich_markup_mode=None,
    no_args_is_help=True,
    help="See, fetch and remove models. Transcribing fetches what it needs; these commands do it beforehand.",
)

Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="A name of 'distilcli models list', owner/name on the Hugging Face hub, or a folder.",
        show_default=False,
    ),
]
Backend = Annotated[
    str,
    typer.Option(
        "--backend", help="The backend it is for, ctranslate2 or transformers: each reads its own format."
    ),
]


@app.command("list")
def list_models(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print an array of objects with name, repositories and bytes.")
    ] = False,
) -> None:
    """Show the named models, and the size of those that are here."""
    from distilcli.inventory import local_models
    from distilcli.model_names import NANO, PUBLISHED

    found = list(local_models())
    if as_json:
        repos = {name: [one.transformers, one.ctranslate2] for name, one in PUBLISHED.items()}
        rows = [
            {"name": one.name, "repositories": repos.get(one.name, [one.name]), "bytes": one.sizes}
            for one in found
        ]
        typer.echo(json.dumps([{"name": NANO, "repositories": [], "bytes": {}}, *rows], indent=2))
        return
    typer.echo(f"{NANO:24}comes with distilcli")
    for one in found:
        here = ", ".join(f"{kind} {size / 1e6:,.0f} MB" for kind, size in one.sizes.items())
        typer.echo(f"{one.name:24}{here}".rstrip())


@app.command("download")
def download(
    name: Name,
    backend: Backend = "ctranslate2",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Download a model and print its folder.

    An interrupted download goes on where it stopped, and every file is checked. What the backend cannot
    read is converted at once, so that later runs need no network and lose no time.
    """
    from distilcli.backends.base import kept_as
    from distilcli.cli.progress import reporter
    from distilcli.config import EngineOptions
    from distilcli.models import resolve

    kept = kept_as(EngineOptions(backend=backend))
    with reporter("auto", quiet=quiet, alone=True, durations=dict) as progress:
        found = resolve(name, backend, kept_as=kept, on_event=progress.fetched)
    typer.echo(found.folder)


@app.command("path")
def path(name: Name, backend: Backend = "ctranslate2") -> None:
    """Print the folder of a model, never asking the hub."""
    from distilcli.backends.base import kept_as
    from distilcli.config import EngineOptions
    from distilcli.models import resolve

    kept = kept_as(EngineOptions(backend=backend))
    typer.echo(resolve(name, backend, kept_as=kept, offline=True).folder)


@app.command("remove")
def remove(name: Name) -> None:
    """Delete a model from the caches.

    Downloads and conversions for both backends go; other tools that share the hub's cache lose them too.
    A folder of your own is never touched: for one, only what was converted from it is deleted.
    """
    from distilcli import inventory

    freed = inventory.remove(name)
    typer.echo(f"{name}: {freed / 1e6:,.1f} MB deleted" if freed else f"{name}: nothing of it is here")
