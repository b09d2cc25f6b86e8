"""CTranslate2: a Hugging Face Whisper checkpoint as the folder that CTranslate2 and faster-whisper read.

Upstream's converter does the work, on a checked and mended stand-in of the checkpoint. Knows no cache.
"""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path

from distilcli.converters.staging import stage
from distilcli.errors import EnvironmentProblem, ModelError, OutputError
from distilcli.folders import new_folder
from distilcli.model_folder import CONTEXTS, inspect, read_json, trained_contexts, weight_files
from distilcli.quiet import without_progress_bars

COPIED = ["tokenizer.json", "preprocessor_config.json"]
"""Without the first faster-whisper asks the hub for one, without the second it assumes 80 mel bands."""

EXPORT_NOTE = "distilcli-export.json"
"""File of a converted folder that says what it was made from."""

_DISK_PROBLEMS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO}


def convert(source: Path, target: Path) -> None:
    """Write the checkpoint in `source` as a new CTranslate2 folder `target`.

    The weights keep the number format of the checkpoint, so every compute type can be chosen when the model
    is loaded, without a second rounding. The folder appears whole or not at all, and nothing is ever
    replaced; of two processes that convert to one `target`, the second waits and does nothing.

    Raises:
        ModelError: the checkpoint is damaged, not a Whisper model, or CTranslate2 refuses it.
        OutputError: `target` exists.
        EnvironmentProblem: the disk is full or cannot be written.
    """
    if target.exists():
        raise OutputError(f"{target} exists already; expected the name of a new folder")
    target.parent.mkdir(parents=True, exist_ok=True)
    _need_space(source, target.parent)
    with new_folder(target) as scratch:
        if target.exists():
            return
        staging, result = scratch / "staging", scratch / "result"
        staging.mkdir()
        stage(source, staging)
        _run_upstream(source, staging, result)
        inspect(result)
        _keep_contexts(source, result)
        _write_note(source, result)
        shutil.rmtree(staging)
        for path in list(result.iterdir()):
            path.rename(scratch / path.name)
        result.rmdir()


def _run_upstream(source: Path, staging: Path, result: Path) -> None:
    from ctranslate2.converters import TransformersConverter

    try:
        with without_progress_bars():
            TransformersConverter(str(staging), copy_files=COPIED, low_cpu_mem_usage=True).convert(
                str(result)
            )
    except (ValueError, RuntimeError, KeyError, OSError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno in _DISK_PROBLEMS:
            raise
        raise ModelError(f"CTranslate2 cannot convert {source}: {error}") from error


def _need_space(source: Path, folder: Path) -> None:
    # The weights are written once, in the same number format; the vocabulary and the rest stay below 8 MB.
    needed = sum(path.stat().st_size for path in weight_files(source)) + 8_000_000
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise EnvironmentProblem(
            f"converting {source} needs {needed / 1e9:.1f} GB, and {folder} has {free / 1e9:.1f} GB free",
            hint="free some space, or set DISTILCLI_CACHE to a folder on a larger disk",
        )


def _keep_contexts(source: Path, result: Path) -> None:
    """Hand on which lengths of sound the model was trained for; upstream knows nothing of them."""
    contexts = trained_contexts(source)
    if contexts:
        path = result / "config.json"
        config = {**read_json(path), CONTEXTS: list(contexts)}
        path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _write_note(source: Path, result: Path) -> None:
    import ctranslate2

    note = {
        "source": str(source.resolve()),
        "format": "ctranslate2",
        "written_by": f"ctranslate2 {ctranslate2.__version__}",
    }
    (result / EXPORT_NOTE).write_text(json.dumps(note, indent=2) + "\n", encoding="utf-8")
