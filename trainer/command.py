"""Command lines of single stages (`python -m distilcli.trainer.…`): a recipe, overrides, errors as sentences.

It knows arguments and exit codes; it does not know stages.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from distilcli.errors import DistilError
from distilcli.trainer.recipe import DistilRecipe, load_distil_recipe
from distilcli.trainer.shipped import find_recipe


def run_with_recipe(
    description: str, stage: Callable[[DistilRecipe], object], arguments: list[str] | None = None
) -> int:
    """Runs a stage with the recipe that the command line names; returns the exit code."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--config", required=True, help="recipe (TOML), or the name of one that comes along")
    parser.add_argument(
        "--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="override one option"
    )
    parsed = parser.parse_args(arguments)
    try:
        stage(load_distil_recipe(find_recipe(parsed.config), parsed.set))
    except DistilError as error:
        sys.stderr.write(f"error: {error.message}\n")
        if error.hint:
            sys.stderr.write(f"hint: {error.hint}\n")
        return error.exit_code
    return 0
