"""Which labels are good enough, recording by recording, and a report of what was dropped and why.

It knows labels, texts and thresholds; it does not know sound, models or windows.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distilcli.errors import InputError, NoInputError
from distilcli.measures import (
    Counts,
    Normaliser,
    count_characters,
    count_words,
    counts_characters,
    normaliser,
    total,
)
from distilcli.trainer.durable import writing
from distilcli.trainer.recipe import DistilRecipe, FilterOptions
from distilcli.trainer.records import Corpus, Labelled, Recording
from distilcli.writers.atomic import write_atomically

_FILE = "filter.json"
_SUMMARY = "summary.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Dropped:
    """A recording that is not learnt from."""

    recording: int
    """Index into `Corpus.recordings`."""
    key: str
    reason: str
    """Name of the first rule that it broke."""
    label: str
    """What the teacher wrote."""
    text: str | None
    """What the source says."""
    detail: str
    """Value and limit."""
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Filtered:
    """What the filter decided about every recording of a corpus."""

    corpus: str
    """Digest of the corpus."""
    kept: tuple[int, ...]
    """Indices into `Corpus.recordings`, in order."""
    kept_seconds: float
    dropped: tuple[Dropped, ...]
    error_rate: float | None
    """Of all labels against the sources' texts, per cent; None where no source has text."""
    kept_error_rate: float | None
    """The same of the labels that were kept."""
    examples: int
    """Examples per reason in the summary."""

    def summary(self) -> dict[str, Any]:
        """Counts and hours, kept and per reason, with examples; plain JSON values."""
        reasons: dict[str, dict[str, Any]] = {}
        for reason in dict.fromkeys(one.reason for one in self.dropped):
            found = [one for one in self.dropped if one.reason == reason]
            reasons[reason] = {
                "recordings": len(found),
                "hours": _hours(one.seconds for one in found),
                "examples": [
                    {"key": one.key, "label": one.label, "text": one.text, "detail": one.detail}
                    for one in found[: self.examples]
                ],
            }
        return {
            "recordings": len(self.kept) + len(self.dropped),
            "kept": {"recordings": len(self.kept), "hours": _hours([self.kept_seconds])},
            "dropped": {
                "recordings": len(self.dropped),
                "hours": _hours(one.seconds for one in self.dropped),
                "reasons": dict(sorted(reasons.items(), key=lambda item: -item[1]["recordings"])),
            },
            "error_rate": {"all": self.error_rate, "kept": self.kept_error_rate},
        }


@dataclass(frozen=True, slots=True)
class Case:
    """One label beside its recording, as the rules see it."""

    recording: Recording
    label: Labelled
    errors: Counts | None
    """Of the normalised label against the normalised text; None without text."""
    unit: str
    """word or character: what `errors` counts."""

    @property
    def rate(self) -> float:
        """Characters of the label per second."""
        return len(self.label.text) / self.recording.seconds


Rule = Callable[[Case, FilterOptions], str | None]
"""Says what is wrong with a label, with value and limit; None: nothing."""


def _truncated(case: Case, options: FilterOptions) -> str | None:
    if options.drop_truncated and case.label.truncated:
        return f"{len(case.label.tokens)} tokens without an end"
    return None


def _empty(case: Case, options: FilterOptions) -> str | None:
    if options.keep_empty or case.label.text or case.recording.text:
        return None
    return "neither label nor text"


def _no_speech(case: Case, options: FilterOptions) -> str | None:
    label = case.label
    if (
        label.text
        and label.no_speech_prob > options.max_no_speech
        and label.avg_logprob < options.min_logprob
    ):
        return f"no-speech probability {label.no_speech_prob:.2f}, at most {options.max_no_speech:g}"
    return None


def _improbable(case: Case, options: FilterOptions) -> str | None:
    if case.label.text and case.label.avg_logprob < options.min_logprob:
        return f"{case.label.avg_logprob:.2f} nats per token, at least {options.min_logprob:g}"
    return None


def _repeats(case: Case, options: FilterOptions) -> str | None:
    if case.label.compression_ratio > options.max_compression:
        return f"compression ratio {case.label.compression_ratio:.2f}, at most {options.max_compression:g}"
    return None


def _slow(case: Case, options: FilterOptions) -> str | None:
    if case.label.text and case.rate < options.min_rate:
        return f"{case.rate:.1f} characters per second, at least {options.min_rate:g}"
    return None


def _fast(case: Case, options: FilterOptions) -> str | None:
    if case.rate > options.max_rate:
        return f"{case.rate:.1f} characters per second, at most {options.max_rate:g}"
    return None


def _wrong(case: Case, options: FilterOptions) -> str | None:
    if case.errors is not None and case.errors.rate > options.wer_threshold:
        return f"{case.unit} error rate {case.errors.rate:.1f} %, at most {options.wer_threshold:g} %"
    return None


RULES: dict[str, Rule] = {
    "truncated": _truncated,
    "empty": _empty,
    "no speech": _no_speech,
    "low probability": _improbable,
    "repetition": _repeats,
    "too slow": _slow,
    "too fast": _fast,
    "error rate": _wrong,
}
"""Reason -> rule, in the order in which they are asked; the first that objects gives the reason."""

UNLABELLED = "no label"
"""Reason of a recording that has no label: without a teacher, one without text."""

