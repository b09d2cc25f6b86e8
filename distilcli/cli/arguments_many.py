"""Flags of ``distilcli transcribe`` for many recordings at once: a table."""

from __future__ import annotations

from distilcli.cli.flags import SWITCH, Flag, Reader, number

_PANEL = "Many recordings"

MANY = [
    Flag(
        name="recursive",
        help="Take the recordings of subfolders, too; results repeat the tree of folders.",
        panel=_PANEL,
        reader=SWITCH,
        default=False,
        negative=False,
        aliases=("-r",),
    ),
    Flag(
        name="skip_existing",
        help="Leave out recordings whose files are there in every format that is asked for.",
        panel=_PANEL,
        reader=SWITCH,
        default=False,
        negative=False,
    ),
    Flag(
        name="jobs",
        help="Recordings that are read at a time, ahead of their turn; windows share batches in any case.",
        panel=_PANEL,
        reader=number("jobs", int, none=1),
        default=2,
        aliases=("-j",),
    ),
    Flag(
        name="report",
        help="Write a JSON report: versions, hashes, options and their origin, times, memory, results.",
        panel=_PANEL,
        reader=Reader(metavar="FILE"),
    ),
]
