"""The frame of a self-contained HTML page: style, sections, tables. Does not know what the page is about."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from importlib import resources


def page(title: str, body: Iterable[str]) -> str:
    """One HTML document without any reference to another file.

    Args:
        title: of the document, as text.
        body: sections and other blocks, HTML already.
    """
    style = resources.files("distilcli.assets").joinpath("page.css").read_text(encoding="utf-8")
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>\n{style}</style></head>\n"
        f"<body>\n{''.join(body)}</body></html>\n"
    )


def section(title: str, body: str) -> str:
    """A heading with what is under it; nothing where there is nothing."""
    return f"<section><h2>{escape(title)}</h2>\n{body}</section>\n" if body else ""


def tiles(facts: Iterable[tuple[str, str]]) -> str:
    """Figures to read at a glance: (figure, what it is), as text."""
    listing = "".join(f"<li><b>{escape(value)}</b><span>{escape(name)}</span></li>" for value, name in facts)
    return f'<ul class="tiles">{listing}</ul>\n' if listing else ""


def details(summary: str, lines: Iterable[str]) -> str:
    """Lines of text that are folded away under a summary."""
    listing = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f"<details><summary>{escape(summary)}</summary><ul>{listing}</ul></details>"


def facts(rows: Iterable[tuple[str, str]]) -> str:
    """What is known, one below the other: (what it is, text of any length)."""
    listing = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in rows)
    return f"<dl>{listing}</dl>"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; heads are text, cells are HTML already."""
    head = "".join(f"<th>{escape(one)}</th>" for one in heads)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
