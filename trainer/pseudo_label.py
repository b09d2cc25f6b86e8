"""Labels every recording with the teacher, as token ids with their scores, into shards that survive a kill.

It knows recordings and a backend; it does not know whether a label is good (`filters`) nor windows of several
recordings (`packing`).
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import sys
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from distilcli import models
from distilcli.audio import from_array
from distilcli.backends.base import Backend, check_options, load_backend
from distilcli.backends.prompts import new_tokens, prompt_of
from distilcli.config import DecodeOptions, EngineOptions
from distilcli.errors import ModelError, UsageError
from distilcli.text import compression_ratio
from distilcli.tokens import Tokenizer, Vocab
from distilcli.trainer.command import RANKS, run_with_recipe
from distilcli.trainer.corpus import open_corpus
from distilcli.trainer.only_writer import only_writer
from distilcli.trainer.recipe import DistilRecipe, LabelOptions
from distilcli.trainer.records import Corpus, Labelled
from distilcli.trainer.shards import Header, Row, commit_shard, read_shards, refuse_another
from distilcli.types import Hypothesis, Span, Window

Progress = Callable[[int, int], None]
"""Hears how many of this process's recordings are labelled, and how many there are."""

_MODEL_SUFFIXES = frozenset((".bin", ".json", ".safetensors", ".txt"))


def label_corpus(
    corpus: Corpus,
    backend: Backend,
    recipe: DistilRecipe,
    folder: Path,
    *,
    rank: int = 0,
    world: int = 1,
    on_progress: Progress | None = None,
) -> None:
    """Labels the recordings that have no label yet, one window each, and commits them shard by shard.

    Consecutive recordings, `label.shard_size` of them, make a shard; shard k belongs to process k modulo
    `world`. A run that is killed and started again repeats at most one shard per process, whatever the number
    of processes is then. New recordings are added; one whose sound or language has changed is labelled anew.

    Args:
        corpus: what to label; language "" is detected.
        backend: the loaded teacher.
        recipe: its `label` options, task, and teacher.
        folder: of the shards.
        rank: number of this process.
        world: processes that label together, all with the same arguments.
        on_progress: called after every shard.

    Raises:
        UsageError: the folder holds labels of another teacher or of other options, or the teacher cannot do
            what the recipe asks for; nothing has been computed then.
        OutputError: the folder cannot be written, or another run is writing into it.
    """
    options = decode_options(recipe)
    _check(corpus, backend, options)
    header = _header(recipe, backend)
    size = recipe.label.shard_size
    mine = [
        range(first, min(first + size, len(corpus.recordings)))
        for first in range(rank * size, len(corpus.recordings), world * size)
    ]
    done, total = 0, sum(map(len, mine))
    with only_writer(folder, "labels", rank):
        known, sequence = _known(folder, header)
        for chunk in mine:
            todo = [
                (i, mark) for i in chunk if known.get(corpus.recordings[i].key) != (mark := _mark(corpus, i))
            ]
            if todo:
                labels = _decode(corpus, [i for i, _ in todo], backend, options, recipe.label)
                rows = [_row(label, mark) for label, (_, mark) in zip(labels, todo, strict=True)]
                commit_shard(folder, sequence, rank, header, rows)
                sequence += 1
            done += len(chunk)
            if on_progress:
                on_progress(done, total)


def _known(folder: Path, header: Header) -> tuple[dict[str, str], int]:
    """Sound marks of the recordings that have a label, by key, and the number of the next shard."""
    known: dict[str, str] = {}
    sequence = 0
    for shard in read_shards(folder):
        refuse_another(shard, header)
        known |= {row["key"]: row["sound"] for row in shard.rows}
        sequence = shard.sequence + 1
    return known, sequence


def read_labels(folder: Path) -> dict[str, Labelled]:
    """Reads all committed labels by `Recording.key`; the newest where there are several.

    Raises:
        InputError: a shard is damaged.
    """
    return {row["key"]: _label(row) for shard in read_shards(folder) for row in shard.rows}