_WAYS_OUT = {
    "truncated": "label.max_tokens=444",
    "empty": "filter.keep_empty=true",
    "no speech": "filter.max_no_speech=1.0",
    "low probability": "filter.min_logprob=-2.0",
    "repetition": "filter.max_compression=4.0",
    "too slow": "filter.min_rate=0.0",
    "too fast": "filter.max_rate=100.0",
    "error rate": "filter.wer_threshold=30.0",
}


def filter_labels(
    corpus: Corpus,
    labels: Mapping[str, Labelled],
    recipe: DistilRecipe,
    spelling: Mapping[str, str] | None = None,
) -> Filtered:
    """Judges every label by the recipe's `filter` options.

    A label is compared with the source's text, where there is one, after normalisation for its language; in
    characters for languages that are written without spaces. An empty text and an empty label agree.

    Args:
        corpus: the recordings.
        labels: by `Recording.key`.
        recipe: its `filter` options and whether it has a teacher.
        spelling: British to American spellings of the English normaliser (a model's `normalizer.json`).

    Raises:
        NoInputError: there is a teacher, and a recording without a label.
    """
    _need_labels(corpus, labels, recipe)
    normalisers = {code: normaliser(code, spelling) for code in {_target(label) for label in labels.values()}}
    kept: list[int] = []
    dropped: list[Dropped] = []
    counts: dict[int, Counts] = {}
    for index, recording in enumerate(corpus.recordings):
        label = labels.get(recording.key)
        if label is None:
            dropped.append(_dropped(index, recording, None, UNLABELLED, "no text and no teacher"))
            continue
        case = _case(recording, label, normalisers[_target(label)], recipe.filter)
        if case.errors is not None:
            counts[index] = case.errors
        broken = next(
            ((reason, detail) for reason, rule in RULES.items() if (detail := rule(case, recipe.filter))),
            None,
        )
        if broken is None:
            kept.append(index)
        else:
            dropped.append(_dropped(index, recording, label, *broken))
    return Filtered(
        corpus=corpus.digest,
        kept=tuple(kept),
        kept_seconds=sum(corpus.recordings[index].seconds for index in kept),
        dropped=tuple(dropped),
        error_rate=_rate(list(counts.values())),
        kept_error_rate=_rate([counts[index] for index in kept if index in counts]),
        examples=recipe.filter.examples,
    )


def write(filtered: Filtered, folder: Path) -> None:
    """Writes the decisions and, for people and for the report, their summary.

    Raises:
        NoInputError: nothing was kept; the files say why, and so does the message.
        OutputError: the folder cannot be written.
    """
    with writing(folder / _FILE):
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in ((_SUMMARY, filtered.summary()), (_FILE, dataclasses.asdict(filtered))):
            write_atomically(folder / name, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    if not filtered.kept:
        raise _nothing_left(filtered, folder)


def read(folder: Path) -> Filtered:
    """Reads what `write` wrote.

    Raises:
        InputError: missing or damaged.
    """
    path = folder / _FILE
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        dropped = tuple(Dropped(**one) for one in table.pop("dropped"))
        return Filtered(kept=tuple(table.pop("kept")), dropped=dropped, **table)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{path} cannot be read as the filter's decisions: {error}") from error


def _need_labels(corpus: Corpus, labels: Mapping[str, Labelled], recipe: DistilRecipe) -> None:
    if not recipe.teacher.model and not recipe.teacher.recipe:
        return
    missing = [one.key for one in corpus.recordings if one.key not in labels]
    if missing:
        raise NoInputError(
            f"{len(missing)} of {len(corpus.recordings)} recordings have no label, the first is {missing[0]}",
            hint="distilcli train --config RECIPE --stage label",
        )


def _target(label: Labelled) -> str:
    """Language of the label's text."""
    return "en" if label.task == "translate" else label.language


def _case(recording: Recording, label: Labelled, normalised: Normaliser, options: FilterOptions) -> Case:
    characters = options.metric == "cer" or (options.metric == "auto" and counts_characters(_target(label)))
    count = count_characters if characters else count_words
    errors = None
    if recording.text is not None:
        errors = count(normalised(recording.text), normalised(label.text))
    return Case(recording, label, errors, "character" if characters else "word")


def _dropped(index: int, recording: Recording, label: Labelled | None, reason: str, detail: str) -> Dropped:
    return Dropped(
        recording=index,
        key=recording.key,
        reason=reason,
        label=label.text if label else "",
        text=recording.text,
        detail=detail,
        seconds=recording.seconds,
    )


def _rate(counts: Sequence[Counts]) -> float | None:
    return round(total(counts).rate, 3) if counts else None


def _nothing_left(filtered: Filtered, folder: Path) -> NoInputError:
    """Names every reason with its count and one example, and the option that matters most."""
    reasons: dict[str, dict[str, Any]] = filtered.summary()["dropped"]["reasons"]
    first = {reason: next(one for one in filtered.dropped if one.reason == reason) for reason in reasons}
    listing = "; ".join(
        f"{found['recordings']} for {reason} (such as {first[reason].key}: {first[reason].detail})"
        for reason, found in reasons.items()
    )
    way_out = _WAYS_OUT.get(next(iter(reasons), ""))
    return NoInputError(
        f"the filter drops all {len(filtered.dropped)} recordings: {listing}; more in {folder / _SUMMARY}",
        hint=f"loosen it, for instance --set {way_out}" if way_out else None,
    )


def _hours(seconds: Iterable[float]) -> float:
    return float(round(sum(seconds) / 3600, 4))
