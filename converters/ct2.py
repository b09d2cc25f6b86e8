"""CTranslate2: a Hugging Face Whisper checkpoint as the folder that CTranslate2 and faster-whisper read.

Knows the files of the folder and no cache; `ct2_spec` has the model, `ct2_weights` reads it again.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from distilcli.converters import ct2_weights
from distilcli.converters.checkpoint import Checkpoint, open_checkpoint
from distilcli.converters.compared import Compared
from distilcli.converters.export_note import EXPORT_NOTE
from distilcli.converters.naming import expected_shapes
from distilcli.converters.space import count, need_space
from distilcli.errors import ModelError, OutputError
from distilcli.folders import new_folder
from distilcli.model_folder import CONTEXTS, inspect, read_json, write_json

_VOCABULARY = 1_070_000  # bytes of vocabulary.json
_ON_CPUS = {
    "float16": "float32",
    "bfloat16": "float32",
    "int8_float16": "int8_float32",
    "int8_bfloat16": "int8_float32",
}
"""Kind that CTranslate2 4.8 does not compute with on CPUs -> the one that it takes there."""


def convert(source: Path, target: Path, kind: str | None = None) -> None:
    """Write the checkpoint in `source` as a new CTranslate2 folder `target`.

    The weights keep the number format of the checkpoint, so every compute type can be chosen when the model
    is loaded, without a second rounding. With `kind` ``int8`` they are rounded now as CTranslate2 would round
    them at each start: it computes the same, and loads in a third of the time or less.

    The folder appears whole or not at all, and nothing is ever replaced; of two processes that convert to one
    `target`, the second waits and does nothing.

    Raises:
        ModelError: the checkpoint is damaged, not a Whisper model, or CTranslate2 refuses it.
        OutputError: `target` exists.
        EnvironmentProblem: the disk is full or cannot be written.
    """
    if target.exists():
        raise OutputError(f"{target} exists already; expected the name of a new folder")
    checkpoint = open_checkpoint(source)
    target.parent.mkdir(parents=True, exist_ok=True)
    kept = kind or checkpoint.dtype
    need_space(target.parent, predict(checkpoint, kept), f"converting {source}")
    with new_folder(target) as scratch:
        if target.exists():
            return
        result = scratch / "result"
        write(checkpoint, kept, result, rounds_convolutions=False)
        _write_note(source, result)
        for path in list(result.iterdir()):
            path.rename(scratch / path.name)
        result.rmdir()


def predict(checkpoint: Checkpoint, kind: str) -> int:
    """Bytes of the folder."""
    matrix, scale, rest = ct2_weights.LAYOUT[kind].bytes(checkpoint.dtype)
    total = (checkpoint.folder / "tokenizer.json").stat().st_size + _VOCABULARY
    for name, shape in expected_shapes(checkpoint.dims).items():
        if ct2_weights.is_quantizable(name):
            total += count(shape) * matrix + shape[0] * scale
        else:
            total += count(shape) * rest
    return total


def warnings(checkpoint: Checkpoint, kind: str) -> tuple[str, ...]:
    """What CPUs make of the kind."""
    instead = _ON_CPUS.get(kind)
    if instead is None:
        return ()
    return (f"on CPUs CTranslate2 computes in {instead}, unless the model is loaded with compute_type int8",)


def write(checkpoint: Checkpoint, kind: str, target: Path, *, rounds_convolutions: bool = True) -> None:
    """Make the folder `target`; the largest tensor is what is held in memory, and what is quantised already.

    By default the file is upstream's; see `specification` for the other.

    Raises:
        ModelError: CTranslate2 refuses the checkpoint, or float16 cannot express its values.
        OSError: the disk is full or cannot be written.
    """
    from distilcli.converters.ct2_spec import specification

    target.mkdir(parents=True)
    try:
        spec = specification(checkpoint, rounds_convolutions=rounds_convolutions)
        spec.validate()
        spec.optimize(kind)
    except (
        AttributeError,
        ValueError,
    ) as error:  # another version's variables; a tokenizer that does not fit
        raise ModelError(f"CTranslate2 cannot convert {checkpoint.folder}: {error}") from error
    spec.save(str(target))
    # Without the first faster-whisper asks the hub for one, without the second it assumes 80 mel bands.
    shutil.copyfile(checkpoint.folder / "tokenizer.json", target / "tokenizer.json")
    write_json(target / "preprocessor_config.json", checkpoint.feature_extractor)
    inspect(target)
    _keep_contexts(checkpoint, target)


def read_back(target: Path, checkpoint: Checkpoint, kind: str) -> Iterator[Compared]:
    """Every tensor of model.bin against the checkpoint's, fused and quantised again by our own arithmetic."""
    return ct2_weights.compare_all(target / "model.bin", checkpoint, kind)


def _keep_contexts(checkpoint: Checkpoint, target: Path) -> None:
    """Hand on which lengths of sound the model was trained for; upstream knows nothing of them."""
    contexts = checkpoint.config.get(CONTEXTS)
    if contexts:
        path = target / "config.json"
        write_json(path, {**read_json(path), CONTEXTS: contexts})


def _write_note(source: Path, target: Path) -> None:
    import ctranslate2

    write_json(
        target / EXPORT_NOTE,
        {
            "source": str(source.resolve()),
            "format": "ctranslate2",
            "written_by": f"ctranslate2 {ctranslate2.__version__}",
        },
    )
