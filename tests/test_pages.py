"""The frame of pages: whole documents that need nothing else, and no markup from anybody's names."""

from __future__ import annotations

from distilcli.pages import details, page, section, table, tiles
from tests.support.html import Reader

EVIL = '<script>alert("&")</script>'


def test_a_page_is_one_well_nested_document() -> None:
    body = [section(EVIL, tiles([(EVIL, EVIL)])), details(EVIL, [EVIL]), table([EVIL], [["<b>1</b>"]])]
    text = page(EVIL, body)
    read = Reader(text)
    assert read.open == []
    assert read.references() == []
    assert "script" not in {name for name, _ in read.tags}
    assert "b" in {name for name, _ in read.tags}  # cells are HTML already
    assert text.startswith("<!doctype html>")


def test_nothing_has_no_heading() -> None:
    assert section("empty", "") == ""
    assert tiles([]) == ""
