"""What a machine is and which versions are installed, as far as they change how fast models run.

Asks the operating system; imports no library that it names.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from distilcli.bench.process import THREAD_VARIABLES
from distilcli.bench.values import Machine

LIBRARIES = (
    *("distilcli", "torch", "transformers", "ctranslate2", "av", "numpy", "tokenizers", "onnxruntime"),
    *("faster-whisper", "whisper-ctranslate2", "openai-whisper", "pywhispercpp"),
)
INSTRUCTIONS = (
    *("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx_vnni", "amx_bf16", "amx_int8"),
    *("asimd", "asimddp", "bf16", "i8mm", "sve"),
)
"""Instruction sets that decide which kernels a library picks (names of /proc/cpuinfo)."""

_VARIABLES = (
    *THREAD_VARIABLES,
    "ONEDNN_MAX_CPU_ISA",
    "CT2_FORCE_CPU_ISA",
    "CT2_USE_MKL",
    "MKL_DEBUG_CPU_TYPE",
)


def versions() -> dict[str, str]:
    """Name -> version of what is installed, Python included."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue  # not installed is what its absence says
    return found


_STOLEN = 7
"""Which of the times in /proc/stat the hypervisor gave to others."""


class Watch:
    """Looks at the machine before a bench and after it."""

    def __init__(self) -> None:
        self._load = load_average()
        self._ticks = _ticks()

    def facts(self) -> Machine:
        """The machine, with what has happened on it since the watch began."""
        ticks = [after - before for before, after in zip(self._ticks, _ticks(), strict=True)]
        passed = sum(ticks)
        return Machine(
            cpu=_cpu_name(),
            cores=os.cpu_count() or 1,
            usable_cores=usable_cores(),
            instructions=_instructions(),
            memory=memory(),
            gpus=gpus(),
            limits=_limits(),
            system=f"{platform.system()} {platform.release()} {platform.machine()}",
            load=(self._load, load_average()),
            steal=ticks[_STOLEN] / passed if passed else 0.0,
        )


def load_average() -> float:
    """Processes that wanted to run in the last minute, on average; 0 where the system does not say."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0


def usable_cores() -> int:
    """Cores that this process may use, within the quota of its container."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota()
    return max(1, min(cores, int(quota + 0.5))) if quota else cores


def memory() -> int:
    """Bytes of main memory, within the limit of the container; 0 where Python does not say (Windows)."""
    found = re.search(r"^MemTotal:\s+(\d+) kB", _text("/proc/meminfo"), re.MULTILINE)
    if found:
        total = int(found[1]) * 1024
    elif hasattr(os, "sysconf"):
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    else:
        return 0
    limit = _text("/sys/fs/cgroup/memory.max").strip()
    return min(total, int(limit)) if limit.isdigit() else total


def gpus() -> tuple[str, ...]:
    """Name, memory and driver of each NVIDIA GPU."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ()
    query = [tool, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    done = subprocess.run(query, capture_output=True, text=True, check=False, timeout=30)
    return tuple(line.strip() for line in done.stdout.splitlines() if line.strip() and not done.returncode)


def setup_of(facts: Machine, found: Mapping[str, str]) -> str:
    """One line that changes with whatever makes samples of two runs impossible to compare."""
    libraries = " ".join(f"{name}={version}" for name, version in sorted(found.items()))
    return (
        f"{facts.cpu} | {facts.usable_cores} cores | {'; '.join(facts.gpus)} | {facts.limits} | {libraries}"
    )


def _cpu_name() -> str:
    found = re.search(r"^model name\s*:\s*(.+)$", _text("/proc/cpuinfo"), re.MULTILINE)
    return found[1].strip() if found else platform.processor() or platform.machine()


def _instructions() -> tuple[str, ...]:
    found = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", _text("/proc/cpuinfo"), re.MULTILINE)
    known = set(found[1].split()) if found else set()
    return tuple(name for name in INSTRUCTIONS if name in known)


def _limits() -> dict[str, str]:
    found = {name: os.environ[name] for name in _VARIABLES if name in os.environ}
    if quota := _quota():
        found["cpu quota"] = f"{quota:g} cores"
    if hasattr(os, "sched_getaffinity"):
        found["cores allowed"] = ",".join(str(core) for core in sorted(os.sched_getaffinity(0)))
    return found


def _quota() -> float | None:
    """Cores that the container may keep busy (cgroup v2); None without a limit."""
    quota, _, period = _text("/sys/fs/cgroup/cpu.max").strip().partition(" ")
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() else None


def _ticks() -> list[int]:
    """Time of all cores since the machine was started, by kind (proc(5)); nothing where nobody counts it."""
    words = _text("/proc/stat").partition("\n")[0].split()[1:]
    return [int(word) for word in words[: _STOLEN + 1]]


def _text(path: str) -> str:
    """The content of a file of the kernel; empty where the system has no such file."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
