"""A checkpoint to one or several formats: planned, written beside the target, verified, then handed over.

Knows the order of things; it does not know formats, runtimes or the command line.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from distilcli.converters.checkpoint import Checkpoint
from distilcli.converters.export_card import Export, write_card
from distilcli.converters.export_note import note_path, versions
from distilcli.converters.probe import Probe, make_probe
from distilcli.converters.runners import RUNNERS
from distilcli.converters.space import need_space
from distilcli.converters.swap import check_target, files_of, replacing
from distilcli.converters.targets import Wanted
from distilcli.converters.verify import verify
from distilcli.errors import QualityGateError
from distilcli.model_folder import write_json

_LIBRARIES = (
    "distilcli",
    "torch",
    "safetensors",
    "transformers",
    "ctranslate2",
    "gguf",
    "pywhispercpp",
    "openai-whisper",
    "onnx",
    "onnxscript",
    "onnxruntime",
    "mlx",
    "mlx-whisper",
)


@dataclass(frozen=True, slots=True)
class Planned:
    """An export before it is made: where it will lie, predicted bytes, what the user should know.

    `scratch` are bytes that lie there too while it is made, and not afterwards.
    """

    wanted: Wanted
    path: Path
    bytes: int
    scratch: int
    warnings: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ConvertOptions:
    """How exports are made.

    Attributes:
        verify: read each export again, and let its runtime answer a probe.
        overwrite: replace what an earlier conversion wrote at the target.
        probe_audio: 16 kHz mono wav file of at most 30 s in place of the bundled demo's beginning.
        origin: what the user calls the model, for messages and notes; None: its folder.
    """

    verify: bool = True
    overwrite: bool = False
    probe_audio: Path | None = None
    origin: str | None = None


@dataclass(frozen=True, slots=True)
class Stage:
    """Progress: `step` is ``probe``, ``write`` or ``verify``; `label` names the export, '' for the probe."""

    step: str
    label: str


OnStage = Callable[[Stage], None]


def plan(checkpoint: Checkpoint, wanted: Sequence[Wanted], out: Path) -> list[Planned]:
    """What `convert_to` would make.

    One export becomes `out` itself; of several, each lies in the folder `out` under ``FORMAT-KIND``, and so
    does a single file where `out` is a folder already.

    Raises:
        EnvironmentProblem: a library is missing.
        ModelError: a format cannot hold this checkpoint.
    """
    planned = []
    for one in wanted:
        module = one.target.load()
        inside = len(wanted) > 1 or (bool(one.target.single_file) and out.is_dir())
        path = out / f"{one.target.name}-{one.kind}{one.target.single_file}" if inside else out
        planned.append(
            Planned(
                wanted=one,
                path=path,
                bytes=module.predict(checkpoint, one.kind),
                scratch=getattr(module, "scratch", _no_scratch)(checkpoint, one.kind),
                warnings=module.warnings(checkpoint, one.kind),
            )
        )
    return planned


def convert_to(
    checkpoint: Checkpoint,
    wanted: Sequence[Wanted],
    out: Path,
    options: ConvertOptions | None = None,
    on_stage: OnStage | None = None,
) -> list[Export]:
    """Make exports; each appears at its place whole and checked, or not at all.

    Args:
        checkpoint: what to convert.
        wanted: formats and kinds; they are made in this order, and those before a failure stay.
        out: see `plan`.
        options: None: the defaults.
        on_stage: told of every step.

    Raises:
        OutputError: something is at the target.
        EnvironmentProblem: a library or disk space is missing.
        ModelError: a format cannot hold this checkpoint.
        QualityGateError: an export does not say what the checkpoint says; nothing of it is left.
    """
    options = options or ConvertOptions()
    tell = on_stage or (lambda stage: None)
    out = out.expanduser().resolve()
    planned = plan(checkpoint, wanted, out)
    for one in planned:
        single_file = bool(one.wanted.target.single_file)
        check_target(one.path, single_file=single_file, overwrite=options.overwrite)
    origin = options.origin or str(checkpoint.folder)
    needed = sum(one.bytes for one in planned) + max(one.scratch for one in planned)
    need_space(_existing(out), needed, f"converting {origin}")
    with TemporaryDirectory(prefix="distilcli-probe-") as scratch:
        probe = None
        if options.verify and any(RUNNERS[name].installed for name in _runtimes(wanted)):
            tell(Stage("probe", ""))
            probe = make_probe(checkpoint, Path(scratch), options.probe_audio)
        exports = [_export(one, checkpoint, probe, options, tell) for one in planned]
    if len(exports) > 1:
        write_card(out, exports, checkpoint)
    return exports


def _no_scratch(checkpoint: Checkpoint, kind: str) -> int:
    return 0


def _runtimes(wanted: Sequence[Wanted]) -> set[str]:
    return {one.target.runtime for one in wanted if one.target.runtime}


def _export(
    planned: Planned, checkpoint: Checkpoint, probe: Probe | None, options: ConvertOptions, tell: OnStage
) -> Export:
    wanted, single_file = planned.wanted, bool(planned.wanted.target.single_file)
    with replacing(planned.path, single_file=single_file, overwrite=options.overwrite) as made:
        tell(Stage("write", wanted.label))
        began = time.monotonic()
        wanted.target.load().write(checkpoint, wanted.kind, made)
        seconds = time.monotonic() - began
        verification = None
        if options.verify:
            tell(Stage("verify", wanted.label))
            verification = verify(wanted, made, checkpoint, probe)
            if not verification.passed:
                raise QualityGateError(
                    f"{wanted.label} of {options.origin or checkpoint.folder} does not say what the "
                    f"checkpoint says, and is not kept: {verification.summary}",
                    hint="choose another --quantization, or add --no-verify to keep it all the same",
                )
        export = Export(wanted, planned.path, _size(made), seconds, verification)
        if not single_file:
            write_card(made, [export], checkpoint)
        _write_note(made, export, checkpoint, options.origin)
    return export


def _write_note(made: Path, export: Export, checkpoint: Checkpoint, origin: str | None) -> None:
    single_file = bool(export.wanted.target.single_file)
    write_json(
        note_path(made, single_file=single_file),
        {
            "source": origin or str(checkpoint.folder),
            "source_sha256": checkpoint.digest,
            "format": export.wanted.target.name,
            "kind": export.wanted.kind,
            "verification": asdict(export.verification) if export.verification else "skipped",
            "alignment_heads": [list(pair) for pair in checkpoint.heads],
            "versions": versions(*_LIBRARIES),
            "files": [made.name] if single_file else files_of(made),
        },
    )


def _size(path: Path) -> int:
    """Bytes of a file, or of all files of a folder."""
    files = [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]
    return sum(one.stat().st_size for one in files)


def _existing(path: Path) -> Path:
    """The nearest folder above that exists."""
    while not path.is_dir():
        path = path.parent
    return path
