"""TOML files into frozen dataclasses: unknown keys refused with the closest name, all problems at once.

It knows names and types of options; it does not know what they do.
"""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
import types
import typing
from pathlib import Path

from distilcli.errors import UsageError

T = typing.TypeVar("T")


def load_options(kind: type[T], path: Path, overrides: typing.Sequence[str] = ()) -> T:
    """Reads a TOML file into the dataclass `kind`; `overrides` are `section.key=value` with TOML values.

    An item of a list is named by its number, from 0, or by its `name`: `phases.single.steps=100`.

    Raises:
        UsageError: the file cannot be read, or every mistake in it, listed with file and closest name.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read the recipe {path}: {error}") from error
    problems: list[str] = []
    for override in overrides:
        _override(table, override, problems)
    recipe = _build(kind, table, "", problems)
    if problems:
        listing = "\n  ".join(problems)
        raise UsageError(f"{path} has {len(problems)} mistake(s):\n  {listing}")
    return typing.cast(T, recipe)


def _override(table: dict[str, typing.Any], override: str, problems: list[str]) -> None:  # Any: TOML values
    """Sets one dotted key of a table."""
    key, equals, text = override.partition("=")
    try:
        value = tomllib.loads(f"value = {text}")["value"] if equals else None
    except tomllib.TOMLDecodeError:
        value = text
    if value is None:
        problems.append(f"--set {override}: expected section.key=value")
        return
    *sections, name = key.split(".")
    place: object = table
    for depth, section in enumerate(sections):
        if isinstance(place, dict):
            place.setdefault(section, {})
        found = _key(place, section)
        if found is None:
            problems.append(f"--set {override}: {_absent(place, section, sections[:depth])}")
            return
        place = typing.cast(typing.Any, place)[found]  # Any: TOML values
    last = _key(place, name)
    if last is None:
        problems.append(f"--set {override}: {_absent(place, name, sections)}")
        return
    typing.cast(typing.Any, place)[last] = value  # Any: TOML values


def _key(place: object, name: str) -> str | int | None:
    """Where `name` is: a table's key; in a list the item of that number, or the table of that name."""
    if isinstance(place, dict):
        return name
    if not isinstance(place, list):
        return None
    if name.isdigit():
        return int(name) if int(name) < len(place) else None
    return next((index for index, one in enumerate(place) if _name(one) == name), None)


def _name(item: object) -> object:
    """The name that a table gives itself."""
    return item.get("name") if isinstance(item, dict) else None


def _absent(place: object, name: str, sections: typing.Sequence[str]) -> str:
    """Says why there is no `name` in what the sections lead to."""
    where = ".".join(sections)
    if not isinstance(place, list):
        return f"{where} is {place!r} and has no keys"
    names = [str(_name(one)) for one in place if _name(one)]
    known = ", ".join([f"a number from 0 to {len(place) - 1}", *names])
    return f"{where} is a list: expected {known}; found '{name}'"


def _build(kind: type, table: object, where: str, problems: list[str]) -> object:
    """Makes a dataclass from a table, adding to `problems`; returns None where that failed."""
    if not isinstance(table, dict):
        problems.append(f"{where or 'recipe'}: expected a table, found {table!r}")
        return None
    hints = typing.get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind)}
    before = len(problems)
    for key in table.keys() - fields.keys():
        close = difflib.get_close_matches(key, fields, n=1)
        hint = f", did you mean {close[0]}?" if close else f"; known: {', '.join(fields)}"
        problems.append(f"{where}{key}: unknown key{hint}")
    for name, field in fields.items():
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and name not in table:
            problems.append(f"{where}{name}: missing")
    values = {
        key: _convert(hints[key], value, f"{where}{key}", problems)
        for key, value in table.items()
        if key in fields
    }
    if len(problems) > before:
        return None
    try:
        return kind(**values)
    except UsageError as error:
        problems.append(f"{where.rstrip('.') or 'recipe'}: {error.message}")
        return None


def _convert(hint: object, value: object, where: str, problems: list[str]) -> object:
    """Checks one value against its type; whole numbers are accepted where a float is expected."""
    if dataclasses.is_dataclass(hint):
        return _build(typing.cast(type, hint), value, f"{where}.", problems)
    if typing.get_origin(hint) is tuple:
        inner = typing.get_args(hint)
        wanted = None if inner[-1] is Ellipsis else len(inner)
        if not isinstance(value, list) or (wanted is not None and len(value) != wanted):
            problems.append(f"{where}: expected a list{f' of {wanted}' if wanted else ''}, found {value!r}")
            return None
        return tuple(_convert(inner[0], item, f"{where}[{i}]", problems) for i, item in enumerate(value))
    if isinstance(hint, types.UnionType):
        hint = next(kind for kind in typing.get_args(hint) if kind is not types.NoneType)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, typing.cast(type, hint)) or (isinstance(value, bool) and hint is not bool):
        problems.append(f"{where}: expected {getattr(hint, '__name__', hint)}, found {value!r}")
        return None
    return value
