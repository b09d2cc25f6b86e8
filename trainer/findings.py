"""Gathers what the report and the card show from a run's folder. Measures nothing and knows no HTML."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from distilcli.errors import NoInputError
from distilcli.sound_files import mp3
from distilcli.trainer import filters
from distilcli.trainer.model_facts import model_facts
from distilcli.trainer.recipe import DistilRecipe, resolved
from distilcli.trainer.records import Corpus
from distilcli.trainer.report import DroppedReason, FilterFacts, ReportData
from distilcli.trainer.run_folder import RunFolder, versions
from distilcli.trainer.scores import Results, read_results
from distilcli.trainer.watch import read_metrics


def collect(
    recipe: DistilRecipe,
    folder: RunFolder,
    corpus: Corpus,
    validation: Corpus | None,
    teacher: Path | None,
) -> ReportData:
    """Returns everything that is known of a run that has a student.

    Raises:
        InputError: a product of an earlier stage is damaged.
        ModelError: a model folder is damaged.
    """
    measured = folder.path / "evaluate" / "results.json"
    results = read_results(measured) if measured.is_file() and validation is not None else Results()
    named = {"teacher": teacher, "student": folder.path / "student"}
    return ReportData(
        title=recipe.report.push_to_hub.rpartition("/")[2] or folder.path.resolve().name,
        language=recipe.data.language,
        models={name: model_facts(path) for name, path in named.items() if path is not None},
        metrics=read_metrics(folder.path / "distil" / "metrics.jsonl"),
        results=results,
        filtered=filter_facts(filters.read(folder.path / "filter").summary()),
        rejected=[f"{one.where}: {one.reason}" for one in corpus.rejected],
        sounds=_sounds(validation, {example.key for example in results.worst}),
        seconds={name: one.seconds for name, one in folder.finished().items()},
        recipe=resolved(recipe),
        versions=versions(),
    )


def filter_facts(summary: Mapping[str, Any]) -> FilterFacts:
    """Turns the filter's summary into what the page shows."""
    return FilterFacts(
        kept=summary["kept"]["recordings"],
        kept_hours=summary["kept"]["hours"],
        dropped=tuple(
            DroppedReason(
                reason=reason,
                recordings=one["recordings"],
                hours=one["hours"],
                examples=tuple(map(_example, one["examples"])),
            )
            for reason, one in summary["dropped"]["reasons"].items()
        ),
        error_rate=summary["error_rate"]["all"],
        kept_error_rate=summary["error_rate"]["kept"],
    )


def _example(row: Mapping[str, Any]) -> str:
    text = f"; text: {row['text']}" if row["text"] is not None else ""
    return f"{row['key']} ({row['detail']}); label: {row['label'] or 'nothing'}{text}"


def _sounds(corpus: Corpus | None, keys: set[str]) -> dict[str, bytes]:
    """MP3 of the recordings with these keys."""
    if corpus is None:
        return {}
    return {
        recording.key: mp3(corpus.sound(index))
        for index, recording in enumerate(corpus.recordings)
        if recording.key in keys
    }


def file_hash(path: Path) -> str:
    """Hash of a file's content.

    Raises:
        NoInputError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]
    except OSError as error:
        raise NoInputError(f"cannot read {path}: {error.strerror or error}") from error
