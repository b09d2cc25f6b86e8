"""Frozen dataclasses as JSON and back, checked field by field. Knows no particular dataclass."""

from __future__ import annotations

import dataclasses
import json
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

Value = TypeVar("Value")


def to_json(value: object) -> str:
    """One of these values on one line."""
    return json.dumps(dataclasses.asdict(value), ensure_ascii=False)  # type: ignore[call-overload]  # a dataclass


def from_json(kind: type[Value], text: str | bytes) -> Value:
    """What `to_json` wrote.

    Raises:
        ValueError: it is not JSON, or not a value of this kind.
    """
    built: Value = _build(kind, json.loads(text))
    return built


def _build(kind: Any, value: Any) -> Any:
    """`value`, as JSON has it, as the type `kind`."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is UnionType:
        (other,) = (one for one in arguments if one is not NoneType)
        return None if value is None else _build(other, value)
    if dataclasses.is_dataclass(kind):
        return _build_dataclass(kind, value)
    if origin is tuple:
        _expect(list, value)
        return tuple(_build(arguments[0], one) for one in value)
    if origin is dict:
        _expect(dict, value)
        return {name: _build(arguments[1], one) for name, one in value.items()}
    if kind is float and type(value) is int:
        return float(value)
    _expect(kind, value)
    return value


def _build_dataclass(kind: Any, value: Any) -> Any:
    _expect(dict, value)
    hints = get_type_hints(kind)
    unknown = value.keys() - hints.keys()
    if unknown:
        raise ValueError(f"{kind.__name__} has no {', '.join(sorted(unknown))}")
    try:
        return kind(**{name: _build(hints[name], one) for name, one in value.items()})
    except TypeError as error:  # a field is missing
        raise ValueError(str(error)) from error


def _expect(kind: type, value: object) -> None:
    if type(value) is not kind:
        raise ValueError(f"expected {kind.__name__}, found {type(value).__name__}")
