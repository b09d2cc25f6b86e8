"""Ctrl-C and SIGTERM: the first ends a run in order, the second at once; each has its exit code.

A backend decodes a window in one call that no signal can enter, so a thread listens for them as well.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from distilcli.errors import EXIT_INTERRUPTED, EXIT_TERMINATED, DistilError

EXIT_CODES = {int(signal.SIGINT): EXIT_INTERRUPTED, int(signal.SIGTERM): EXIT_TERMINATED}


class Terminated(KeyboardInterrupt):
    """SIGTERM; takes the way of a Ctrl-C."""


class Interrupted(DistilError):
    """The run was stopped from outside; what was finished is kept."""

    def __init__(self, cause: KeyboardInterrupt, message: str, *, hint: str | None = None) -> None:
        terminated = isinstance(cause, Terminated)
        super().__init__(f"{'terminated' if terminated else 'interrupted'}{message}", hint=hint)
        self.exit_code = EXIT_TERMINATED if terminated else EXIT_INTERRUPTED


@contextmanager
def stoppable(say: Callable[[str], None], save: Callable[[], str]) -> Iterator[None]:
    """Inside, SIGTERM raises `Terminated` in the main thread, as Ctrl-C raises `KeyboardInterrupt`.

    `say` hears at once that the run will stop. A second signal calls `save`, which returns a clause that says
    what it kept, and ends the process without waiting for the backend.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    listening, written = socket.socketpair()
    written.setblocking(False)
    handler = signal.signal(signal.SIGTERM, _terminate)
    descriptor = signal.set_wakeup_fd(written.fileno(), warn_on_full_buffer=False)
    listener = threading.Thread(target=_listen, args=(listening, say, save), daemon=True)
    listener.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(descriptor)
        signal.signal(signal.SIGTERM, handler)
        written.close()
        listener.join()


def _terminate(signum: int, frame: FrameType | None) -> NoReturn:
    raise Terminated


def _listen(signals: socket.socket, say: Callable[[str], None], save: Callable[[], str]) -> None:
    """Read signal numbers, one byte each, until the other end is closed."""
    heard = 0
    with signals:
        while number := signals.recv(1):
            if number[0] not in EXIT_CODES:
                continue
            heard += 1
            if heard == 1:
                say("stopping after this window; Ctrl-C again stops at once")
                continue
            sys.stderr.write(f"error: stopped at once{save()}\n")
            sys.stderr.flush()
            os._exit(EXIT_CODES[number[0]])