def teacher_hash(model_folder: Path) -> str:
    """Hash of weights, configuration and tokenizer: equal for the same model wherever it lies.

    Raises:
        ModelError: the folder cannot be read or holds no model.
    """
    digest = hashlib.sha256()
    try:
        files = sorted(path for path in model_folder.iterdir() if path.suffix in _MODEL_SUFFIXES)
        for path in files:
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
            digest.update(f"{path.name}\0{content}\0".encode())
    except OSError as error:
        raise ModelError(f"cannot read the teacher {model_folder}: {error.strerror}") from error
    if not files:
        raise ModelError(f"{model_folder} is not a model folder: it has no weights and no configuration")
    return digest.hexdigest()[:16]


def teacher_name(recipe: DistilRecipe) -> str:
    """Name or folder of the model that labels."""
    return recipe.teacher.model or str(recipe.folder / "teacher")


def decode_options(recipe: DistilRecipe) -> DecodeOptions:
    """How a window is decoded for its label."""
    label = recipe.label
    return DecodeOptions(
        task=recipe.data.task,
        timestamps=label.timestamps,
        beam_size=label.beam_size,
        max_new_tokens=label.max_tokens,
    )


def _header(recipe: DistilRecipe, backend: Backend) -> Header:
    name, label, made_by = teacher_name(recipe), recipe.label, backend.capabilities
    folder = Path(name)
    return Header(
        teacher=name,
        teacher_hash=teacher_hash(folder if folder.is_dir() else models.resolve(name, label.backend).folder),
        options={
            "task": recipe.data.task,
            "backend": label.backend,
            "compute_type": label.compute_type,
            "beam_size": label.beam_size,
            "timestamps": label.timestamps,
            "max_tokens": label.max_tokens,
        },
        engine=f"{made_by.backend} {made_by.compute_type} on {made_by.device}",
    )


def _check(corpus: Corpus, backend: Backend, options: DecodeOptions) -> None:
    """Refuses before any work what the teacher cannot do."""
    check_options(backend.capabilities, options)
    vocab = backend.tokenizer.vocab
    if not vocab.multilingual and options.task != "transcribe":
        raise UsageError(f"data.task: the teacher knows English only and cannot {options.task}")
    known = {"", *(vocab.languages if vocab.multilingual else ("en",))}
    odd = next((one for one in corpus.recordings if one.language not in known), None)
    if odd is not None:
        knows = "does not know this language" if vocab.multilingual else "knows English only"
        raise UsageError(
            f"{odd.key} is in '{odd.language}', but the teacher {knows}",
            hint="choose another teacher: --set teacher.model=large-v3",
        )


def _decode(
    corpus: Corpus, indices: Sequence[int], backend: Backend, options: DecodeOptions, label: LabelOptions
) -> list[Labelled]:
    """Labels of some recordings, in their order; decoded by length, because a batch lasts as its longest."""
    by_length = sorted(indices, key=lambda index: corpus.recordings[index].samples)
    found: dict[int, Labelled] = {}
    for first in range(0, len(by_length), label.batch_size):
        batch = by_length[first : first + label.batch_size]
        windows = _with_languages(backend, [_window(corpus, index) for index in batch])
        hypotheses = backend.decode(windows, options)
        for index, window, hypothesis in zip(batch, windows, hypotheses, strict=True):
            found[index] = _labelled(window, hypothesis, backend.tokenizer, options)
    return [found[index] for index in indices]


def _window(corpus: Corpus, index: int) -> Window:
    audio = from_array(corpus.sound(index), corpus.recordings[index].key)
    return Window(audio, Span(0.0, audio.duration), language=corpus.recordings[index].language or None)


def _with_languages(backend: Backend, windows: Sequence[Window]) -> list[Window]:
    """The windows with a language: their own, or the most likely one."""
    if not backend.tokenizer.vocab.multilingual:
        return [dataclasses.replace(window, language="en") for window in windows]
    unknown = [window for window in windows if window.language is None]
    answers = backend.detect_language(unknown) if unknown else []
    likely = {
        window.audio: max(answer, key=answer.__getitem__)
        for window, answer in zip(unknown, answers, strict=True)
    }
    return [
        window if window.language else dataclasses.replace(window, language=likely[window.audio])
        for window in windows
    ]


