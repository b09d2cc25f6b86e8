"""What ``distilcli train`` does once its flags are read. Imports the trainer, which costs seconds.

It knows flags and recipes; it does not know stages.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from distilcli.cli.arguments import PROGRESS
from distilcli.cli.interrupt import Interrupted
from distilcli.cli.progress import is_live_terminal
from distilcli.errors import UsageError, closest
from distilcli.trainer.shipped import find_recipe, is_supervised
from distilcli.trainer.watch import Lines, Listener, Live


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """The flags."""

    config: str
    stage: str | None
    overrides: tuple[str, ...]
    dry_run: bool
    progress: str
    quiet: bool


def train(asked: Asked) -> Iterator[str]:
    """Does what the recipe says; yields lines for stdout: the plan, or the folder that was made.

    Raises:
        UsageError: a flag or the recipe cannot be honoured.
        Interrupted: Ctrl-C; what was finished is kept.
        DistilError: what a stage raises.
    """
    if asked.progress not in PROGRESS:
        raise UsageError(
            f"--progress must be one of {', '.join(PROGRESS)}, not '{asked.progress}'"
            f"{closest(asked.progress, PROGRESS)}"
        )
    path = find_recipe(asked.config)
    work = _supervised if is_supervised(path) else _distilled
    try:
        yield from work(path, asked)
    except KeyboardInterrupt as error:
        raise Interrupted(
            error, "; everything so far is kept, and the same command goes on from there"
        ) from error


def _supervised(path: Path, asked: Asked) -> Iterator[str]:
    """Trains from scratch; the folder of the model is beside the checkpoints."""
    from distilcli.trainer.config import load_recipe

    recipe = load_recipe(path, asked.overrides)
    if asked.stage is not None:
        raise UsageError(f"{path} trains from scratch and has no stages", hint="leave --stage out")
    if asked.dry_run:
        from distilcli.trainer.dry_run import describe_supervised

        yield from describe_supervised(recipe)
        return
    from distilcli.trainer.stages import export_supervised
    from distilcli.trainer.supervised import run_recipe

    listener = _screen(asked)
    try:
        run_recipe(recipe, lambda done, total: listener.progress("train", done, total, "steps"))
        target = Path(recipe.run) / "model"
        export_supervised(recipe, target)
    finally:
        listener.close()
    yield str(target)


def _distilled(path: Path, asked: Asked) -> Iterator[str]:
    from distilcli.trainer.recipe import load_distil_recipe

    recipe = load_distil_recipe(path, asked.overrides)
    if asked.dry_run:
        from distilcli.trainer.dry_run import describe

        yield from describe(recipe)
        return
    from distilcli.trainer.stages import run_stages
    from distilcli.trainer.watch import open_listener

    listener = open_listener(recipe, _screen(asked))
    try:
        yield str(run_stages(recipe, listener, asked.stage))
    finally:
        listener.close()


def _screen(asked: Asked) -> Listener:
    """Who shows the progress."""
    if asked.quiet:
        return Listener()
    live = asked.progress == "always" or (asked.progress == "auto" and is_live_terminal(sys.stderr))
    return Live() if live else Lines()
