"""Device names and the number of CPU threads, as every backend reads them. Imports no runtime."""

from __future__ import annotations

import os
import re

from distilcli.errors import UsageError

DEVICES = "auto, cpu, cuda, cuda:N or mps"


def split_device(name: str) -> tuple[str, int]:
    """Kind (auto, cpu, cuda, mps) and index of a device name such as ``cuda:1``.

    Raises:
        UsageError: no such device.
    """
    found = re.fullmatch(r"(auto|cpu|mps|cuda)|cuda:(\d+)", name)
    if found is None:
        raise UsageError(f"--device must be {DEVICES}, not '{name}'")
    return found[1] or "cuda", int(found[2] or 0)


def cpu_threads(asked: int) -> int:
    """`asked`, or for 0 the number of cores that this process may use."""
    if asked < 0:
        raise UsageError(f"--threads must be 0 or more, not {asked}")
    if asked:
        return asked
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
