"""Values of flags read as our own readers read them, without Typer's Pydantic.

Its import and a schema for each of a hundred flags take longer than loading a small model. What only Pydantic
can read is left to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

_WORDS = (str, list[str])


class Plain:
    """What Typer asks for the value of one parameter; `typers` gives its own answer."""

    def __init__(self, parser: Callable[[Any], Any] | None, is_word: bool, typers: Callable[[], Any]) -> None:
        self._parser, self._is_word, self._typers = parser, is_word, typers

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """The value of the words on the command line, or of the default."""
        several = param.multiple or param.nargs == -1
        if value is None:
            return () if several else None
        if self._parser is not None and not several:
            return self._parser(value)
        if self._is_word and self._parser is None:
            return list(value) if several else value
        return self._typers().coerce(value, param=param, ctx=ctx)


def read_plainly(params: Iterable[Any]) -> list[Any]:
    """The parameters of Typer, which read plainly from now on."""
    found = list(params)
    for param in found:
        if "get_runtime_param" in vars(param):
            continue
        descriptor = param.type_descriptor
        plain = Plain(
            descriptor.parameter_info.parser, descriptor.annotation in _WORDS, param.get_runtime_param
        )
        param.get_runtime_param = lambda plain=plain: plain
    return found
