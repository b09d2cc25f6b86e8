"""How much memory a process has taken, main memory and that of a GPU. Knows no model."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path


def peak_rss() -> int:
    """Most bytes of main memory that this process, or one child that has ended, has held at once.

    0 on Windows, whose Python does not say.
    """
    try:
        import resource
    except ImportError:
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    children = unit * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    own = _high_water_mark() or unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return max(own, children)


def _high_water_mark() -> int | None:
    """Linux: the peak since this program began; `ru_maxrss` keeps that of the process that started it."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return None
    found = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def cpu_seconds() -> float:
    """User and system time of this process and of its children that have ended."""
    children = os.times()
    return time.process_time() + children.children_user + children.children_system


def gpu_bytes() -> int | None:
    """Bytes of GPU memory that this process holds; allocators keep what they had at their peak.

    Where the driver does not tell this process from others, as in some containers, only what PyTorch holds.
    None without a GPU, or where neither can say.
    """
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    query = [tool, "--query-compute-apps=pid,used_memory", "--format=csv,noheader,nounits"]
    done = subprocess.run(query, capture_output=True, text=True, check=False, timeout=30)
    rows = (line.split(",") for line in done.stdout.splitlines() if line.count(",") == 1)
    found = [int(used) for pid, used in rows if pid.strip() == str(os.getpid()) and used.strip().isdigit()]
    return sum(found) * 2**20 if found else _torch_bytes()


def _torch_bytes() -> int | None:
    """Peak of PyTorch's allocator, if somebody has imported PyTorch and used a GPU."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return None
    return int(torch.cuda.max_memory_reserved())
