"""Reads HTML as a strict browser would."""

from __future__ import annotations

from html.parser import HTMLParser


class Reader(HTMLParser):
    """Checks nesting, and collects tags, attributes and text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, text: str) -> None:
        self.text += text

    def references(self) -> list[str]:
        """Addresses of everything outside the page that it would load or link to."""
        found = [attributes.get(name) for _, attributes in self.tags for name in ("src", "href")]
        return [one for one in found if one and not one.startswith(("data:", "#"))]
