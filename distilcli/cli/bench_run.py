"""What ``distilcli bench`` does once its flags are read. Imports the bench and what it measures with.

It knows flags; it does not know processes and figures.
"""

from __future__ import annotations

import math
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from distilcli.bench import data as recordings
from distilcli.bench import gate, page, session
from distilcli.bench.cases import Grid, grid_cases
from distilcli.bench.machine import gpus, usable_cores
from distilcli.bench.paper import PaperAsked, paper_cases, paper_data
from distilcli.bench.rows import to_csv
from distilcli.bench.run import SETTLE, Listener
from distilcli.bench.tables import paper_tables
from distilcli.bench.values import Case, ClipSet, Report, digest_of, read_report, write_report
from distilcli.cli import bench_table
from distilcli.cli.bench_progress import Lines
from distilcli.cli.interrupt import Interrupted
from distilcli.errors import EnvironmentProblem, QualityGateError, UsageError
from distilcli.languages import language_code
from distilcli.paths import cache_dir
from distilcli.writers.atomic import write_atomically


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """The flags."""

    sources: tuple[Path, ...]
    models: tuple[str, ...]
    backends: tuple[str, ...]
    compute_type: tuple[str, ...]
    strategies: tuple[str, ...]
    batch_sizes: tuple[int, ...]
    threads: tuple[int, ...]
    against: tuple[str, ...]
    defaults: bool
    speculative: tuple[str, ...]
    chunk_length: tuple[float, ...]
    beam_size: int
    fallback: bool
    device: str
    language: str | None
    detect_language: bool
    clips: int
    noise: tuple[float, ...]
    noise_kind: tuple[str, ...]
    noise_folder: Path | None
    rounds: int | None
    minutes: float | None
    seed: int
    resume: Path | None
    force: bool
    json: Path | None
    csv: Path | None
    report: Path | None
    baseline: Path | None
    fail_if: tuple[str, ...]
    quiet: bool


_ROUNDS = 5
_BUNDLED_MINUTES = 2.0  # of a bench without any recording of one's own
_FILES = ("noise_folder", "resume", "json", "csv", "report", "baseline")


def asked(sources: Sequence[Path], values: dict[str, Any]) -> Asked:
    """The flags as `cli.bench.FLAGS` has read them."""
    files = {name: Path(values[name]) if values[name] else None for name in _FILES}
    return Asked(sources=tuple(sources), **{**values, **files, "fail_if": tuple(values["fail_if"])})


def bench(asked: Asked) -> None:
    """Measure, show, write, and compare with the limits.

    Raises:
        QualityGateError: a condition of ``--fail-if`` holds; everything is shown and written before.
        EnvironmentProblem: a tool that is installed has failed.
        DistilError: see `session.bench`.
    """
    conditions = [gate.parse(text) for text in asked.fail_if]
    if asked.baseline and not conditions:
        raise UsageError("--baseline needs a condition", hint="add --fail-if 'rtfx<0.95'")
    old = read_report(asked.baseline) if asked.baseline else None
    extra = _paper(asked)
    cases = _cases(asked, extra)
    session.refuse_busy_machine(asked.force)
    sets = _data(asked, extra)
    rounds, seconds = asked.rounds or _ROUNDS, _seconds(asked)
    try:
        report = session.bench(
            session.Asked(
                cases=cases,
                data=sets,
                rounds=rounds,
                seconds=seconds,
                seed=asked.seed,
                resume=asked.resume,
                command=shlex.join(["distilcli", *sys.argv[1:]]),
                tables=paper_tables,
            ),
            Listener() if asked.quiet else Lines(rounds, seconds, SETTLE),
        )
    except KeyboardInterrupt as error:
        kept = f"; the runs so far are in {asked.resume}" if asked.resume else ""
        raise Interrupted(error, kept) from error
    bench_table.show(report)
    _write(asked, report)
    if failed := gate.failures(report, conditions, old):
        raise QualityGateError("; ".join(failed))
    _refuse_failed_runs(report)


def _seconds(asked: Asked) -> float:
    """When a bench is over, whatever it has got to."""
    if asked.minutes is not None:
        return 60 * asked.minutes
    return math.inf if asked.sources or asked.rounds else 60 * _BUNDLED_MINUTES


def _paper(asked: Asked) -> PaperAsked:
    return PaperAsked(
        speculative=asked.speculative,
        noise=asked.noise,
        noise_kinds=asked.noise_kind,
        noise_folder=asked.noise_folder,
        chunk_lengths=asked.chunk_length,
        seed=asked.seed,
    )


def _cases(asked: Asked, extra: PaperAsked) -> tuple[Case, ...]:
    """The grid, then what the paper's tables need besides. Pairs of models take the place of the grid."""
    base = Case(
        model=asked.models[0] if asked.models else "",
        device=asked.device,
        threads=1,
        beam_size=asked.beam_size,
        detect_language=asked.detect_language,
    )
    if not asked.fallback:
        base = replace(base, temperatures=base.temperatures[:1])
    grid = Grid(
        base=base,
        models=asked.models,
        backends=asked.backends,
        compute_types=asked.compute_type,
        strategies=asked.strategies,
        batch_sizes=asked.batch_sizes,
        threads=tuple(dict.fromkeys(one or usable_cores() for one in asked.threads)),
        against=asked.against,
        defaults=asked.defaults,
        on_gpu=asked.device.startswith("cuda") or (asked.device == "auto" and bool(gpus())),
    )
    found = grid_cases(grid)
    if not found:
        raise UsageError("nothing to measure: --models, --backends or --compute-type leave no case")
    more = paper_cases(found[0], extra)
    return more if extra.speculative and not extra.chunk_lengths else (*found, *more)


def _data(asked: Asked, extra: PaperAsked) -> tuple[ClipSet, ...]:
    folder = cache_dir() / "bench" / f"data-{digest_of([str(one) for one in asked.sources])}-{asked.seed}"
    folder.mkdir(parents=True, exist_ok=True)
    if asked.sources:
        language = language_code(asked.language) if asked.language else None
        sets = recordings.load(asked.sources, language=language, most=asked.clips, seed=asked.seed)
    else:
        sets = recordings.bundled(folder, asked.seed, asked.clips)
    return (*sets, *paper_data(sets, extra, folder))


def _write(asked: Asked, report: Report) -> None:
    if asked.json:
        write_report(asked.json, report)
    if asked.csv:
        write_atomically(asked.csv, to_csv(report))
    if asked.report:
        write_atomically(asked.report, page.render(report))


def _refuse_failed_runs(report: Report) -> None:
    failed = {report.case(one.case).label: one.error for one in report.samples if one.error}
    if failed:
        label, reason = next(iter(failed.items()))
        more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
        raise EnvironmentProblem(f"{label} has failed{more}: {reason}")
