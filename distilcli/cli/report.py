"""``--report``: one JSON file that says what a run was made of and how it went. Knows no pipeline.

Imported inside command bodies only.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from distilcli.backends.base import Capabilities
from distilcli.cli.inputs import STDIN, is_url
from distilcli.cli.request import Request
from distilcli.cli.results import Result, Results
from distilcli.errors import DistilError, OutputError
from distilcli.file_digests import file_digest
from distilcli.models import ModelInfo
from distilcli.writers.atomic import output_error, write_atomically

SCHEMA = 1
WEIGHTS = ("model.bin", "*.safetensors")


@dataclass(frozen=True, slots=True)
class Engine:
    """The model that was loaded and what runs it; `values` are the options that the model may decide."""

    model: ModelInfo
    capabilities: Capabilities
    values: Mapping[str, object]


class Report:
    """Collects during a run, and writes at its end, however that comes.

    Raises:
        OutputError: the file could not be written where it is asked for; found out before any work.
    """

    def __init__(self, request: Request) -> None:
        assert request.report is not None, "nobody asked for a report"
        from distilcli.bench.machine import Watch

        self.path = Path(request.report)
        self._request = request
        self._watch = Watch()
        self._began = datetime.now(UTC)
        self.engine: Engine | None = None
        self.stages: dict[str, float] = {}
        self.background: dict[str, float] = {}
        _check(self.path)

    def write(self, results: Results, written: Mapping[str, Sequence[Path]], end: DistilError | None) -> None:
        """Write the file. `written` maps a source to its results; `end` is the error that ends the run."""
        from distilcli.bench.machine import versions

        document = {
            "schema": SCHEMA,
            "kind": "distilcli run",
            "began": self._began.isoformat(timespec="seconds"),
            "exit_code": end.exit_code if end else 0,
            "error": end.message if end else None,
            "versions": versions(),
            "machine": asdict(self._watch.facts()),
            "engine": _engine(self.engine),
            "options": self._options(),
            "totals": self._totals(results),
            "stages": {name: round(seconds, 4) for name, seconds in self.stages.items()},
            "background": {name: round(seconds, 4) for name, seconds in self.background.items()},
            "warnings": results.warnings,
            "recordings": [_recording(one, written.get(one.source, ())) for one in results.of.values()],
        }
        write_atomically(self.path, json.dumps(document, ensure_ascii=False, indent=1, default=str) + "\n")

    def _options(self) -> dict[str, dict[str, object]]:
        """Each flag with its value and where that comes from: the command line, the model or a default."""
        decided = self.engine.values if self.engine else {}
        origins = {**self._request.origins, **dict.fromkeys(self._request.unset, "model")}
        return {
            name: {"value": decided.get(name, value), "origin": origins.get(name, "default")}
            for name, value in self._request.values.items()
        }

    def _totals(self, results: Results) -> dict[str, object]:
        from distilcli.bench.memory import gpu_bytes, peak_rss

        seconds, audio = sum(self.stages.values()), results.audio_seconds
        return {
            **results.counts,
            "audio_seconds": round(audio, 3),
            "seconds": round(seconds, 3),
            "rtfx": round(audio / seconds, 3) if seconds else None,
            "peak_memory": peak_rss(),
            "gpu_memory": gpu_bytes(),
        }


def _check(path: Path) -> None:
    """Prove that the report can be written, before hours of work that it should describe."""
    if path.is_dir():
        raise OutputError(f"cannot write the report {path}: there is a folder of this name")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise output_error(path, error) from error


def _engine(engine: Engine | None) -> dict[str, object] | None:
    """The loaded model; None where the run ended before there was one."""
    if engine is None:
        return None
    capabilities, folder = engine.capabilities, engine.model.folder
    weights = sorted(path for pattern in WEIGHTS for path in folder.glob(pattern))
    return {
        "model": engine.model.name,
        "weights": {path.name: sha256(path) for path in weights},
        "backend": capabilities.backend,
        "device": capabilities.device,
        "compute_type": capabilities.compute_type,
        "batch_size": capabilities.batch_size,
        "notes": list(capabilities.notes),
    }


def _recording(one: Result, files: Sequence[Path]) -> dict[str, Any]:
    local = one.source != STDIN and not is_url(one.source) and os.path.isfile(one.source)
    found: dict[str, Any] = {
        "source": one.source,
        "status": one.status,
        "sha256": sha256(Path(one.source)) if local else None,
        "duration": one.duration,
        "seconds": round(one.seconds, 3),
        "rtfx": round(one.duration / one.seconds, 3) if one.seconds else None,
        "language": one.language,
        "language_probability": one.probability,
        "segments": one.segments,
        "flags": one.flags,
        "uncovered_seconds": round(one.uncovered, 3),
        "outputs": {str(path): sha256(path) for path in files if path.is_file()},
    }
    if one.error:
        found["error"] = {"message": one.error.message, "exit_code": one.error.exit_code}
    return found


def sha256(path: Path) -> str | None:
    """Hex digest of a file; None when it cannot be read any more."""
    try:
        return file_digest(path)
    except OSError:
        return None
