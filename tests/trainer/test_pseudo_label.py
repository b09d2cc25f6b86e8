"""Labelling: what is stored, how processes share the work, and what a kill costs."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from distilcli.backends.base import Backend, load_backend
from distilcli.backends.scripted import Scripted
from distilcli.config import EngineOptions
from distilcli.errors import DistilError, ModelError, OutputError, UsageError
from distilcli.trainer.pseudo_label import (
    Place,
    engine_options,
    label_corpus,
    main,
    place,
    read_labels,
    teacher_hash,
)
from distilcli.trainer.recipe import DistilRecipe, LabelOptions
from distilcli.trainer.records import Corpus, Labelled, Recording
from distilcli.trainer.shards import read_shards
from distilcli.types import SAMPLE_RATE, Hypothesis, Window
from tests.support.media import write_wav
from tests.support.ports import free_port
from tests.support.tokenizer import tokenizer_of
from tests.support.toy import LANGUAGE, toy_clip, toy_ct2_folder, toy_folder, toy_tokens
from tests.trainer.corpora import corpus_of, fake_teacher, recipe_for, spoken

ROOT = Path(__file__).parents[2]
MULTILINGUAL, ENGLISH = 51865, 51864


def answer(window: Window) -> Hypothesis:
    """An answer that depends on the sound alone: one word per tenth of a second, scores from the samples."""
    samples = np.asarray(window.audio.samples[0 : len(window.audio.samples)])
    words = [1000 + int(abs(one) * 1000) for one in samples[:: SAMPLE_RATE // 10]]
    return Hypothesis(tuple(words), float(-abs(samples[0])), 0.25, language=window.language)


def teacher(size: int = MULTILINGUAL, **options: object) -> Scripted:
    return Scripted(answer, tokenizer_of(size), **options)  # type: ignore[arg-type]


def corpus(count: int = 10, **changes: object) -> Corpus:
    return corpus_of([spoken(n, seconds=0.5 + n / 10, **changes) for n in range(count)])  # type: ignore[arg-type]


def recipe(folder: Path, **label: object) -> DistilRecipe:
    return recipe_for(folder, label=LabelOptions(**{"shard_size": 4, "batch_size": 2} | label))  # type: ignore[arg-type]


def labels_of(
    found: Corpus, folder: Path, backend: Backend | None = None, **label: object
) -> dict[str, Labelled]:
    label_corpus(found, backend or teacher(), recipe(folder, **label), folder / "labels")
    return read_labels(folder / "labels")


def test_a_label_is_the_teachers_answer_with_its_scores(tmp_path: Path) -> None:
    found = corpus(5)
    labels = labels_of(found, tmp_path)
    assert list(labels) == [one.key for one in found.recordings]
    sound = found.sound(3) / np.float32(32768)
    label = labels["speech/003.wav"]
    assert label.tokens == tuple(1000 + int(abs(one) * 1000) for one in sound[:: SAMPLE_RATE // 10])
    assert label.avg_logprob == float(-abs(sound[0]))
    assert (label.no_speech_prob, label.language, label.task) == (0.25, "en", "transcribe")
    assert label.text == tokenizer_of(MULTILINGUAL).decode(label.tokens).strip()
    assert not label.truncated


def test_every_recording_is_one_window_and_the_options_reach_the_teacher(tmp_path: Path) -> None:
    backend = teacher()
    labels_of(corpus(3), tmp_path, backend, beam_size=3, timestamps=False, max_tokens=99)
    assert sorted(window.span.end for window in backend.windows) == [0.5, 0.6, 0.7]
    assert {(o.beam_size, o.timestamps, o.max_new_tokens, o.temperature) for o in backend.options} == {
        (3, False, 99, 0.0)
    }


@pytest.mark.parametrize(("tokens", "truncated"), [(19, False), (20, True)])
def test_an_answer_that_reaches_the_limit_is_truncated(tmp_path: Path, tokens: int, truncated: bool) -> None:
    backend = Scripted([Hypothesis((50,) * tokens, -0.1, 0.0)], tokenizer_of(MULTILINGUAL))
    (label,) = labels_of(corpus(1), tmp_path, backend, max_tokens=20).values()
    assert label.truncated is truncated
    assert label.compression_ratio > 0.0


def test_a_language_that_is_not_given_is_detected(tmp_path: Path) -> None:
    given, unknown = spoken(0, language="de"), spoken(1, language="")
    backend = teacher(languages={"en": 0.1, "fr": 0.9})
    labels = labels_of(corpus_of([given, unknown]), tmp_path, backend)
    assert [label.language for label in labels.values()] == ["de", "fr"]
    english = labels_of(corpus_of([unknown]), tmp_path / "en", teacher(ENGLISH))
    assert [label.language for label in english.values()] == ["en"]


@pytest.mark.parametrize(
    ("size", "language", "words"),
    [(ENGLISH, "de", "knows English only"), (MULTILINGUAL, "yue", "does not know this language")],
)
def test_a_language_that_the_teacher_lacks_is_refused_before_any_work(
    tmp_path: Path, size: int, language: str, words: str
) -> None:
    backend = teacher(size)
    with pytest.raises(UsageError, match=words):
        labels_of(corpus(5, language=language), tmp_path, backend)
    assert not backend.windows


def test_processes_share_the_shards(tmp_path: Path) -> None:
    found, options, folder = corpus(10), recipe(tmp_path), tmp_path / "labels"
    backends = [teacher(), teacher()]
    heard: list[tuple[int, int]] = []
    for rank, backend in enumerate(backends):
        label_corpus(
            found, backend, options, folder, rank=rank, world=2, on_progress=lambda *one: heard.append(one)
        )
    assert [len(backend.windows) for backend in backends] == [6, 4]
    assert heard == [(4, 6), (6, 6), (4, 4)]
    assert read_labels(folder) == labels_of(found, tmp_path / "alone")


def test_a_second_run_computes_nothing_whatever_the_number_of_processes(tmp_path: Path) -> None:
    found = corpus(10)
    first = labels_of(found, tmp_path)
    for world in (1, 3):
        for rank in range(world):
            backend = teacher()
            label_corpus(
                found, backend, recipe(tmp_path, shard_size=3), tmp_path / "labels", rank=rank, world=world
            )
            assert not backend.windows
    assert read_labels(tmp_path / "labels") == first


def test_new_and_changed_recordings_are_labelled_and_the_others_kept(tmp_path: Path) -> None:
    labels_of(corpus(6), tmp_path)
    grown = corpus(8)
    sound = np.array(grown.samples)
    sound[grown.recordings[2].offset] += 1
    backend = teacher()
    labels = labels_of(dataclasses.replace(grown, samples=sound), tmp_path, backend)
    assert {window.audio.name for window in backend.windows} == {
        f"speech/00{number}.wav" for number in (2, 6, 7)
    }
    assert len(labels) == 8
    assert labels["speech/002.wav"].avg_logprob == -abs(float(sound[grown.recordings[2].offset])) / 32768


def test_each_shard_names_its_teacher(tmp_path: Path) -> None:
    labels_of(corpus(6), tmp_path)
    shards = list(read_shards(tmp_path / "labels"))
    assert [len(shard.rows) for shard in shards] == [4, 2]
    for shard in shards:
        assert shard.header.teacher == str(tmp_path / "teacher")
        assert shard.header.teacher_hash == teacher_hash(tmp_path / "teacher")
        assert shard.header.engine == "scripted float32 on cpu"


def test_a_changed_teacher_or_option_is_refused(tmp_path: Path) -> None:
    first = labels_of(corpus(6), tmp_path)
    with pytest.raises(UsageError, match=r"beam_size=1.*beam_size=5") as caught:
        labels_of(corpus(6), tmp_path, beam_size=5)
    assert str(tmp_path / "labels") in caught.value.message
    fake_teacher(tmp_path / "teacher", b"other weights")
    changed = recipe_for(tmp_path, tmp_path / "teacher", label=LabelOptions(shard_size=4))
    with pytest.raises(UsageError, match="the recipe asks for the teacher"):
        label_corpus(corpus(6), teacher(), changed, tmp_path / "labels")
    assert read_labels(tmp_path / "labels") == first


def test_the_hash_is_that_of_the_model_and_not_of_its_place(tmp_path: Path) -> None:
    first = teacher_hash(fake_teacher(tmp_path / "a"))
    assert teacher_hash(fake_teacher(tmp_path / "b")) == first
    (tmp_path / "b" / "README.md").write_text("a card")
    assert teacher_hash(tmp_path / "b") == first
    assert teacher_hash(fake_teacher(tmp_path / "b", b"weightt")) != first
    with pytest.raises(ModelError, match="nowhere"):
        teacher_hash(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match="not a model folder"):
        teacher_hash(tmp_path / "empty")


KILLED = """
import os, signal, sys
from pathlib import Path
from distilcli.backends.scripted import Scripted
from distilcli.trainer.pseudo_label import label_corpus
from tests.support.tokenizer import tokenizer_of
from tests.trainer.test_pseudo_label import answer, corpus, recipe

