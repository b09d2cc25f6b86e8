"""The sub-commands, loaded when they are asked for: a help page pays for one command, not for all of them.

Knows where each command lies and what it does in one line; its flags are its own business.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperGroup

from distilcli.cli import panels
from distilcli.cli.words import read_plainly

if TYPE_CHECKING:
    from distilcli.cli.flags import Flag


@dataclass(frozen=True, slots=True)
class Entry:
    """One sub-command.

    Attributes:
        summary: its line in the help of the whole.
        panels: its own help groups the options.
    """

    summary: str
    panels: bool = False


COMMANDS = {
    "transcribe": Entry("Transcribe recordings of any length.", panels=True),
    "train": Entry("Train a small Whisper by a recipe."),
    "convert": Entry("Convert a model for another runtime, or back."),
    "bench": Entry("Measure models, backends and other tools beside each other.", panels=True),
    "models": Entry("See, fetch and remove models."),
    "doctor": Entry("Check this installation."),
}
"""Name -> the command of the module of that name: a function of that name, or a Typer named ``app``."""


class Commands(TyperGroup):
    """The group of `COMMANDS`."""

    def __init__(self, **attributes: Any) -> None:  # those of a group, whose types are private to Typer
        super().__init__(**attributes)
        self.commands = _Loaded()  # type: ignore[assignment]  # nothing is ever added to it

    def get_params(self, ctx: Any) -> list[Any]:  # as above
        """All parameters, ``--help`` included."""
        return read_plainly(super().get_params(ctx))

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # as above
        """Write a line for each command without loading it."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in COMMANDS.items()])


class _Loaded(Mapping[str, Any]):  # of commands, whose type is private to Typer
    """Name -> command, imported at the first look."""

    def __getitem__(self, name: str) -> Any:
        return load(name)

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


@cache
def load(name: str) -> Any:
    """The command of this name. Raises `KeyError` where there is none."""
    entry = COMMANDS[name]
    module = _module(name)
    group = getattr(module, "app", None)
    if group is None:
        group = typer.Typer(rich_markup_mode=None, add_completion=False)
        options: dict[str, Any] = {"cls": panels.PanelCommand} if entry.panels else {}
        group.command(name, epilog=getattr(module, "EPILOG", None), **options)(getattr(module, name))
    command = typer.main.get_command(group)
    command.name = name
    return command


def flags_of(words: Sequence[str]) -> Sequence[Flag]:
    """The flags of the command that a command line names, as far as it has a table of them."""
    named = next((word for word in words if word in COMMANDS), None)
    found: Sequence[Flag] = getattr(_module(named), "FLAGS", ()) if named else ()
    return found


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"distilcli.cli.{name}")
