"""Where the journal of a command lies, and what decides the answers in it.

Imported inside command bodies only, with the pipeline.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import fields, is_dataclass
from importlib import import_module
from pathlib import Path

from distilcli import __version__
from distilcli.backends.base import FORMATS, Capabilities
from distilcli.cli.arguments import FLAGS
from distilcli.cli.inputs import STDIN, is_url
from distilcli.cli.request import Request
from distilcli.config import TranscribeOptions
from distilcli.errors import ModelError, OutputError
from distilcli.file_digests import digest_of
from distilcli.journal import Journal
from distilcli.models import PATTERNS, ModelInfo
from distilcli.paths import cache_dir

_FLAGS = {flag.name: flag.option for flag in FLAGS if flag.name != "temperature"}
_FLAGS["temperatures"] = "--temperature"


@contextmanager
def journal_of(
    request: Request, sources: Sequence[str], warn: Callable[[str], None]
) -> Iterator[Journal | None]:
    """The journal of a command, held as long as the context; None where there is none.

    Raises:
        OutputError: another run of the command is writing the same files.
    """
    if not request.journal or STDIN in sources:
        yield None
        return
    found = Journal(_path(request, sources), warn)
    journal: Journal | None = found
    with ExitStack() as held:
        try:
            held.enter_context(found)
        except OutputError as error:
            if request.output.formats and not request.output.to_stdout:
                raise
            warn(f"this run cannot be resumed: {error.message}")
            journal = None
        yield journal


def key_of(
    request: Request,
    models: Sequence[ModelInfo],
    capabilities: Capabilities,
    options: TranscribeOptions,
) -> dict[str, object]:
    """Everything that decides the answers of a run, but its recordings; `models` are model and assistant.

    Raises:
        ModelError: the weights cannot be read.
    """
    return {
        "distilcli": __version__,
        "--model": models[0].name,
        "model files": [_digest(model, capabilities.backend)[:16] for model in models],
        "--backend": f"{capabilities.backend} {import_module(capabilities.backend).__version__}",
        "--compute-type": capabilities.compute_type,
        "--device": capabilities.device.partition(":")[0],
        "--attention": request.engine.attention,
        "--compile": request.engine.compile,
        "--audio-track": request.audio_track,
        **dict(_settings(options)),
    }


def _path(request: Request, sources: Sequence[str]) -> Path:
    """One journal for each command: what it reads, and where its results go."""
    output = request.output
    given = sources if f"@{STDIN}" in request.inputs else request.inputs
    identity = [
        "live" if request.live else "recordings",
        [one if is_url(one) else os.path.abspath(one) for one in given],
        output.folder if output.to_stdout else os.path.abspath(output.folder or "."),
        sorted(output.formats),
    ]
    name = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:32]
    return cache_dir() / "journals" / f"{name}.jsonl"


def _digest(model: ModelInfo, backend: str) -> str:
    try:
        return digest_of(path for name in PATTERNS[FORMATS[backend]] for path in model.folder.glob(name))
    except OSError as error:
        raise ModelError(f"{model.folder} cannot be read: {error.strerror or error}") from error


def _settings(options: object, owner: str = "") -> Iterator[tuple[str, object]]:
    """Every option with its value: a flag's name where there is one, else that of the field and its owner."""
    for one in fields(options):  # type: ignore[arg-type]  # every caller passes a dataclass instance
        value = getattr(options, one.name)
        if is_dataclass(value):
            yield from _settings(value, one.name)
        else:
            name = f"{owner}_{one.name}"
            yield _FLAGS.get(name) or _FLAGS.get(one.name) or name, value
