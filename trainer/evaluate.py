"""Measures models on recordings with text: short, sequential and chunked, with and without noise.

It knows recordings, models and modes; it does not know how a model was trained. Every transcript is kept as
soon as a model has finished a mode, so a run that was stopped repeats at most one.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from distilcli import models as model_names
from distilcli.accuracy import Answer, spelling_of
from distilcli.backends.base import Backend
from distilcli.config import (
    ChunkedOptions,
    DecodeOptions,
    EngineOptions,
    FallbackOptions,
    SequentialOptions,
    TranscribeOptions,
)
from distilcli.edit import mix
from distilcli.errors import DistilError, NoInputError
from distilcli.pipeline import load_model, transcribe_many
from distilcli.sound_files import write_wave
from distilcli.trainer.recipe import DistilRecipe
from distilcli.trainer.records import Corpus
from distilcli.trainer.scores import (
    Measured,
    Results,
    difference,
    score,
    worst,
    write_results,
)
from distilcli.trainer.watch import Listener
from distilcli.types import SAMPLE_RATE
from distilcli.writers.atomic import write_atomically

LONG_SECONDS = 120.0
"""Recordings of a speaker are joined up to this length for the long-form modes: several windows each."""

PAUSE_SECONDS = 0.5
"""Silence between recordings that are joined."""

AT_ONCE = 64
"""Recordings that lie on disk at the same time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One recording to transcribe: a recording of the corpus, or several of one speaker joined."""

    parts: tuple[int, ...]
    """Indices of recordings of the corpus."""
    key: str
    text: str
    language: str
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One model in one mode."""

    model: str
    mode: str
    snr: float | None = None

    @property
    def name(self) -> str:
        """Name of the file that its transcripts are kept in."""
        return f"{self.model}-{self.mode}" + ("" if self.snr is None else f"-{self.snr:g}dB")


def evaluate(
    recipe: DistilRecipe, corpus: Corpus, models: Mapping[str, Path], listener: Listener | None = None
) -> Results:
    """Measures every model in every mode and writes `evaluate/results.json` into the run's folder.

    Temperatures above 0 are never tried: results depend on the weights alone, and the times of two models can
    be compared.

    Args:
        recipe: what is measured, and the run's folder.
        corpus: recordings with text.
        models: name to Hugging Face folder; the first is the baseline of the differences.
        listener: hears of every job.

    Raises:
        NoInputError: no recording has text.
        DistilError: a model cannot be loaded, or the results cannot be written.
    """
    listener = listener or Listener()
    options = recipe.evaluate
    short = short_cases(corpus, options.max_samples)
    long = long_cases(short, corpus)
    cases = {"short": short, "sequential": long, "chunked": long}
    folder = recipe.folder / "evaluate"
    folder.mkdir(parents=True, exist_ok=True)
    measured: dict[Job, Measured] = {}
    todo = jobs(recipe, list(models))
    for model, path in models.items():
        mine = [job for job in todo if job.model == model]
        for job, one in _measure_model(recipe, corpus, cases, path, mine):
            measured[job] = one
            listener.progress("evaluate", len(measured), len(todo), "measurements")
    found = results([measured[job] for job in todo], recipe, spelling_of(models.values()))
    write_results(folder / "results.json", found)
    return found


def jobs(recipe: DistilRecipe, models: Sequence[str]) -> list[Job]:
    """Every measurement that a recipe asks for: modes first, then the noise sweep in short mode."""
    options = recipe.evaluate
    wanted: list[tuple[str, float | None]] = [(mode, None) for mode in options.modes]
    wanted += [("short", snr) for snr in options.snr]
    return [Job(model=model, mode=mode, snr=snr) for mode, snr in wanted for model in models]


def results(measured: Sequence[Measured], recipe: DistilRecipe, spelling: Mapping[str, str]) -> Results:
    """Turns transcripts into figures; the first model of each mode is the baseline of the others."""
    resamples = recipe.evaluate.bootstrap
    groups: dict[tuple[str, float | None], list[Measured]] = {}
    for one in measured:
        groups.setdefault((one.mode, one.snr), []).append(one)
    return Results(
        scores=tuple(score(one, resamples, spelling) for one in measured),
        differences=tuple(
            difference(group[0], other, resamples, spelling)
            for group in groups.values()
            for other in group[1:]
        ),
        worst=worst(groups.get(("short", None), []), recipe.report.worst, spelling),
    )


def short_cases(corpus: Corpus, limit: int = 0) -> list[Case]:
    """Every recording that has text, as it is; the first `limit` of them where that is not 0.

    Raises:
        NoInputError: none has text.
    """
    found = [
        Case(
            parts=(index,),
            key=recording.key,
            text=recording.text,
            language=recording.language,
            seconds=recording.seconds,
        )
        for index, recording in enumerate(corpus.recordings)
        if recording.text is not None
    ]
    if not found:
        raise NoInputError(
            "expected validation recordings with text, found none with text to compare with",
            hint="name a source with text in data.validation, or leave it empty to skip the evaluation",
        )
    return found[:limit] if limit else found


def long_cases(cases: Sequence[Case], corpus: Corpus) -> list[Case]:
    """Joins neighbouring recordings of one source, speaker and language up to `LONG_SECONDS`."""
    joined: list[Case] = []
    before: tuple[str, str | None, str] | None = None
    for case in cases:
        recording = corpus.recordings[case.parts[0]]
        group = (recording.source, recording.speaker, recording.language)
        if joined and group == before and joined[-1].seconds + PAUSE_SECONDS + case.seconds <= LONG_SECONDS:
            last = joined[-1]
            joined[-1] = dataclasses.replace(
                last,
                parts=last.parts + case.parts,
                text=f"{last.text} {case.text}",
                seconds=last.seconds + PAUSE_SECONDS + case.seconds,
            )
        else:
            joined.append(case)
        before = group
    return joined


