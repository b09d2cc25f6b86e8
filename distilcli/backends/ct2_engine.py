"""How CTranslate2 is started: device, number format, checks of a folder, and its exceptions in our words.

Knows no windows and no decoding.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import ctranslate2
import numpy as np
from ctranslate2.models import Whisper
from numpy.typing import NDArray

from distilcli.backends.ct2_hybrid import HYBRID
from distilcli.backends.device import split_device
from distilcli.config import EngineOptions
from distilcli.errors import DistilError, EnvironmentProblem, ModelError, OutOfMemory, UsageError
from distilcli.tokens import Tokenizer

AUTO = {"cpu": ("int8", "float32"), "cuda": ("float16", "float32")}
"""What ``auto`` tries, best first."""


def kept_as(options: EngineOptions) -> str | None:
    """``int8`` where a processor computes in 8 bits: CTranslate2 would round the weights at each start."""
    rounded = options.compute_type in ("auto", "int8", "int8_float32") and pick_device(options)[0] == "cpu"
    return "int8" if rounded and "int8" in ctranslate2.get_supported_compute_types("cpu") else None


def storage(array: NDArray[np.float32]) -> ctranslate2.StorageView:
    """The array as CTranslate2 sees it; shares memory where it can."""
    return ctranslate2.StorageView.from_array(np.ascontiguousarray(array))


def start_typed(
    start: Callable[[str], Whisper], device: str, index: int, asked: str
) -> tuple[Whisper, tuple[str, ...]]:
    """The model in the number format that was asked for, and remarks on how ``auto`` was decided."""
    if asked == "auto":
        return first_that_works(start, AUTO[device])
    supported = ctranslate2.get_supported_compute_types(device, index)
    if asked != "default" and asked not in supported:
        usable = sorted({*supported, HYBRID} if device == "cpu" else supported)
        raise UsageError(
            f"--compute-type {asked} is not supported on this {device}: expected one of {', '.join(usable)}",
            hint="leave --compute-type out to have the fastest one chosen",
        )
    return start(asked), ()


def first_that_works(
    start: Callable[[str], Whisper], compute_types: Sequence[str]
) -> tuple[Whisper, tuple[str, ...]]:
    """Start the model in the first number format that encodes a second of silence, with a remark per failure.

    Raises:
        DistilError: what the last format failed with.
    """
    *others, last = compute_types
    notes: list[str] = []
    for compute_type in others:
        try:
            model = start(compute_type)
            output = model.encode(storage(np.zeros((1, model.n_mels, 100), np.float32)), to_cpu=True)
            if np.isfinite(np.asarray(output.to(ctranslate2.DataType.float32))).all():
                return model, tuple(notes)
            reason = "its results are not finite"
        except ModelError:
            raise
        except (EnvironmentProblem, RuntimeError, ValueError) as error:
            reason = str(error)
        notes.append(f"compute type {compute_type} does not work here ({reason}): trying the next one")
    return start(last), (*notes, *([f"compute type {last} chosen"] if notes else []))


def pick_device(options: EngineOptions) -> tuple[str, int]:
    """Kind (cpu or cuda) and index of the device.

    Raises:
        UsageError: no such device, or not one of CTranslate2's.
        EnvironmentProblem: this machine has no such device.
    """
    device, index = split_device(options.device)
    if device == "mps":
        raise UsageError(
            "--device mps cannot be used with the ctranslate2 backend", hint="add --backend transformers"
        )
    found = ctranslate2.get_cuda_device_count() if device != "cpu" else 0
    if device == "auto":
        return ("cuda" if found else "cpu"), 0
    if device == "cuda" and index >= found:
        raise EnvironmentProblem(
            f"--device {options.device} needs CUDA device {index}, and this machine has {found}",
            hint="use --device cpu",
        )
    return device, index


def check_vocabulary(folder: Path, tokenizer: Tokenizer) -> None:
    """Compare the tokenizer with the converter's word list: JSON, or in older folders one token a line."""
    found = None
    for name, count in (("vocabulary.json", lambda text: len(json.loads(text))), ("vocabulary.txt", _lines)):
        path = folder / name
        if path.is_file():
            try:
                found = count(path.read_text(encoding="utf-8"))
            except ValueError as error:
                raise ModelError(f"{path} cannot be read: {error}") from error
            break
    if found is None:
        raise ModelError(f"the model folder {folder} has no vocabulary.json: it is not in CTranslate2 format")
    if found != tokenizer.vocab.size:
        raise ModelError(
            f"the model in {folder} has {found} tokens, but its tokenizer.json has {tokenizer.vocab.size}"
        )


def _lines(text: str) -> int:
    return text.count("\n")


_NO_CUDA = "use --device cpu, or install the CUDA libraries that CTranslate2 needs"

_PROBLEMS: tuple[tuple[str, type[DistilError], str, str | None], ...] = (
    ("out of memory", OutOfMemory, "the device has not enough memory", "use a smaller --batch-size"),
    ("compute type", EnvironmentProblem, "the device lacks a number format", "leave --compute-type out"),
    ("cuda", EnvironmentProblem, "CUDA cannot be used", _NO_CUDA),
    ("cublas", EnvironmentProblem, "a CUDA library is missing", _NO_CUDA),
    ("cudnn", EnvironmentProblem, "a CUDA library is missing", _NO_CUDA),
)
"""A part of CTranslate2's message -> error class, what it means, hint."""


@contextmanager
def translated(folder: Path) -> Iterator[None]:
    """Turn CTranslate2's exceptions into ours: it raises RuntimeError and ValueError for everything."""
    try:
        yield
    except (RuntimeError, ValueError) as error:
        message = str(error)
        for part, kind, meaning, hint in _PROBLEMS:
            if part in message.lower():
                raise kind(f"{meaning}: {message}", hint=hint) from error
        raise ModelError(
            f"CTranslate2 cannot use the model in {folder}: {message}",
            hint="fetch the model again: distilcli models remove NAME, then distilcli models download NAME",
        ) from error
