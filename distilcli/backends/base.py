"""The backend seam: what a model runtime must do, and how one is chosen. Imports no runtime."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from distilcli.config import DecodeOptions, EngineOptions, changed
from distilcli.errors import UsageError, closest
from distilcli.types import Hypothesis, Window, Word

if TYPE_CHECKING:
    from pathlib import Path

    from distilcli.tokens import Tokenizer


@dataclass(frozen=True, kw_only=True, slots=True)
class Capabilities:
    """What a loaded backend is and can do.

    `refused` maps a name of `DecodeOptions` that this backend cannot honour to the reason. `batch_size` is
    the number of windows it likes to get at once. A `greedy_only` backend (speculative decoding) has no beam
    search. `notes` say how an ``auto`` choice was made.
    """

    backend: str
    device: str
    compute_type: str
    n_mels: int
    batch_size: int = 1
    refused: dict[str, str] | None = None
    greedy_only: bool = False
    notes: tuple[str, ...] = ()


class Backend(Protocol):
    """A loaded model. Decodes windows; knows no retries, no long-form, no files."""

    tokenizer: Tokenizer
    capabilities: Capabilities

    def decode(self, windows: Sequence[Window], options: DecodeOptions) -> list[Hypothesis]:
        """One hypothesis per window, in order. `Window.language` is set for multilingual models."""
        ...

    def detect_language(self, windows: Sequence[Window]) -> list[dict[str, float]]:
        """Probability of each language code per window, most likely first; empty for English-only models."""
        ...

    def close(self) -> None:
        """Release the model; calling it twice is harmless."""
        ...


@runtime_checkable
class Aligner(Protocol):
    """A backend that can say when a text was spoken, too; not every one can."""

    def align(
        self, windows: Sequence[Window], hypotheses: Sequence[Hypothesis], task: str
    ) -> list[tuple[Word, ...]]:
        """Each text token of each hypothesis, as a `Word` without text, in seconds of its window.

        `Window.language` is set for multilingual models, and `task` is that of the decoding. Tokens follow
        each other without gaps: a pause belongs to the one before it.
        """
        ...


BACKENDS = {
    "ctranslate2": "distilcli.backends.ct2:load",
    "transformers": "distilcli.backends.hf:load",
}
"""Name -> ``module:factory``; a factory takes (model folder, EngineOptions, assistant folder or None)."""

FORMATS = {"ctranslate2": "ctranslate2", "transformers": "transformers"}
"""Backend -> the model format that it reads."""


COMPUTE_TYPES = {
    "ctranslate2": (
        *("auto", "default", "int8", "int8_float32", "int8_float16", "int8_bfloat16"),
        *("int16", "float16", "bfloat16", "float32"),
    ),
    "transformers": ("auto", "float32", "float16", "bfloat16", "int8", "int4"),
}
"""Backend -> number formats that it knows; whether a device has one shows when the model is loaded."""


KEPT_AS = {"ctranslate2": "distilcli.backends.ct2_engine:kept_as"}
"""Backend -> ``module:function`` for `kept_as`."""


def check_name(backend: str) -> None:
    """Raise `UsageError` with the closest name when no such backend exists."""
    if backend not in BACKENDS:
        raise UsageError(
            f"--backend must be one of {', '.join(BACKENDS)}, not '{backend}'{closest(backend, BACKENDS)}"
        )


def check_engine(options: EngineOptions) -> None:
    """Raise `UsageError` for what the backend could never honour; needs no model and no library."""
    check_name(options.backend)
    known = COMPUTE_TYPES[options.backend]
    if options.compute_type not in known:
        raise UsageError(
            f"--compute-type must be one of {', '.join(known)} with the {options.backend} backend, "
            f"not '{options.compute_type}'{closest(options.compute_type, known)}"
        )
    foreign = {
        "--attention": options.attention is not None,
        "--compile": options.compile,
        "--assistant-model": options.assistant_model is not None,
        "--device mps": options.device == "mps",
    }
    flag = next((name for name, given in foreign.items() if given), None)
    if options.backend == "ctranslate2" and flag:
        raise UsageError(
            f"{flag} cannot be used with the ctranslate2 backend", hint="add --backend transformers"
        )


def load_backend(folder: Path, options: EngineOptions, assistant: Path | None = None) -> Backend:
    """Load the model in `folder` with the backend that `options` names."""
    check_engine(options)
    backend: Backend = _named(BACKENDS[options.backend])(folder, options, assistant)
    return backend


def kept_as(options: EngineOptions) -> str | None:
    """Number format in which a conversion for this engine is best kept; None for that of the checkpoint.

    Raises:
        UsageError: the backend could never honour an option.
        EnvironmentProblem: this machine has no such device.
    """
    check_engine(options)
    place = KEPT_AS.get(options.backend)
    found: str | None = _named(place)(options) if place else None
    return found


def _named(place: str) -> Callable[..., Any]:
    module, name = place.split(":")
    found: Callable[..., Any] = getattr(import_module(module), name)
    return found


def check_options(capabilities: Capabilities, options: DecodeOptions) -> None:
    """Raise `UsageError` for the first changed option that the backend cannot honour."""
    if capabilities.greedy_only and options.temperature == 0 and options.beam_size > 1:
        raise UsageError(
            f"--assistant-model decodes greedily and cannot search with {options.beam_size} beams",
            hint="add --beam-size 1",
        )
    refused = capabilities.refused or {}
    for name in changed(options):
        if name in refused:
            raise UsageError(
                f"--{name.replace('_', '-')} cannot be used with the {capabilities.backend} backend: "
                f"{refused[name]}",
                hint="leave the option out, or choose the other --backend",
            )
