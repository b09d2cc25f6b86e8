"""``distilcli transcribe``: recordings to text and subtitles."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from distilcli.cli.arguments import FLAGS
from distilcli.cli.flags import origins, with_flags
from distilcli.cli.request import request

INPUTS = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="INPUTS...",
        help="Audio or video files, folders, http(s) addresses, @LIST for a file with one of these per line, "
        "or - for standard input.",
        show_default=False,
    ),
]

EPILOG = """
\b
Examples:
  distilcli transcribe talk.mp3                          print the text
  distilcli transcribe talk.mp3 --srt                    write talk.srt
  distilcli transcribe *.m4a -f srt -f json -o out/      many recordings, two formats each
  distilcli transcribe calls/ -r --srt --skip-existing   a tree of folders; go on where it stopped
  distilcli transcribe film.mkv --audio-track 2 --language de --task translate --vtt
  distilcli transcribe - -f srt -o - < talk.mp3          standard input to standard output
  distilcli transcribe talk.mp3 --json | jq .            what happens, while it happens
  distilcli transcribe --live --srt                      the microphone; Ctrl-C ends it

\b
Exit codes:
  0 all done   2 usage   3 no usable input   4 some recordings failed   5 all failed
  6 model, library, network or device missing   7 a result cannot be written   8 --on-flag fail
  130 Ctrl-C, 143 SIGTERM: finished segments are in NAME.partial.EXT, and the same command goes on

Underscores and hyphens are the same in flags, and --flag True works, as in openai/whisper.
"""


@with_flags(INPUTS, FLAGS, default=None, context=True)
def transcribe(context: typer.Context, inputs: list[str] | None, **values: Any) -> None:
    """Transcribe recordings of any length.

    Without a format the text is printed as soon as it is final; with -f, or a shorthand such as --srt, files
    are written.
    """
    asked = request(inputs or (), values, origins(context))

    from distilcli.cli import run

    run.transcribe(asked)
