"""One bench from cases to a report: prepare the weights, run, and put together what came out.

Prints nothing; a `run.Listener` hears how it goes on. Knows no flag.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from distilcli import models
from distilcli.accuracy import spelling_of
from distilcli.bench import machine, systems
from distilcli.bench.cases import stands_in
from distilcli.bench.run import SETTLE, Listener, Plan, measure, with_control
from distilcli.bench.summary import Analysis
from distilcli.bench.values import (
    OURS,
    Case,
    ClipSet,
    Machine,
    Missing,
    ModelFacts,
    Ratio,
    Report,
    Sample,
    Summary,
    Table,
)
from distilcli.errors import DistilError, EnvironmentProblem, UsageError
from distilcli.model_folder import CTRANSLATE2, TRANSFORMERS, format_of, weight_files

ENOUGH_ROUNDS = 10
"""Pairs from which on the median ratio is good to about 3 per cent on a shared machine."""

_BUSY = 1.5  # processes per core from which on a machine is too busy to measure on
_STOLEN = 0.05
_SHARE_OF_MEMORY = 0.6
_USUAL_MEMORY = 4 * 2**30  # for machines that do not say what they have


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What a bench is to do. `tables` makes the tables that a report has besides its summary."""

    cases: tuple[Case, ...]
    data: tuple[ClipSet, ...]
    rounds: int
    seconds: float = math.inf
    """When to stop; see `run.Plan`."""
    seed: int = 0
    resume: Path | None = None
    command: str = "distilcli bench"
    tables: Callable[[Report], tuple[Table, ...]] = lambda report: ()
    settle: float = SETTLE
    """Seconds between two runs."""


@dataclass(slots=True)
class _Prepared:
    """Cases that can be measured, the weights of each, and what the others lack."""

    cases: list[Case] = field(default_factory=list)
    weights: dict[str, Path] = field(default_factory=dict)
    missing: list[Missing] = field(default_factory=list)
    differences: dict[str, tuple[str, ...]] = field(default_factory=dict)


def bench(asked: Asked, listener: Listener | None = None) -> Report:
    """Measure and report. A case that cannot be measured is listed as missing.

    Raises:
        UsageError: no such system, or the file of samples belongs to another machine.
        EnvironmentProblem: not one case could be measured.
        OutputError: the file of samples cannot be written.
    """
    prepared = _prepare(asked.cases)
    if not prepared.cases:
        raise EnvironmentProblem(prepared.missing[0].reason)
    cases = with_control(prepared.cases)
    weights = {**prepared.weights, cases[1].key: prepared.weights[cases[0].key]}
    watch, versions = machine.Watch(), machine.versions()
    facts = watch.facts()
    plan = Plan(
        cases=cases,
        data=asked.data,
        weights=weights,
        rounds=asked.rounds,
        seconds=asked.seconds,
        seed=asked.seed,
        samples=asked.resume,
        setup=machine.setup_of(facts, versions),
        memory=round(_SHARE_OF_MEMORY * facts.memory) or _USUAL_MEMORY,
        alone=bool(facts.gpus) and any(case.device != "cpu" for case in cases),
        settle=asked.settle,
    )
    samples = measure(plan, listener)
    if all(one.error for one in samples):
        raise EnvironmentProblem(f"not one run succeeded: {samples[0].error}")
    report = _report(asked, cases, samples, watch.facts(), versions)
    report = replace(
        report,
        models=_model_facts(prepared.cases, weights),
        differences=prepared.differences,
        missing=(*prepared.missing, *_failed(cases, samples)),
    )
    report = _with_figures(report, spelling_of(_spelling_folders(prepared.cases, weights)))
    return replace(report, tables=asked.tables(report))


def refuse_busy_machine(force: bool) -> None:
    """Raise `UsageError` where others keep the cores busy, unless that is accepted."""
    load, cores = machine.load_average(), machine.usable_cores()
    if load > _BUSY * cores and not force:
        raise UsageError(
            f"{load:.1f} processes want this machine's {cores} cores: times would be those of the others",
            hint="wait, or measure all the same with --force: ratios suffer less than times",
        )


def _prepare(cases: Sequence[Case]) -> _Prepared:
    """Weights in the form that each system reads: fetched and converted here, outside every measurement."""
    found = _Prepared()
    for case in cases:
        try:
            module = systems.drive(case.system)
            with _as_missing(case):
                found.weights[case.key] = module.prepare(case)
        except EnvironmentProblem as error:
            reason = f"{error.message} ({error.hint})" if error.hint else error.message
            found.missing.append(Missing(system=case.label, reason=reason))
            continue
        found.cases.append(case)
        if lines := (*stands_in(case, cases), *module.differences(case)):
            found.differences[case.key] = lines
    return found


@contextmanager
def _as_missing(case: Case) -> Iterator[None]:
    """A tool that cannot take this model is missing from the run; what we refuse ourselves is a mistake."""
    try:
        yield
    except DistilError as error:
        if case.system == OURS and isinstance(error, UsageError):
            raise
        raise EnvironmentProblem(error.message, hint=error.hint) from error


