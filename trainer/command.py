"""Command lines of single stages (`python -m distilcli.trainer.…`): a recipe, overrides, errors as sentences.

It knows arguments, launchers and exit codes; it does not know stages.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable

from distilcli.errors import DistilError, UsageError
from distilcli.trainer.recipe import DistilRecipe, load_distil_recipe
from distilcli.trainer.shipped import find_recipe

RANKS = ("RANK", "PMI_RANK", "OMPI_COMM_WORLD_RANK")
"""Who sets the number of a process: torchrun and Accelerate; Intel MPI; Open MPI."""


def refuse_half_a_launch() -> None:
    """Refuses to be the only process where several were asked for.

    `accelerate launch --num_processes 2` begins one process, without a word, on a machine that does not have
    several GPUs. It leaves a trace: the address of a first process, and no number for this one.

    Raises:
        UsageError: this has happened.
    """
    launched = "ACCELERATE_MIXED_PRECISION" in os.environ and "MASTER_ADDR" in os.environ
    if launched and not any(name in os.environ for name in RANKS):
        raise UsageError(
            "accelerate launch was asked for several processes and has begun one: without several GPUs it "
            "needs to be told more",
            hint="add --multi_gpu to accelerate launch, which works on CPUs too, or use torchrun "
            "--nproc-per-node",
        )


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
        refuse_half_a_launch()
        stage(load_distil_recipe(find_recipe(parsed.config), parsed.set))
    except DistilError as error:
        sys.stderr.write(f"error: {error.message}\n")
        if error.hint:
            sys.stderr.write(f"hint: {error.hint}\n")
        return error.exit_code
    return 0
