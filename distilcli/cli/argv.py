"""Spellings that Typer cannot read, rewritten before it parses: ``--flag True`` and a global ``--debug``.

Scripts written for openai/whisper give booleans a value; Typer would take that value for one more recording.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from distilcli.cli.flags import Flag

_LITERALS = {"true": True, "false": False}


def fold_booleans(argv: Sequence[str], flags: Iterable[Flag]) -> list[str]:
    """``--x True`` and ``--x=True`` become ``--x``; with ``False``, ``--no-x``, or nothing if there is none.

    Underscores and hyphens are the same; what follows ``--`` is left alone.
    """
    switches = {name: flag for flag in flags if flag.is_switch for name in (flag.option, *flag.aliases)}
    folded: list[str] = []
    rest = list(argv)
    while rest and rest[0] != "--":
        word = rest.pop(0)
        name, assigned, value = word.partition("=")
        flag = switches.get(name.replace("_", "-"))
        if not assigned and rest:
            value = rest[0]
        meaning = _LITERALS.get(value.lower())
        if flag is None or meaning is None:
            folded.append(word)
            continue
        if not assigned:
            rest.pop(0)
        spelling = flag.option if meaning else flag.negation
        folded += [spelling] if spelling else []
    return folded + rest


def take_debug(argv: Sequence[str]) -> tuple[bool, list[str]]:
    """Whether ``--debug`` stands anywhere before ``--``, and the other words."""
    end = list(argv).index("--") if "--" in argv else len(argv)
    options = [word for word in argv[:end] if word != "--debug"]
    return len(options) < end, [*options, *argv[end:]]
