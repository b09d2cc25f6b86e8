"""``distilcli train``: from recordings and a teacher to a student, by a recipe."""

from __future__ import annotations

from typing import Annotated

import typer

EPILOG = """
\b
Examples:
  distilcli train --config recipe.toml                   label, filter, pack, init, distil, evaluate, report
  distilcli train --config recipe.toml --dry-run         what will be done, and what it will roughly cost
  distilcli train --config recipe.toml --stage label     one stage
  distilcli train --config recipe.toml --set distil.lr=1e-4 --set run=runs/second
  distilcli train --config nano                          a recipe that comes along
  accelerate launch -m distilcli.trainer.distill --config recipe.toml      many GPUs

\b
Interrupted or killed, the same command goes on where it stopped. docs/distillation.md explains recipes.
"""


def train(
    config: Annotated[
        str,
        typer.Option(
            "--config", "-c", metavar="RECIPE", help="A recipe (TOML), or the name of one that comes along."
        ),
    ],
    stage: Annotated[
        str | None,
        typer.Option("--stage", metavar="NAME", help="Only this stage; the ones before it must be done."),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="SECTION.KEY=VALUE", help="Override an option of the recipe; repeat for more."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the plan with sizes and rough times, and change nothing.")
    ] = False,
    progress: Annotated[
        str,
        typer.Option(
            "--progress", metavar="auto|always|never", help="Bars on a terminal and lines elsewhere."
        ),
    ] = "auto",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Errors only.")] = False,
) -> None:
    """Train a small Whisper by a recipe: from a teacher, from texts, or from nothing.

    The run's folder keeps everything that is made: labels, windows, checkpoints, the student as an ordinary
    Hugging Face folder, measurements, and report.html. Its path is printed at the end.
    """
    from distilcli.cli import train_run

    asked = train_run.Asked(
        config=config,
        stage=stage,
        overrides=tuple(overrides or ()),
        dry_run=dry_run,
        progress=progress,
        quiet=quiet,
    )
    for line in train_run.train(asked):
        typer.echo(line)
