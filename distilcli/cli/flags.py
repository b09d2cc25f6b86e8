"""Flags as data: what a command offers, with defaults and help read from the option dataclasses.

Knows the shape of a flag and how its value is read; which flags a command has is the command's business.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Annotated, Any, TypeVar, get_type_hints

import typer

from distilcli.errors import UsageError, closest

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True, kw_only=True, slots=True)
class Reader:
    """How the value of a flag is read, shown in the help and completed.

    `kind` is the annotation that Typer reads: str, bool, ``bool | None`` or ``list[str]``. `parse` turns the
    word into the value; Typer hands it the default, too, as it is.
    """

    kind: Any = str
    parse: Callable[[Any], Any] | None = None
    metavar: str | None = None
    complete: Callable[[], Iterable[str]] | None = None


SWITCH = Reader(kind=bool)
"""A boolean, which takes no value."""

MAYBE = Reader(kind=bool | None)
"""A boolean that the model decides when it is not given."""

TEXT = Reader(metavar="TEXT")


@dataclass(frozen=True, kw_only=True, slots=True)
class Flag:
    """One option of a command. A switch with `negative` off has no ``--no-`` form."""

    name: str
    help: str
    panel: str
    reader: Reader = TEXT
    default: Any = None  # of the type that the reader reads
    aliases: tuple[str, ...] = ()
    negative: bool = True
    hidden: bool = False

    @property
    def option(self) -> str:
        """The long spelling with hyphens."""
        return spelled(self.name)

    @property
    def negation(self) -> str | None:
        """The spelling that switches a boolean off; None where there is none."""
        return "--no-" + self.option[2:] if self.is_switch and self.negative else None

    @property
    def is_switch(self) -> bool:
        """True for a boolean."""
        return self.reader in (SWITCH, MAYBE)

    def parameter(self) -> inspect.Parameter:
        """The parameter that Typer turns into this option."""
        reader, complete = self.reader, self.reader.complete
        option = typer.Option(
            f"{self.option}/{self.negation}" if self.negation else self.option,
            *self.aliases,
            help=self.help,
            metavar=reader.metavar,
            parser=reader.parse,
            rich_help_panel=self.panel,
            hidden=self.hidden,
            autocompletion=(lambda incomplete: matching(complete(), incomplete)) if complete else None,
        )
        kind: Any = Annotated[reader.kind, option]
        return inspect.Parameter(
            self.name, inspect.Parameter.KEYWORD_ONLY, default=self.default, annotation=kind
        )


def with_flags(
    inputs: Any, flags: Iterable[Flag], *, default: Any = inspect.Parameter.empty, context: bool = False
) -> Callable[[Command], Command]:
    """Give a command that takes ``(inputs, **values)`` the signature that its flags describe.

    `inputs` is the annotation of the positional arguments; with a `default` they may be left out. With
    `context` the command is handed Typer's context as well, by that name.
    """
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [
        *([inspect.Parameter("context", kind, annotation=typer.Context)] if context else []),
        inspect.Parameter("inputs", kind, default=default, annotation=inputs),
        *(flag.parameter() for flag in flags),
    ]

    def decorate(command: Command) -> Command:
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # read by inspect
        command.__annotations__ = {one.name: one.annotation for one in parameters}
        return command

    return decorate


def from_field(options: type, name: str, panel: str, reader: Reader | None = None) -> Flag:
    """The flag of a field of an option dataclass, with its default and the text under it as help."""
    field = next(one for one in dataclasses.fields(options) if one.name == name)
    return Flag(
        name=name,
        help=field_docs(sys.modules[options.__module__])[options.__name__][name],
        panel=panel,
        reader=reader or _reader(name, get_type_hints(options)[name]),
        default=field.default,
    )


def one_of(name: str, known: Iterable[str], metavar: str | None = None) -> Reader:
    """A reader of one word of a short list; others are refused with the closest."""
    words = tuple(known)

    def parse(value: str | None) -> str | None:
        if value is None or value in words:
            return value
        raise UsageError(
            f"{spelled(name)} must be one of {', '.join(words)}, not '{value}'{closest(value, words)}"
        )

    return Reader(parse=parse, metavar=metavar or "|".join(words), complete=lambda: words)


def number(name: str, kind: type[int] | type[float], none: float | None = None) -> Reader:
    """A reader of numbers that takes ``None`` too, as openai/whisper's flags do, and makes it `none`."""
    what = "a whole number" if kind is int else "a number"

    def parse(value: Any) -> float | None:  # a word, or a default as it is
        if value is None or str(value).lower() == "none":
            return none
        try:
            return kind(value)
        except ValueError:
            raise UsageError(f"{spelled(name)} must be {what}, not '{value}'") from None

    return Reader(parse=parse, metavar="N" if kind is int else "X")


def origins(context: typer.Context) -> dict[str, str]:
    """Where the value of each parameter of a command comes from: the command line, or its default."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return {
        name: "command line" if source is not None and source.name == "COMMANDLINE" else "default"
        for name, source in sources.items()
    }


def spelled(name: str) -> str:
    """The flag of a parameter: ``--beam-size`` for ``beam_size``."""
    return "--" + name.replace("_", "-")


def matching(words: Iterable[str], incomplete: str) -> list[str]:
    """The words that begin like what was typed, for shell completion."""
    return [word for word in words if word.startswith(incomplete)]


def _reader(name: str, kind: Any) -> Reader:
    """How a field of this type is read."""
    if kind in (int, int | None):
        return number(name, int)
    if kind in (float, float | None):
        return number(name, float)
    return SWITCH if kind is bool else TEXT


@cache
def field_docs(module: ModuleType) -> dict[str, dict[str, str]]:
    """The string under each field of each class of a module: class -> field -> text on one line."""
    tree = ast.parse(inspect.getsource(module))
    return {
        node.name: {
            field.target.id: " ".join(doc.value.value.split())
            for field, doc in zip(node.body, node.body[1:], strict=False)
            if isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(doc, ast.Expr)
            and isinstance(doc.value, ast.Constant)
            and isinstance(doc.value.value, str)
        }
        for node in tree.body
        if isinstance(node, ast.ClassDef)
    }