def _report(
    asked: Asked,
    cases: tuple[Case, ...],
    samples: tuple[Sample, ...],
    facts: Machine,
    versions: dict[str, str],
) -> Report:
    """The report without what follows from the samples."""
    rounds = max(one.round for one in samples)
    return Report(
        command=asked.command,
        seed=asked.seed,
        rounds=rounds,
        machine=facts,
        versions=versions,
        models=(),
        cases=cases,
        data=asked.data,
        samples=samples,
        summaries=(),
        ratios=(),
        notes=(
            *([f"the time was up after {rounds} of {asked.rounds} rounds"] if rounds < asked.rounds else ()),
            *_notes(cases, samples, facts, rounds),
            *_unknown_texts(asked.data),
        ),
    )


def _with_figures(report: Report, spelling: Mapping[str, str]) -> Report:
    """The report with summaries and ratios; a case without any good sample has none."""
    analysis = Analysis(spelling)
    summaries: list[Summary] = []
    ratios: list[Ratio] = []
    for data in report.data:
        against = report.samples_of(report.baseline, data)
        for case in report.cases:
            samples = report.samples_of(case, data)
            if not samples:
                continue
            summaries.append(analysis.summary(case, data, samples))
            if case != report.baseline and (
                ratio := analysis.ratio(case, report.baseline, data, samples, against)
            ):
                ratios.append(ratio)
    return replace(report, summaries=tuple(summaries), ratios=tuple(ratios))


def _notes(cases: Sequence[Case], samples: Sequence[Sample], facts: Machine, rounds: int) -> Iterable[str]:
    """The rules of measurement that this run broke (docs/bench.md)."""
    if rounds < ENOUGH_ROUNDS:
        yield f"few rounds ({rounds}): ratios need {ENOUGH_ROUNDS} pairs to be good to a few per cent"
    busiest = max(facts.load)
    if busiest > _BUSY * facts.usable_cores:
        yield f"others used the machine: load {busiest:.1f} on {facts.usable_cores} cores"
    if facts.steal > _STOLEN:
        yield f"the hypervisor gave {facts.steal:.0%} of the time to others"
    crowded = max(case.threads for case in cases)
    if crowded > facts.usable_cores:
        yield f"{crowded} threads on {facts.usable_cores} cores"
    by_run: dict[tuple[str, str], set[tuple[str, ...]]] = {}
    for one in samples:
        if not one.error:
            by_run.setdefault((one.case, one.data), set()).add(one.texts)
    unstable = {case for (case, _), texts in by_run.items() if len(texts) > 1}
    for case in cases:
        if case.key in unstable:
            yield f"{case.label}: the texts differ from round to round"


def _unknown_texts(data: Sequence[ClipSet]) -> Iterable[str]:
    for one in data:
        if any(clip.text is None for clip in one.clips):
            yield f"{one.name}: nobody knows what is said, so there is no error rate beside the speed"


def _failed(cases: Sequence[Case], samples: Sequence[Sample]) -> tuple[Missing, ...]:
    """What went wrong in each case, once per reason."""
    labels = {case.key: case.label for case in cases}
    found = {(labels[one.case], one.error): None for one in samples if one.error}
    return tuple(Missing(system=label, reason=str(error)) for label, error in found)


def _model_facts(cases: Sequence[Case], weights: Mapping[str, Path]) -> tuple[ModelFacts, ...]:
    """The weights of each model, in the form that the first of its cases reads."""
    found: dict[str, ModelFacts] = {}
    for case in cases:
        if case.model not in found:
            files = _weight_files(weights[case.key])
            digest = hashlib.sha256()
            for path in files:
                with path.open("rb") as file:
                    digest.update(hashlib.file_digest(file, "sha256").digest())
            found[case.model] = ModelFacts(
                name=case.model, sha256=digest.hexdigest(), bytes=sum(path.stat().st_size for path in files)
            )
    return tuple(found.values())


def _weight_files(path: Path) -> list[Path]:
    kind = format_of(path) if path.is_dir() else None
    if kind == TRANSFORMERS:
        return weight_files(path)
    if kind == CTRANSLATE2:
        return [path / "model.bin"]
    return [path] if path.is_file() else sorted(one for one in path.rglob("*") if one.is_file())


def _spelling_folders(cases: Sequence[Case], weights: Mapping[str, Path]) -> Iterable[Path]:
    """Where a model's table of spellings may lie: in its checkpoint, which a conversion does not repeat."""
    yield from (weights[case.key] for case in cases)
    for model in dict.fromkeys(case.model for case in cases if case.system == OURS):
        try:
            yield models.resolve(model, TRANSFORMERS, offline=True).folder
        except DistilError:
            continue  # the checkpoint is not here; British spellings then count as errors, as everywhere
