"""The grid of cases that the flags ask for, with a peer's case beside each of ours. Functions of values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

from distilcli.backends.base import COMPUTE_TYPES, check_name
from distilcli.bench.values import OURS, Case
from distilcli.errors import UsageError, closest

STRATEGIES = ("sequential", "chunked")


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
    peers = [replace(case, system=system, backend="") for case, system in product(found, grid.against)]
    return tuple(dict.fromkeys([*ours, *peers, *_defaults(grid)]))


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