def _labelled(
    window: Window, hypothesis: Hypothesis, tokenizer: Tokenizer, options: DecodeOptions
) -> Labelled:
    assert window.language is not None
    text = tokenizer.decode(hypothesis.tokens).strip()
    return Labelled(
        key=window.audio.name,
        tokens=hypothesis.tokens,
        language=window.language,
        task=options.task,
        avg_logprob=hypothesis.avg_logprob,
        no_speech_prob=hypothesis.no_speech_prob,
        compression_ratio=compression_ratio(text),
        truncated=is_truncated(window, hypothesis, tokenizer.vocab, options),
        text=text,
    )


def is_truncated(window: Window, hypothesis: Hypothesis, vocab: Vocab, options: DecodeOptions) -> bool:
    """Whether the decoder ran into its limit: it wrote as many tokens as it may, and none was the end."""
    return len(hypothesis.tokens) >= new_tokens(prompt_of(window, vocab, options), options)


def _mark(corpus: Corpus, index: int) -> str:
    """What a label depends on besides the teacher and its options: the sound, and the language given."""
    recording = corpus.recordings[index]
    return f"{zlib.crc32(corpus.sound(index).tobytes()):08x}-{recording.samples}-{recording.language}"


def _row(label: Labelled, mark: str) -> Row:
    return dataclasses.asdict(label) | {"sound": mark}


def _label(row: Row) -> Labelled:
    fields = {name: value for name, value in row.items() if name != "sound"}
    return Labelled(**fields | {"tokens": tuple(row["tokens"])})


@dataclass(frozen=True, slots=True)
class Place:
    """This process among those that `accelerate launch` or `torchrun` has started."""

    rank: int
    world: int
    local: int
    """Number on its machine."""


_PLACES = (
    (RANKS, 0),
    (("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE"), 1),
    (("LOCAL_RANK", "MPI_LOCALRANKID", "OMPI_COMM_WORLD_LOCAL_RANK"), 0),
)
"""Names of rank, world and local rank in the order of `RANKS`, each with its value without a launcher."""


def place() -> Place:
    """Reads what the launcher says in the environment; a process without a launcher is alone.

    Labelling needs no messages between processes, so none are joined: one that fails costs its own shards.
    """
    rank, world, local = (
        int(next((os.environ[name] for name in names if name in os.environ), default))
        for names, default in _PLACES
    )
    return Place(rank, world, local)


def engine_options(label: LabelOptions, where: Place) -> EngineOptions:
    """The teacher's engine; processes on one machine take one GPU each where there are several."""
    device = label.device
    if where.world > 1 and device in ("auto", "cuda"):
        import torch

        gpus = torch.cuda.device_count()
        device = f"cuda:{where.local % gpus}" if gpus else device
    return EngineOptions(
        backend=label.backend, device=device, compute_type=label.compute_type, threads=label.threads
    )


def main(arguments: list[str] | None = None) -> int:
    """Command line of this stage, alone or under `accelerate launch` or `torchrun`."""
    return run_with_recipe(
        "Label the recordings of a recipe with its teacher.", lambda recipe: _run(recipe, place()), arguments
    )


def _run(recipe: DistilRecipe, where: Place) -> None:
    corpus = open_corpus(recipe.data.sources, recipe.data, recipe.folder / "corpus")
    if where.rank == 0:
        sys.stderr.writelines(f"skipped {one.where}: {one.reason}\n" for one in corpus.rejected)
    model = models.resolve(teacher_name(recipe), recipe.label.backend)
    backend = load_backend(model.folder, engine_options(recipe.label, where))
    try:
        label_corpus(
            corpus,
            backend,
            recipe,
            recipe.folder / "labels",
            rank=where.rank,
            world=where.world,
            on_progress=lambda done, total: _say(where, done, total),
        )
    finally:
        backend.close()


def _say(where: Place, done: int, total: int) -> None:
    process = f" (process {where.rank} of {where.world})" if where.world > 1 else ""
    sys.stderr.write(f"labelled {done} of {total} recordings{process}\n")


if __name__ == "__main__":
    sys.exit(main())