folder, left = Path(sys.argv[1]), int(sys.argv[2])

def dying(window):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return answer(window)

label_corpus(corpus(), Scripted(dying, tokenizer_of(51865)), recipe(folder), folder / "labels")
"""


def test_a_killed_run_repeats_at_most_one_shard(tmp_path: Path) -> None:
    whole = labels_of(corpus(), tmp_path / "whole")
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), "7"], cwd=ROOT, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(read_labels(tmp_path / "labels")) == 4  # 7 windows were decoded: one shard and 3 of the next
    backend = teacher()
    assert labels_of(corpus(), tmp_path, backend) == whole
    assert len(backend.windows) == 6


def test_processes_on_one_machine_take_a_gpu_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    for name, value in (("RANK", "7"), ("WORLD_SIZE", "8"), ("LOCAL_RANK", "3")):
        monkeypatch.setenv(name, value)
    assert place() == Place(rank=7, world=8, local=3)
    assert engine_options(LabelOptions(), place()).device == "cuda:1"
    assert engine_options(LabelOptions(device="cpu"), place()).device == "cpu"
    assert engine_options(LabelOptions(), Place(0, 1, 0)).device == "auto"


def toy_corpus() -> Corpus:
    """The clips that the toy models know, without a language."""
    recordings, sounds, offset = [], [], 0
    for name in LANGUAGE:
        sound = (toy_clip(name) * 32767).astype(np.int16)
        recordings.append(Recording(id=name, source="toy", language="", offset=offset, samples=len(sound)))
        sounds.append(sound)
        offset += len(sound)
    return Corpus(np.concatenate(sounds), tuple(recordings), (), "toy")


@pytest.mark.parametrize(("name", "folder"), [("ctranslate2", toy_ct2_folder), ("transformers", toy_folder)])
def test_real_teachers_write_what_they_know(tmp_path: Path, name: str, folder: Callable[[str], Path]) -> None:
    engine = EngineOptions(backend=name, device="cpu", compute_type="float32", threads=1)
    backend = load_backend(folder("multi"), engine)
    options = recipe_for(tmp_path, folder("multi"), label=LabelOptions(backend=name))
    label_corpus(toy_corpus(), backend, options, tmp_path / "labels")
    labels = read_labels(tmp_path / "labels")
    for clip, language in LANGUAGE.items():
        assert labels[f"toy/{clip}"].tokens == toy_tokens(backend.tokenizer, clip)
        assert labels[f"toy/{clip}"].language == language
        assert labels[f"toy/{clip}"].avg_logprob > -0.5
    limited = recipe_for(tmp_path, folder("multi"), label=LabelOptions(backend=name, max_tokens=8))
    label_corpus(toy_corpus(), backend, limited, tmp_path / "short")
    assert all(
        label.truncated and len(label.tokens) == 8 for label in read_labels(tmp_path / "short").values()
    )
    backend.close()


def write_labelling(folder: Path) -> Path:
    """Writes the two melodies and a recipe that labels them, a shard each; returns the recipe."""
    (folder / "speech").mkdir()
    for number, name in enumerate(LANGUAGE):
        write_wav(folder / "speech" / f"{number}.wav", (toy_clip(name) * 32767).astype(np.int16))
    config = folder / "recipe.toml"
    config.write_text(
        f'run = "{folder / "run"}"\n'
        f'[data]\nlanguage = ""\nsources = [{{ path = "{folder / "speech"}" }}]\n'
        f'[teacher]\nmodel = "{toy_ct2_folder("multi")}"\n'
        '[label]\nshard_size = 1\nthreads = 1\ndevice = "cpu"\ncompute_type = "float32"\n',
        encoding="utf-8",
    )
    return config


def launched(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Runs a module in a process of its own."""
    command = [sys.executable, "-m", *map(str, arguments)]
    clean = {name: value for name, value in os.environ.items() if name not in ("RANK", "WORLD_SIZE")}
    return subprocess.run(command, env=clean, capture_output=True, text=True, check=False)


