"""The grid of cases that the flags ask for, with a peer's case beside each of ours. Functions of values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product

from distilcli.backends.base import COMPUTE_TYPES, check_name
from distilcli.bench.values import OURS, Case
from distilcli.errors import UsageError, closest

STRATEGIES = ("sequential", "chunked", "chunked-vad")
"""The last one cuts windows where nobody speaks, as faster-whisper does in its only chunked mode."""

CHUNKED = {"chunked-vad": "chunked"}
"""Strategy -> that of a peer beside it; each has one chunked mode at most."""

STAND_INS = {"int8_bfloat16": "int8"}
"""Number format that only distilcli has on a CPU -> the one with which others are measured beside it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Grid:
    """What is varied, first values first; and `base`, which holds everything else."""

    base: Case
    models: tuple[str, ...]
    backends: tuple[str, ...]
    compute_types: tuple[str, ...]
    strategies: tuple[str, ...]
    batch_sizes: tuple[int, ...]
    threads: tuple[int, ...]
    against: tuple[str, ...] = ()
    defaults: bool = False
    """Measure every system once more as its user gets it, for each model and number of threads."""
    on_gpu: bool = False
    """Whether the device is a GPU, which has number formats of its own."""


def grid_cases(grid: Grid) -> tuple[Case, ...]:
    """The cases, each once; the first one is the baseline. A number format that a backend lacks is left out.

    Raises:
        UsageError: an unknown backend, number format or strategy, or nothing is left.
    """
    for backend in grid.backends:
        check_name(backend)
    _check("--strategies", grid.strategies, STRATEGIES)
    known = dict.fromkeys(name for backend in grid.backends for name in COMPUTE_TYPES[backend])
    _check("--compute-type", grid.compute_types, tuple(known))
    found = [
        replace(
            grid.base,
            model=model,
            compute_type=compute_type,
            strategy=strategy,
            batch_size=batch_size,
            threads=threads,
        )
        for model, compute_type, strategy, batch_size, threads in product(
            grid.models, grid.compute_types, grid.strategies, grid.batch_sizes, grid.threads
        )
    ]
    ours = [
        replace(case, backend=backend)
        for case, backend in product(found, grid.backends)
        if case.compute_type in COMPUTE_TYPES[backend]
    ]
    peers = [
        replace(
            case,
            system=system,
            backend="",
            compute_type=_format_beside(case, grid),
            strategy=CHUNKED.get(case.strategy, case.strategy),
        )
        for case, system in product(found, grid.against)
    ]
    return tuple(dict.fromkeys([*ours, *peers, *_defaults(grid)]))


def _format_beside(case: Case, grid: Grid) -> str:
    """The number format of a peer beside a case of ours."""
    return case.compute_type if grid.on_gpu else STAND_INS.get(case.compute_type, case.compute_type)


def stands_in(case: Case, cases: Iterable[Case]) -> tuple[str, ...]:
    """What a peer's case is beside cases of ours of which none has its number format."""
    formats = {one.compute_type for one in cases if one.system == OURS}
    if case.system == OURS or case.compute_type in formats:
        return ()
    lacking = [name for name in STAND_INS if name in formats and STAND_INS[name] == case.compute_type]
    return tuple(
        f"has the settings of {case.compute_type}, for it has no {name} on a CPU" for name in lacking
    )


def _defaults(grid: Grid) -> list[Case]:
    """Every system as it is without options, ours with its first backend."""
    if not grid.defaults:
        return []
    return [
        Case(
            system=system,
            model=model,
            backend=grid.backends[0] if system == OURS else "",
            device=grid.base.device,
            threads=threads,
            detect_language=grid.base.detect_language,
            defaults=True,
        )
        for model, threads, system in product(grid.models, grid.threads, (OURS, *grid.against))
    ]


def _check(flag: str, values: Sequence[str], known: Sequence[str]) -> None:
    for value in values:
        if value not in known:
            raise UsageError(
                f"{flag} must be one of {', '.join(known)}, not '{value}'{closest(value, known)}"
            )
