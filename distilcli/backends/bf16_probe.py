"""How much faster a processor multiplies in bfloat16 than in float32, measured once. Knows no model.

That a processor has bfloat16 says little: with AMX the answer is about 7, with AVX-512 alone 2 to 5, and
where bfloat16 is emulated 1 or less, down to a fifth.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import time
from pathlib import Path

from distilcli.errors import OutputError
from distilcli.paths import cache_dir
from distilcli.writers.atomic import write_atomically

_ROWS, _INPUTS, _OUTPUTS = 512, 768, 3072
"""The first layer of small's feed-forward network, over a third of a window: 2.4 GFLOP."""

_ROUNDS = 5


def speedup() -> float | None:
    """Time of a product of matrices in float32 over that in bfloat16; None where PyTorch cannot be used.

    The first answer holds for this processor and version of PyTorch, in all processes that share the cache
    folder: a run that is repeated must not decide otherwise because the machine is busy. It is that of one
    thread, so that texts do not depend on the number of threads, and threads do not wait for each other.
    """
    key = _key()
    if key is None:
        return None
    note = cache_dir() / "bfloat16" / f"{hashlib.sha256(json.dumps(key).encode()).hexdigest()[:32]}.json"
    remembered = _remembered(note)
    if remembered is not None:
        return remembered
    try:
        found = round(_measured(), 2)
    except (ImportError, OSError):  # there, and broken: as if it were not there
        return None
    # Where the cache cannot be written, the next run measures again, and nothing else is lost.
    with contextlib.suppress(OSError, OutputError):
        note.parent.mkdir(parents=True, exist_ok=True)
        earlier = _remembered(note)  # of a process that began at the same time
        if earlier is not None:
            return earlier
        write_atomically(note, json.dumps({**key, "speedup": found}) + "\n")
    return found


def _key() -> dict[str, object] | None:
    """What the answer depends on; None without PyTorch. Does not import it."""
    from importlib import metadata  # here: it costs 1 % of the cold start of narrow models, which ask nothing

    try:
        version = metadata.version("torch")
    except metadata.PackageNotFoundError:
        return None
    return {
        "processor": _processor(),
        # oneDNN, which multiplies for PyTorch, takes no newer instructions than this.
        "limit": os.environ.get("ONEDNN_MAX_CPU_ISA"),
        "torch": version,
    }


def _processor() -> str:
    """Name and instruction sets of the first core."""
    try:
        first = Path("/proc/cpuinfo").read_text(encoding="utf-8").partition("\n\n")[0]
    except OSError:  # not Linux
        return f"{platform.machine()} {platform.processor()}"
    # x86 says "model name" and "flags", ARM "CPU part" and "Features".
    wanted = ("vendor_id", "model name", "flags", "CPU implementer", "CPU part", "Features")
    lines = (line.partition(":") for line in first.splitlines())
    return ", ".join(value.strip() for name, _, value in lines if name.strip() in wanted)


def _remembered(note: Path) -> float | None:
    try:
        found = float(json.loads(note.read_text(encoding="utf-8"))["speedup"])
    except (OSError, ValueError, KeyError, TypeError):  # not there, or damaged: as if it were not there
        return None
    return found if 0 < found < 1000 else None


def _measured() -> float:
    """The shortest of some rounds of each, in turns: what else the machine does only ever adds time."""
    import torch

    def seconds(x: torch.Tensor, weight: torch.Tensor) -> float:
        begun = time.perf_counter()
        torch.nn.functional.linear(x, weight)
        return time.perf_counter() - begun

    operands = [
        (torch.ones(_ROWS, _INPUTS, dtype=dtype), torch.ones(_OUTPUTS, _INPUTS, dtype=dtype))
        for dtype in (torch.float32, torch.bfloat16)
    ]
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        rounds = [[seconds(*pair) for pair in operands] for _ in range(_ROUNDS)]
    finally:
        torch.set_num_threads(before)
    single, half = (min(times[place] for times in rounds) for place in (0, 1))
    return single / half
