"""Samples -> summaries and ratios: medians over rounds, ratios pair by pair, error rates with intervals.

Functions of values. Knows no process and no page.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from distilcli import intervals, measures
from distilcli.accuracy import Accuracy, Answer, accuracy_of, counts_of, normalised
from distilcli.bench.values import Case, ClipSet, Ratio, Sample, Summary
from distilcli.intervals import Interval
from distilcli.measures import Counts

DRAWS = 1000


@dataclass(slots=True)
class Analysis:
    """What is asked of the samples of one bench; `spelling` is that of the English normaliser.

    Error rates of texts that several rounds or cases share are computed once: aligning takes long.
    """

    spelling: Mapping[str, str]
    draws: int = DRAWS
    _accuracy: dict[tuple[str, tuple[str, ...]], Accuracy | None] = field(default_factory=dict, init=False)

    def summary(self, case: Case, data: ClipSet, samples: Sequence[Sample]) -> Summary:
        """What the samples (at least one, none of them failed) of a case on a set come to."""
        first, hours = samples[0], data.seconds / 3600
        wall = intervals.median([one.wall for one in samples])
        model = _median([one.model for one in samples])
        latencies = [seconds for one in samples for seconds in one.latencies]
        firsts = [seconds for one in samples for seconds in one.first_segments]
        tokens = _median([one.tokens for one in samples])
        return Summary(
            case=case.key,
            data=data.key,
            rounds=len(samples),
            wall=wall,
            cpu=statistics.median(one.cpu for one in samples),
            rtfx=Interval(data.seconds / wall.value, data.seconds / wall.high, data.seconds / wall.low),
            rtfx_model=data.seconds / model if model else None,
            latency_p50=intervals.percentile(latencies, 50) if latencies else None,
            latency_p95=intervals.percentile(latencies, 95) if latencies else None,
            first_segment=statistics.median(firsts) if firsts else None,
            tokens_per_second=tokens / wall.value if tokens is not None else None,
            load=statistics.median({one.load for one in samples}),
            peak_rss=max(one.peak_rss for one in samples),
            peak_vram=max((one.peak_vram for one in samples if one.peak_vram is not None), default=None),
            fallbacks_per_hour=_per(_median([one.fallbacks for one in samples]), hours),
            retries_per_hour=_per(_median([one.retries for one in samples]), hours),
            windows=first.windows,
            encoder_calls=first.encoder_calls,
            flags=first.flags,
            stages=_stages(samples),
            accuracy=self.accuracy(data, first.texts),
            compute_type=first.compute_type,
            stable=all(one.texts == first.texts for one in samples),
        )

    def accuracy(self, data: ClipSet, texts: tuple[str, ...]) -> Accuracy | None:
        """Error rates of one round; None where nobody knows what is said in a clip."""
        key = data.key, texts
        if key not in self._accuracy:
            answers = _answers(data, texts)
            self._accuracy[key] = accuracy_of(answers, self.draws, self.spelling) if answers else None
        return self._accuracy[key]

    def ratio(
        self, case: Case, baseline: Case, data: ClipSet, samples: Sequence[Sample], others: Sequence[Sample]
    ) -> Ratio | None:
        """How a case compares with the baseline (`others`); None where they share no round."""
        known = {one.round: one for one in others}
        pairs = [(one, known[one.round]) for one in samples if one.round in known]
        if not pairs:
            return None
        mine, theirs = pairs[0][0].texts, pairs[0][1].texts
        return Ratio(
            case=case.key,
            baseline=baseline.key,
            data=data.key,
            pairs=len(pairs),
            speed=intervals.median_ratio([b.wall for _, b in pairs], [a.wall for a, _ in pairs]),
            cpu=intervals.median_ratio([b.cpu for _, b in pairs], [a.cpu for a, _ in pairs]),
            points=self._points(data, mine, theirs),
            same_texts=self._same(data, mine, theirs),
        )

    def _points(self, data: ClipSet, mine: tuple[str, ...], theirs: tuple[str, ...]) -> Interval | None:
        if not _answers(data, mine):
            return None
        counts: list[list[Counts]] = [
            counts_of(_answers(data, texts), self.spelling) for texts in (theirs, mine)
        ]
        return measures.difference_with_interval(counts[0], counts[1], self.draws)

    def _same(self, data: ClipSet, mine: Sequence[str], theirs: Sequence[str]) -> float:
        """Share of the clips whose words are the same after normalisation."""
        answers = [
            Answer(key=clip.path, reference=one, text=other, language=clip.language or "en")
            for clip, one, other in zip(data.clips, mine, theirs, strict=True)
        ]
        pairs = normalised(answers, self.spelling)
        return sum(one == other for one, other in pairs) / len(pairs)


def _answers(data: ClipSet, texts: Sequence[str]) -> list[Answer]:
    """The texts beside their references; none when a reference is missing."""
    if any(clip.text is None for clip in data.clips):
        return []
    return [
        Answer(key=clip.path, reference=clip.text or "", text=text, language=clip.language or "en")
        for clip, text in zip(data.clips, texts, strict=True)
    ]


def _stages(samples: Sequence[Sample]) -> dict[str, float]:
    """The stages of the run with the median wall time: medians of each would not add up to any run."""
    return sorted(samples, key=lambda one: one.wall)[(len(samples) - 1) // 2].stages


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def _per(number: float | None, hours: float) -> float | None:
    return None if number is None or not hours else number / hours