def sound_of(case: Case, corpus: Corpus, snr: float | None = None) -> NDArray[np.int16]:
    """Samples of a case, (n,) int16 at 16 kHz, with white noise at `snr` dB; always the same noise."""
    pause = np.zeros(round(PAUSE_SECONDS * SAMPLE_RATE), dtype=np.int16)
    pieces = [piece for part in case.parts for piece in (pause, corpus.sound(part))][1:]
    samples = np.concatenate(pieces)
    if snr is None:
        return samples
    rng = np.random.default_rng(list(hashlib.sha256(case.key.encode()).digest()))
    noise = rng.standard_normal(len(samples), dtype=np.float32) * np.float32(0.1)
    noisy = mix(samples.astype(np.float32) / np.float32(32768.0), noise, snr)
    return np.clip(np.round(noisy * 32768.0), -32768, 32767).astype(np.int16)


def _measure_model(
    recipe: DistilRecipe, corpus: Corpus, cases: Mapping[str, Sequence[Case]], path: Path, mine: list[Job]
) -> Iterator[tuple[Job, Measured]]:
    """Yields the jobs of one model: kept ones from disk, the others by transcribing; loads it only then."""
    from distilcli.trainer.pseudo_label import teacher_hash

    weights = teacher_hash(path)
    backend: Backend | None = None
    try:
        for job in mine:
            kept = recipe.folder / "evaluate" / f"{job.name}.json"
            inputs = _digest(recipe, corpus, job, weights)
            found = _read_kept(kept, inputs)
            if found is None:
                backend = backend or _load(recipe, path)
                options = _options(recipe, path, job.mode)
                found = _transcribe(backend, corpus, cases[job.mode], job, options)
                row = {"inputs": inputs, "measured": dataclasses.asdict(found)}
                write_atomically(kept, json.dumps(row, ensure_ascii=False) + "\n")
            yield job, found
    finally:
        if backend is not None:
            backend.close()


def _digest(recipe: DistilRecipe, corpus: Corpus, job: Job, weights: str) -> str:
    """Hash of everything that the transcripts of a job depend on."""
    options = recipe.evaluate
    parts = (job, weights, corpus.digest, recipe.data.task, options.backend, options.compute_type)
    return hashlib.sha256(repr((*parts, options.beam_size, options.max_samples)).encode()).hexdigest()


def _read_kept(path: Path, inputs: str) -> Measured | None:
    """Transcripts of an earlier run with the same inputs; None where there are none."""
    if not path.is_file():
        return None
    row = json.loads(path.read_text(encoding="utf-8"))
    if row["inputs"] != inputs:
        return None
    answers = tuple(Answer(**answer) for answer in row["measured"].pop("answers"))
    return Measured(**row["measured"], answers=answers)


def _load(recipe: DistilRecipe, path: Path) -> Backend:
    options = recipe.evaluate
    engine = EngineOptions(
        backend=options.backend,
        device=recipe.label.device,
        compute_type=options.compute_type,
        threads=recipe.label.threads,
    )
    return load_model(str(path), engine, offline=True)


def _options(recipe: DistilRecipe, path: Path, mode: str) -> TranscribeOptions:
    """Options of a mode, with the model's own defaults, as `distilcli transcribe` would have them."""
    options = recipe.evaluate
    facts = model_names.resolve(str(path), options.backend, offline=True)
    return TranscribeOptions(
        long_form="auto" if mode == "short" else mode,
        decode=DecodeOptions(task=recipe.data.task, beam_size=options.beam_size),
        fallback=FallbackOptions(temperatures=(0.0,)),
        sequential=SequentialOptions(condition_on_previous_text=facts.condition_on_previous_text),
        chunked=ChunkedOptions(chunk_length=facts.chunk_length, batch_size=options.batch_size),
    )


def _transcribe(
    backend: Backend, corpus: Corpus, cases: Sequence[Case], job: Job, options: TranscribeOptions
) -> Measured:
    """Transcribes all cases, language by language; writing their files is not part of the time."""
    texts: dict[str, str] = {}
    seconds = 0.0
    with tempfile.TemporaryDirectory() as scratch:
        warm = Path(scratch) / "warm-up.wav"
        write_wave(warm, sound_of(cases[0], corpus, job.snr)[: 5 * SAMPLE_RATE])
        transcribe_many([warm], backend, dataclasses.replace(options, language=cases[0].language or None))
        for language in dict.fromkeys(case.language for case in cases):
            spoken = dataclasses.replace(options, language=language or None)
            mine = [case for case in cases if case.language == language]
            for group in (mine[at : at + AT_ONCE] for at in range(0, len(mine), AT_ONCE)):
                paths = [Path(scratch) / f"{number}.wav" for number in range(len(group))]
                for case, path in zip(group, paths, strict=True):
                    write_wave(path, sound_of(case, corpus, job.snr))
                began = time.perf_counter()
                found = transcribe_many(paths, backend, spoken)
                seconds += time.perf_counter() - began
                for case, transcript in zip(group, found, strict=True):
                    if isinstance(transcript, DistilError):
                        raise transcript
                    texts[case.key] = transcript.text
    return Measured(
        model=job.model,
        mode=job.mode,
        snr=job.snr,
        audio_seconds=sum(case.seconds for case in cases),
        seconds=seconds,
        answers=tuple(
            Answer(key=case.key, reference=case.text, text=texts[case.key], language=case.language)
            for case in cases
        ),
    )
