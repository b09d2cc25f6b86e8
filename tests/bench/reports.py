"""Reports made by hand: what each case took and wrote on each set, round by round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from distilcli.bench.summary import Analysis
from distilcli.bench.values import Case, Clip, ClipSet, Machine, Report, Sample

MACHINE = Machine(
    cpu="a processor",
    cores=4,
    usable_cores=2,
    instructions=("avx2",),
    memory=8 * 2**30,
    gpus=(),
    limits={"OMP_NUM_THREADS": "1"},
    system="an operating system",
    load=(0.5, 0.6),
    steal=0.0,
)


@dataclass(frozen=True, kw_only=True)
class Run:
    """Walls per round in seconds, and the texts that were the same in all of them."""

    walls: Sequence[float]
    texts: Sequence[str]
    digests: Sequence[str] = ()


def clip_set(name: str, *texts: str | None, noise: str = "", snr: float | None = None) -> ClipSet:
    """Clips of ten seconds with these texts."""
    clips = (
        Clip(path=f"{name}-{number}.wav", text=text, language="en", duration=10.0)
        for number, text in enumerate(texts)
    )
    return ClipSet(name=name, clips=tuple(clips), noise=noise, snr=snr)


def report(runs: Mapping[tuple[Case, ClipSet], Run]) -> Report:
    """The report of these runs; the first case is the baseline."""
    cases = tuple(dict.fromkeys(case for case, _ in runs))
    data = tuple(dict.fromkeys(one for _, one in runs))
    samples = tuple(
        Sample(
            case=case.key,
            data=one.key,
            round=number,
            wall=wall,
            cpu=wall,
            load=0.5,
            model=0.7 * wall,
            latencies=tuple(wall / len(run.texts) for _ in run.texts),
            texts=tuple(run.texts),
            token_digests=tuple(run.digests),
            stages={"decode": 0.1 * wall, "encoder": 0.7 * wall, "other": 0.2 * wall},
            peak_rss=10**8,
        )
        for (case, one), run in runs.items()
        for number, wall in enumerate(run.walls)
    )
    made = Report(
        command="distilcli bench",
        seed=0,
        rounds=max(len(run.walls) for run in runs.values()),
        machine=MACHINE,
        versions={"python": "3.11"},
        models=(),
        cases=cases,
        data=data,
        samples=samples,
        summaries=(),
        ratios=(),
    )
    analysis = Analysis({})
    summaries = [analysis.summary(case, one, made.samples_of(case, one)) for case, one in runs]
    ratios = [
        analysis.ratio(case, cases[0], one, made.samples_of(case, one), made.samples_of(cases[0], one))
        for case, one in runs
        if case != cases[0]
    ]
    return replace(made, summaries=tuple(summaries), ratios=tuple(ratio for ratio in ratios if ratio))
