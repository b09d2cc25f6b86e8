"""Flags of ``distilcli transcribe`` about the journal of a run: a table."""

from __future__ import annotations

from distilcli.cli.flags import SWITCH, Flag

_PANEL = "Resuming"

JOURNAL = [
    Flag(
        name="restart",
        help="Discard what an unfinished run of this command has answered, and begin anew.",
        panel=_PANEL,
        reader=SWITCH,
        default=False,
        negative=False,
    ),
    Flag(
        name="journal",
        help="Keep a journal, so that the same command goes on where a run was stopped. "
        "None is kept of a recording on standard input.",
        panel=_PANEL,
        reader=SWITCH,
        default=True,
    ),
]
