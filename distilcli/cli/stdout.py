"""Standard output: data only, flushed as it comes, in the order of the inputs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from distilcli.errors import DistilError


class ReaderGone(DistilError):
    """Whoever read standard output has stopped, as ``head`` does: no error, but no reason to go on."""

    exit_code = 141  # 128 + SIGPIPE, as a shell shows a program that SIGPIPE ended


def write(text: str) -> None:
    """Print `text` and flush it.

    Raises:
        ReaderGone: the other end of the pipe is closed.
        OutputError: the device is full, or writing fails otherwise.
    """
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError as error:
        raise ReaderGone("the reader of standard output has gone away") from error
    except OSError as error:
        from distilcli.writers.atomic import output_error

        raise output_error("standard output", error) from error


class InOrder:
    """Passes on what several sources say, one source after the other in a fixed order.

    Only the source whose turn it is speaks at once; what the others say waits for their turn.
    """

    def __init__(self, sources: Sequence[str], emit: Callable[[str, str], None]) -> None:
        self._queue = list(sources)
        self._emit = emit
        self._waiting: dict[str, list[str]] = {source: [] for source in sources}
        self._finished: set[str] = set()

    def say(self, source: str, text: str) -> None:
        """Emit `text` now or, when it is not this source's turn, later."""
        if self._queue and self._queue[0] == source:
            self._emit(source, text)
        else:
            self._waiting[source].append(text)

    def finish(self, source: str) -> None:
        """Nothing more comes from `source`; let those speak whose turn has come."""
        self._finished.add(source)
        while self._queue and self._queue[0] in self._finished:
            self._queue.pop(0)
            if self._queue:
                for text in self._waiting.pop(self._queue[0]):
                    self._emit(self._queue[0], text)
                self._waiting[self._queue[0]] = []
