"""The tables of the Distil-Whisper paper, from a report: everything for which it has the cases and sets.

Source: arXiv 2311.00430, tables 5, 7, 8, 9 and 23, figure 2. Turns values into words; measures nothing.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from distilcli.bench.noise import noisy_name
from distilcli.bench.rows import short_labels
from distilcli.bench.values import OURS, Case, ClipSet, Report, Summary, Table
from distilcli.intervals import Interval, median_ratio

Pair = tuple[Case, Case]
"""Two cases that differ in one thing: the one to compare with, and the other."""


@dataclass(frozen=True, slots=True)
class NoiseLine:
    """A case that heard recordings with one kind of noise at several levels."""

    case: Case
    data: ClipSet
    noise: str


def paper_tables(report: Report) -> tuple[Table, ...]:
    """Every table for which the report has the cases and sets."""
    makers: tuple[Callable[[Report], Table | None], ...] = (
        _models,
        _strategies,
        _speculative,
        _chunk_lengths,
        _repeated,
        _noise,
        _alone,
    )
    return tuple(table for make in makers if (table := make(report)) is not None)


def speed_of(report: Report, pair: Pair, data: ClipSet) -> Interval | None:
    """How many times as fast the second case is as the first, pair by pair of the same round."""
    first, second = ({one.round: one.wall for one in report.samples_of(case, data)} for case in pair)
    rounds = sorted(first.keys() & second.keys())
    if not rounds:
        return None
    return median_ratio([first[number] for number in rounds], [second[number] for number in rounds])


def identical_texts(report: Report, pair: Pair, data: ClipSet) -> tuple[int, int] | None:
    """Clips of the first common round with the same tokens (texts, where one hides its tokens), of all."""
    for first in report.samples_of(pair[0], data):
        for second in report.samples_of(pair[1], data):
            if first.round == second.round:
                exact = first.token_digests and second.token_digests
                answers = (
                    (first.token_digests, second.token_digests) if exact else (first.texts, second.texts)
                )
                return sum(a == b for a, b in zip(*answers, strict=True)), len(answers[0])
    return None


def interval(found: Interval | None, digits: int = 2) -> str:
    """A figure, with its interval where that has a width: one recording or round has none. For people."""
    if found is None:
        return ""
    if found.low == found.high:
        return f"{found.value:.{digits}f}"
    return f"{found.value:.{digits}f} ({found.low:.{digits}f} to {found.high:.{digits}f})"


def _pairs(report: Report, *ignored: str) -> Iterator[Pair]:
    """Cases that are equal but for some fields, each with the first of its kind."""
    firsts: dict[str, Case] = {}
    for case in report.cases:
        if case.repeat:
            continue
        table = dataclasses.asdict(case)
        kind = repr([value for name, value in table.items() if name not in ignored])
        if kind in firsts:
            yield firsts[kind], case
        else:
            firsts[kind] = case


def _measured(report: Report) -> list[ClipSet]:
    """The sets as they were recorded."""
    return [one for one in report.data if not one.noise]


def _rate(summary: Summary | None) -> str:
    return interval(summary.accuracy.rate) if summary and summary.accuracy else ""


def _compared(report: Report, pairs: Sequence[Pair], names: Callable[[Case], str]) -> list[tuple[str, ...]]:
    """A row per set and case: name, set, error rate, audio per time, and speed relative to the first."""
    rows: list[tuple[str, ...]] = []
    for data in _measured(report):
        shown: set[str] = set()
        for pair in pairs:
            for case in pair:
                summary = report.summary(case, data)
                if summary is None or case.key in shown:
                    continue
                shown.add(case.key)
                speed = speed_of(report, pair, data) if case is pair[1] else None
                rtfx = f"{summary.rtfx.value:,.1f}"
                relative = "1" if case is pair[0] else interval(speed)
                rows.append((names(case), data.name, _rate(summary), rtfx, relative))
    return rows


def _table(title: str, first: str, rows: Sequence[tuple[str, ...]], *notes: str) -> Table | None:
    columns = (first, "recordings", "error rate, %", "audio per time", "speed")
    return Table(title=title, columns=columns, rows=tuple(rows), notes=notes) if rows else None


def _models(report: Report) -> Table | None:
    """Table 5: relative latency and error rate of the models."""
    rows = _compared(report, list(_pairs(report, "model")), lambda case: f"{case.model} ({_ways(case)})")
    return _table(
        "Models", "model", rows, "Speed is relative to the first model of the same settings, pair by pair."
    )


def _strategies(report: Report) -> Table | None:
    """Table 7: sequential against chunked."""
    pairs = [
        pair
        for pair in _pairs(report, "strategy", "batch_size", "chunk_length")
        if pair[0].strategy != pair[1].strategy and pair[1].chunk_length is None
    ]
    rows = _compared(report, pairs, lambda case: f"{case.system} {case.model}, {_ways(case)}")
    return _table("Sequential and chunked", "system", rows, "Speed is relative to the first row of a system.")


def _speculative(report: Report) -> Table | None:
    """Table 9: speculative decoding, with a check that nothing but the speed has changed."""
    rows = []
    for first, second in _pairs(report, "assistant"):
        for data in _measured(report):
            same = identical_texts(report, (first, second), data)
            if same is None:
                continue
            rate = _rate(report.summary(second, data))
            speed = interval(speed_of(report, (first, second), data))
            rows.append(
                (f"{second.model} + {second.assistant}", data.name, rate, speed, f"{same[0]} of {same[1]}")
            )
    columns = ("model and draft", "recordings", "error rate, %", "speed", "identical")
    note = (
        "Speed is relative to the model alone, one window at a time, pair by pair. Identical: transcripts "
        "with the same tokens as the model alone."
    )
    title = "Speculative decoding"
    return Table(title=title, columns=columns, rows=tuple(rows), notes=(note,)) if rows else None


def _chunk_lengths(report: Report) -> Table | None:
    """Table 23: the length of chunks."""
    pairs = [pair for pair in _pairs(report, "chunk_length") if pair[1].chunk_length is not None]
    rows = _compared(
        report,
        pairs,
        lambda case: f"{case.model}, {f'{case.chunk_length:g} s' if case.chunk_length else 'its own'}",
    )
    return _table("Length of chunks", "model, length", rows, "Speed is relative to the first length.")


def _repeated(report: Report) -> Table | None:
    """Table 8: repetition and insertion, the marks of hallucination in long recordings."""
    rows, (_, labels) = [], short_labels(report.cases)
    for data in _measured(report):
        for case in report.cases:
            summary = report.summary(case, data)
            if summary is None or summary.accuracy is None or case.repeat:
                continue
            found = summary.accuracy
            parts = (f"{found.insertions:.2f}", f"{found.substitutions:.2f}", f"{found.deletions:.2f}")
            rows.append((labels[case.key], data.name, f"{found.duplicates:,}", *parts))
    columns = (
        "system",
        "recordings",
        "repeated 5-grams",
        "insertions, %",
        "substitutions, %",
        "deletions, %",
    )
    title = "Repetitions and insertions"
    return Table(title=title, columns=columns, rows=tuple(rows)) if rows else None


def _noise(report: Report) -> Table | None:
    """Figure 2: error rate against the level of the noise."""
    swept = noise_sweep(report)
    levels = sorted({level for rates in swept.values() for level in rates}, reverse=True)
    _, labels = short_labels(report.cases)
    rows = tuple(
        (
            labels[line.case.key],
            line.data.name,
            line.noise,
            *(interval(rates.get(level), 1) for level in levels),
        )
        for line, rates in swept.items()
    )
    heads = ("as recorded" if math.isinf(level) else f"{level:g} dB" for level in levels)
    note = (
        "Error rate in % with its 95 % interval; the noise is the same at every level and for every system."
    )
    table = Table(
        title="Error rate and noise",
        columns=("system", "recordings", "noise", *heads),
        rows=rows,
        notes=(note,),
    )
    return table if rows else None


def noise_sweep(report: Report) -> dict[NoiseLine, dict[float, Interval]]:
    """Error rate per signal-to-noise ratio in dB, infinite for the recordings as they are, of every line."""
    found: dict[NoiseLine, dict[float, Interval]] = {}
    for clean in _measured(report):
        for noisy in report.data:
            if noisy.snr is None or noisy.name != noisy_name(clean.name, noisy.noise, noisy.snr):
                continue
            for case in report.cases:
                for data, level in ((clean, math.inf), (noisy, noisy.snr)):
                    summary = report.summary(case, data)
                    if summary is not None and summary.accuracy is not None and not case.repeat:
                        line = NoiseLine(case, clean, noisy.noise)
                        found.setdefault(line, {})[level] = summary.accuracy.rate
    return found


def _alone(report: Report) -> Table | None:
    """Words that are heard in noise in which nobody speaks."""
    rows, (_, labels) = [], short_labels(report.cases)
    for data in report.data:
        if not data.noise or data.snr is not None:
            continue
        for case in report.cases:
            samples = report.samples_of(case, data)
            if samples and not case.repeat:
                words = sum(len(text.split()) for text in samples[0].texts)
                heard = sum(bool(text.strip()) for text in samples[0].texts)
                rows.append(
                    (labels[case.key], f"{60 * words / data.seconds:.1f}", f"{heard} of {len(data.clips)}")
                )
    columns = ("system", "words per minute", "recordings with words")
    note = "Nobody speaks in these recordings: every word is made up."
    return Table(title="Noise alone", columns=columns, rows=tuple(rows), notes=(note,)) if rows else None


def _ways(case: Case) -> str:
    """The settings of a case that tables of models and strategies tell apart."""
    words = [case.backend if case.system == OURS else case.system, case.compute_type, case.strategy]
    words += [f"batch {case.batch_size}"] if case.batch_size > 1 else []
    return " ".join(words)