def test_two_processes_of_accelerate_label_as_one_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_labelling(tmp_path)
    module = ("-m", "distilcli.trainer.pseudo_label", "--config", config)
    port = ("--main_process_port", free_port())
    done = launched("accelerate.commands.launch", "--multi_gpu", "--num_processes", 2, *port, *module)
    assert done.returncode == 0, done.stderr
    for rank in (0, 1):
        assert f"labelled 1 of 1 recordings (process {rank} of 2)" in done.stderr
    shards = [[row["key"] for row in shard.rows] for shard in read_shards(tmp_path / "run" / "labels")]
    speech = tmp_path / "speech"
    assert sorted(shards) == [[f"{speech}/0.wav"], [f"{speech}/1.wav"]]
    both = read_labels(tmp_path / "run" / "labels")
    alone = tmp_path / "alone"
    assert main(["--config", str(config), "--set", f'run="{alone}"']) == 0
    assert "labelled 2 of 2 recordings\n" in capsys.readouterr().err
    assert read_labels(alone / "labels") == both
    assert {label.language for label in both.values()} == {"en", "de"}
    assert main(["--config", str(config), "--set", "label.beam_size=2"]) == UsageError.exit_code
    error, hint = capsys.readouterr().err.splitlines()[-2:]
    assert error.startswith("error: ")
    assert hint.startswith("hint: rm -r")


def test_one_process_of_a_launcher_that_was_asked_for_more_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What `accelerate launch --num_processes 2` does on a machine without several GPUs."""
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    assert main(["--config", str(tmp_path / "recipe.toml")]) == UsageError.exit_code
    assert "hint: add --multi_gpu to accelerate launch" in capsys.readouterr().err


def test_a_second_run_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    refused: list[DistilError] = []

    def meanwhile(done: int, total: int) -> None:
        """Starts another run, as this process and as another one of the same run."""
        with pytest.raises(OutputError, match="another run is writing labels into") as caught:
            label_corpus(corpus(5), teacher(), recipe(tmp_path), tmp_path / "labels")
        refused.append(caught.value)
        label_corpus(corpus(5), teacher(), recipe(tmp_path), tmp_path / "labels", rank=1, world=2)

    label_corpus(corpus(4), teacher(), recipe(tmp_path), tmp_path / "labels", on_progress=meanwhile)
    assert len(refused) == 1
    assert "--set run=FOLDER" in str(refused[0].hint)
    assert len(labels_of(corpus(5), tmp_path)) == 5  # afterwards the folder is free
