"""Examine an installation: libraries, devices, codecs, cache, hub, bundled model. Prints nothing."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from distilcli import bundled, hub
from distilcli.errors import DistilError
from distilcli.folders import size_of
from distilcli.model_folder import inspect
from distilcli.paths import cache_dir

OK, WARN, FAIL = "ok", "warn", "fail"

DECODERS = ("mp3", "aac", "opus", "vorbis", "flac", "pcm_s16le", "amrnb", "wmav2", "alac")
"""Audio codecs that recordings come in (FFmpeg's names)."""

ROOM_FOR_A_MODEL = 4e9
"""Bytes that the largest download and its conversion take."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check; `status` is ok, warn or fail, and `hint` says what to do."""

    subject: str
    status: str
    detail: str
    hint: str | None = None


def examine() -> Iterator[Finding]:
    """Run all checks, each finding as soon as it is known."""
    for check in (_system, _libraries, _torch, _bfloat16, _ctranslate2, _codecs, _cache, _hub, _nano):
        yield from check()


def _system() -> Iterator[Finding]:
    yield Finding("python", OK, f"{platform.python_version()} in {sys.prefix}")
    yield Finding("platform", OK, f"{platform.platform()}, {os.cpu_count()} cores")


def _libraries() -> Iterator[Finding]:
    from packaging.requirements import Requirement

    try:
        yield Finding("distilcli", OK, metadata.version("distilcli"))
        wanted = [Requirement(line) for line in metadata.requires("distilcli") or []]
    except metadata.PackageNotFoundError:
        yield Finding("distilcli", FAIL, "is not installed in this Python", "pip install distilcli")
        return
    for one in wanted:
        if one.marker and not one.marker.evaluate({"extra": ""}):
            continue
        try:
            found = metadata.version(one.name)
        except metadata.PackageNotFoundError:
            yield Finding(one.name, FAIL, f"is missing; expected {one.specifier}", f"pip install '{one}'")
            continue
        fits = one.specifier.contains(found, prereleases=True)
        hint = None if fits else f"pip install '{one}'"
        yield Finding(
            one.name, OK if fits else WARN, found if fits else f"{found}; expected {one.specifier}", hint
        )


def _torch() -> Iterator[Finding]:
    try:
        import torch
    except (ImportError, OSError) as error:
        yield Finding(
            "torch devices", FAIL, f"cannot be loaded: {error}", "pip install --force-reinstall torch"
        )
        return
    found = ["cpu"]
    found += [f"cuda:{n} ({torch.cuda.get_device_name(n)})" for n in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        found.append("mps")
    yield Finding("torch devices", OK, ", ".join(found))


def _bfloat16() -> Iterator[Finding]:
    """Measured here where no run has measured it; ``auto`` decides by it."""
    from distilcli.backends.bf16_probe import speedup
    from distilcli.backends.ct2_hybrid import verdict

    found = speedup()
    if found is not None:
        yield Finding("bfloat16", OK, verdict(found))


def _ctranslate2() -> Iterator[Finding]:
    try:
        import ctranslate2
    except (ImportError, OSError) as error:
        hint = "pip install --force-reinstall ctranslate2"
        yield Finding("ctranslate2", FAIL, f"cannot be loaded: {error}", hint)
        return
    for device in ("cpu", "cuda"):
        if device == "cuda" and not ctranslate2.get_cuda_device_count():
            continue
        try:
            types = sorted(ctranslate2.get_supported_compute_types(device))
        except (RuntimeError, ValueError) as error:
            yield Finding(f"ctranslate2 {device}", WARN, f"cannot be used: {error}", "use --device cpu")
            continue
        yield Finding(f"ctranslate2 {device}", OK, ", ".join(types))


def _codecs() -> Iterator[Finding]:
    try:
        import av
    except (ImportError, OSError) as error:
        yield Finding("codecs", FAIL, f"PyAV cannot be loaded: {error}", "pip install --force-reinstall av")
        return
    missing = [name for name in DECODERS if name not in av.codecs_available]
    if missing:
        yield Finding("codecs", WARN, f"PyAV cannot decode {', '.join(missing)}", "pip install --upgrade av")
    else:
        yield Finding("codecs", OK, ", ".join(DECODERS))


def _cache() -> Iterator[Finding]:
    for subject, folder, setting in (
        ("cache", cache_dir(), "DISTILCLI_CACHE"),
        ("model cache", hub.cache_folder(), "HF_HOME"),
    ):
        there = _nearest(folder)
        free = shutil.disk_usage(there).free
        detail = f"{folder}, {size_of(folder) / 1e6:,.0f} MB used, {free / 1e9:,.1f} GB free"
        hint = f"set {setting} to another folder"
        if not os.access(there, os.W_OK):
            yield Finding(subject, FAIL, f"{detail}, but {there} cannot be written", hint)
        elif free < ROOM_FOR_A_MODEL:
            yield Finding(subject, WARN, f"{detail}: too little for a large model", hint)
        else:
            yield Finding(subject, OK, detail)


def _nearest(folder: Path) -> Path:
    """The folder, or the first of its parents that exists."""
    return next(path for path in (folder, *folder.parents) if path.exists())


def _hub() -> Iterator[Finding]:
    if hub.is_offline():
        yield Finding("hub", OK, "offline mode is on (HF_HUB_OFFLINE): only models on this machine are used")
    elif problem := hub.unreachable():
        hint = "models on this machine and --model nano work without it"
        yield Finding("hub", WARN, f"{hub.endpoint()} cannot be reached: {problem}", hint)
    else:
        yield Finding("hub", OK, f"{hub.endpoint()} answers")


def _nano() -> Iterator[Finding]:
    try:
        folder = bundled.folder_of_nano()
        inspect(folder)
    except DistilError as error:
        yield Finding("bundled model", FAIL, error.message, error.hint)
    else:
        yield Finding("bundled model", OK, f"nano in {folder}")
