"""How Transformers is started: device, number format, attention, and its exceptions in our words.

Knows no windows and no decoding.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import BitsAndBytesConfig, WhisperForConditionalGeneration

from distilcli.backends.device import split_device
from distilcli.config import EngineOptions
from distilcli.errors import DistilError, EnvironmentProblem, ModelError, OutOfMemory, UsageError, closest
from distilcli.quiet import without_progress_bars

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
QUANTIZED = {"int8": "load_in_8bit", "int4": "load_in_4bit"}
AUTO = {"cpu": "float32", "cuda": "float16", "mps": "float16"}
ATTENTION = ("eager", "sdpa", "flash_attention_2")


def pretrained(folder: Path, options: EngineOptions, device: torch.device, compute_type: str) -> Any:
    """The model on its device; `Any` because Transformers' classes are only partly annotated.

    Raises:
        EnvironmentProblem: the device is out of memory.
        ModelError: the folder is incomplete or damaged.
    """
    arguments: dict[str, Any] = {"dtype": DTYPES.get(compute_type, torch.float16)}
    if compute_type in QUANTIZED:
        arguments["quantization_config"] = BitsAndBytesConfig(**{QUANTIZED[compute_type]: True})
        arguments["device_map"] = {"": device}
    if options.attention is not None:
        arguments["attn_implementation"] = options.attention
    problems = (OSError, ValueError, RuntimeError, ImportError, SafetensorError)
    with translated(folder, *problems), without_progress_bars():
        whisper: Any = WhisperForConditionalGeneration  # its annotations know one return value, not two
        model, loaded = whisper.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, output_loading_info=True, **arguments
        )
        if compute_type not in QUANTIZED:
            model = model.to(device)
    # Transformers fills what a file lacks with random numbers.
    if loaded["missing_keys"]:
        raise ModelError(f"the weights in {folder} lack {min(loaded['missing_keys'])}")
    return model.eval()


def pick_device(name: str) -> torch.device:
    """The device of a name; ``auto`` prefers CUDA, then MPS.

    Raises:
        UsageError: no such name.
        EnvironmentProblem: this machine has no such device.
    """
    kind, index = split_device(name)
    available: dict[str, Callable[[], bool]] = {
        "cuda": lambda: index < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available,
        "cpu": lambda: True,
    }
    if kind == "auto":
        kind = next(kind for kind in available if available[kind]())
    if not available[kind]():
        raise EnvironmentProblem(
            f"--device {name}: PyTorch {torch.__version__} finds no such device here", hint="use --device cpu"
        )
    return torch.device(kind, index) if kind == "cuda" else torch.device(kind)


def pick_compute_type(asked: str, device: torch.device) -> str:
    """The number format of the weights on a device.

    Raises:
        UsageError: unknown, or not for this device.
        EnvironmentProblem: bitsandbytes is not installed.
    """
    known = ("auto", *DTYPES, *QUANTIZED)
    if asked not in known:
        raise UsageError(
            f"--compute-type must be one of {', '.join(known)} with the transformers backend, not '{asked}'"
            f"{closest(asked, known)}"
        )
    if asked in QUANTIZED:
        if device.type != "cuda":
            raise UsageError(
                f"--compute-type {asked} needs --device cuda with the transformers backend, "
                f"not {device.type}",
                hint="add --backend ctranslate2 for int8 on a CPU",
            )
        if importlib.util.find_spec("bitsandbytes") is None:
            raise EnvironmentProblem(
                f"--compute-type {asked} needs bitsandbytes, which is not installed",
                hint="pip install 'distilcli[quantized]'",
            )
    return AUTO[device.type] if asked == "auto" else asked


def check_attention(attention: str | None, device: torch.device, compute_type: str) -> None:
    """Refuse an attention that does not exist, or cannot work here.

    Raises:
        UsageError: unknown, or not for this device and number format.
        EnvironmentProblem: the library is not installed.
    """
    if attention is None:
        return
    if attention not in ATTENTION:
        raise UsageError(
            f"--attention must be one of {', '.join(ATTENTION)}, not '{attention}'"
            f"{closest(attention, ATTENTION)}"
        )
    if attention == "flash_attention_2":
        if device.type != "cuda" or compute_type == "float32":
            raise UsageError(
                "--attention flash_attention_2 needs --device cuda and half precision, "
                f"not {compute_type} on {device.type}",
                hint="use --attention sdpa",
            )
        if importlib.util.find_spec("flash_attn") is None:
            raise EnvironmentProblem(
                "--attention flash_attention_2 needs flash-attn, which is not installed",
                hint="pip install flash-attn",
            )


_COMPILER = "install a C++ compiler, or leave --compile out"

_PROBLEMS: tuple[tuple[str, type[DistilError], str, str | None], ...] = (
    ("OutOfMemoryError", OutOfMemory, "the device is out of memory", "use a smaller --batch-size"),
    ("InvalidCxxCompiler", EnvironmentProblem, "--compile needs a compiler", _COMPILER),
    ("BackendCompilerFailed", EnvironmentProblem, "--compile failed", _COMPILER),
    ("InductorError", EnvironmentProblem, "--compile failed", _COMPILER),
    ("AcceleratorError", EnvironmentProblem, "the device failed", "use --device cpu"),
)
"""Name of an exception class -> our class, what it means, hint. Some cannot be imported everywhere."""


@contextmanager
def translated(folder: Path, *kinds: type[Exception]) -> Iterator[None]:
    """Turn exceptions of PyTorch and Transformers into ours."""
    try:
        yield
    except kinds as error:
        message = str(error).strip().split("\n")[0]
        for name, kind, meaning, hint in _PROBLEMS:
            if any(base.__name__ == name for base in type(error).__mro__):
                raise kind(f"{meaning}: {message}", hint=hint) from error
        raise ModelError(
            f"Transformers cannot use the model in {folder}: {message}",
            hint="fetch the model again: distilcli models remove NAME, then distilcli models download NAME",
        ) from error
