"""The journal: what a run that goes on asks for, what it refuses, and what it outlives."""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distilcli.backends.scripted import Scripted
from distilcli.config import TranscribeOptions
from distilcli.errors import DistilError, InputError, OutputError, UsageError
from distilcli.journal import Journal
from distilcli.pipeline import Listener, transcribe_many
from distilcli.types import Audio, Hypothesis, Span, Transcript, Window, Word
from tests.support.small_disk import fill
from tests.support.speech import write_wav
from tests.support.tokenizer import tokenizer_of

KEY = {"--beam-size": 5, "--language": None, "--temperature": (0.0, 0.2)}


class Diary(Listener):
    """Writes down what it hears; `at` is called with the number of each segment."""

    def __init__(self, at: Callable[[int], object] = lambda number: None) -> None:
        self.languages: list[tuple[str, str, float]] = []
        self.segments = 0
        self.warnings: list[str] = []
        self._at = at

    def language(self, source: str, code: str, probability: float) -> None:
        self.languages.append((Path(source).name, code, probability))

    def segment(self, source: str, segment: object) -> None:
        self.segments += 1
        self._at(self.segments)

    def warning(self, message: str) -> None:
        self.warnings.append(message)


def stop(number: int) -> None:
    """Ends a run at its third segment, as Ctrl-C does."""
    if number == 3:
        raise KeyboardInterrupt


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DISTILCLI_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def path(cache: Path) -> Path:
    return cache / "journals" / "run.jsonl"


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Two recordings of four windows each, and one of two."""
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("recordings")
    return [
        str(write_wav(folder / f"{name}.wav", rng.uniform(-0.5, 0.5, seconds * 16_000).astype(np.float32)))
        for name, seconds in (("a", 100), ("b", 95), ("c", 40))
    ]


def heard() -> Scripted:
    """A backend whose answers depend on how loud a window is: 200 words, and scores of many digits."""
    tokenizer = tokenizer_of(51866)

    def answer(window: Window) -> Hypothesis:
        start, end = (round(at * 16_000) for at in (window.span.start, window.span.end))
        level = float(np.square(window.audio.samples[start:end]).mean())
        words = random.Random(level).sample(range(1000, 20_000), 200)
        return Hypothesis((tokenizer.vocab.timestamp(0), *words), -level, level / 3, language=window.language)

    return Scripted(answer, tokenizer, languages={"de": 0.123456789, "en": 0.1}, batch_size=3)


def transcribed(
    sources: Sequence[str], path: Path, listener: Diary | None = None, *, key: object = None, **begin: bool
) -> tuple[list[Transcript | DistilError], Scripted, Journal]:
    """One run with a journal."""
    backend, diary = heard(), listener or Diary()
    with Journal(path, diary.warning) as journal:
        journal.begin(key or KEY, **begin)  # type: ignore[arg-type]
        results = transcribe_many(sources, backend, TranscribeOptions(), diary, journal=journal)
        journal.done()
    return results, backend, journal


def stopped(sources: Sequence[str], path: Path) -> int:
    """A run that is stopped at its third segment; returns the windows that it had answered."""
    backend = heard()
    with Journal(path, pytest.fail) as journal:
        journal.begin(KEY)
        with pytest.raises(KeyboardInterrupt):
            transcribe_many(sources, backend, TranscribeOptions(), Diary(stop), journal=journal)
    assert path.is_file()
    return len(backend.windows)


@pytest.fixture(scope="module")
def whole(sources: list[str]) -> list[Transcript | DistilError]:
    """What a run without a journal gives."""
    return transcribe_many(sources, heard(), TranscribeOptions())


def test_a_run_goes_on_where_it_was_stopped(
    sources: list[str], path: Path, whole: list[Transcript | DistilError]
) -> None:
    before = stopped(sources, path)
    diary = Diary()
    results, backend, journal = transcribed(sources, path, diary)
    assert results == whole
    assert 0 < before == journal.answered < 10
    assert len(backend.windows) == 10 - before
    assert sorted(diary.languages) == [(f"{name}.wav", "de", 0.123456789) for name in "abc"]
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("seed", range(3))
def test_wherever_the_journal_ends_the_run_goes_on(
    seed: int, sources: list[str], path: Path, whole: list[Transcript | DistilError]
) -> None:
    with Journal(path, pytest.fail) as journal:
        journal.begin(KEY)
        transcribe_many(sources, heard(), TranscribeOptions(), journal=journal)
    path.write_bytes(path.read_bytes()[: random.Random(seed).randrange(path.stat().st_size)])
    results, _, _ = transcribed(sources, path)
    assert results == whole


def test_other_options_are_refused_by_name(sources: list[str], path: Path) -> None:
    stopped(sources, path)
    content = path.read_bytes()
    other = {**KEY, "--beam-size": 1, "--language": "de"}
    with pytest.raises(UsageError) as caught:
        transcribed(sources, path, key=other)
    assert caught.value.message == (
        "an unfinished run of this command was made with --beam-size 5 and --language None, "
        "and this one has --beam-size 1 and --language de"
    )
    assert "--restart" in (caught.value.hint or "")
    assert path.read_bytes() == content


def test_a_restart_discards(sources: list[str], path: Path) -> None:
    stopped(sources, path)
    _, backend, journal = transcribed(sources, path, key={"--beam-size": 1}, restart=True)
    assert (journal.answered, len(backend.windows)) == (0, 10)


def test_a_journal_without_answers_stands_in_nobodys_way(sources: list[str], path: Path) -> None:
    with Journal(path, pytest.fail) as journal:
        journal.begin(KEY)
    assert not path.exists()
    path.write_text('{"key":{"--beam-size":7}}\n')
    assert transcribed(sources, path)[2].answered == 0


def test_another_recording_under_the_same_name_is_refused(
    sources: list[str], path: Path, tmp_path: Path
) -> None:
    sources = [shutil.copy(source, tmp_path) for source in sources]
    stopped(sources, path)
    write_wav(Path(sources[0]), np.zeros(90 * 16_000, np.float32))
    with pytest.raises(UsageError, match=r"a\.wav is not .*\(100\.00 s long then, 90\.00 s now"):
        transcribed(sources, path)
    assert transcribed(sources, path, restart=True)[2].answered == 0


@pytest.mark.parametrize(
    "damage", [b"\0\0\0\n", b'{"windows":[{"window":"x"}]}\n', b'{"windows":[1]}\n', b'{"other":1}\n']
)
def test_a_damaged_line_is_named(sources: list[str], path: Path, damage: bytes) -> None:
    stopped(sources, path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], damage, *lines[1:]]))
    with pytest.raises(InputError, match=rf"line 2 of {path} is damaged") as caught:
        transcribed(sources, path)
    assert "--restart" in (caught.value.hint or "")


def test_a_second_run_is_refused_while_the_first_goes_on(path: Path, sources: list[str]) -> None:
    refusals = []

    def second(number: int) -> None:
        with pytest.raises(OutputError) as caught, Journal(path, pytest.fail):
            pass
        refusals.append(caught.value.message)

    transcribed(sources, path, Diary(second))
    assert set(refusals) == {"another run of this command is at work on the same results"}
    assert transcribed(sources, path)[2].answered == 0


def test_a_full_disk_stops_the_journal_and_not_the_run(
    sources: list[str], cache: Path, small_disk: Path, whole: list[Transcript | DistilError]
) -> None:
    path = small_disk / "run.jsonl"
    diary = Diary(lambda number: fill(small_disk) if number == 2 else None)
    backend = heard()
    with Journal(path, diary.warning) as journal:
        journal.begin(KEY)
        assert transcribe_many(sources, backend, TranscribeOptions(), diary, journal=journal) == whole
    assert len(diary.warnings) == 1
    assert "cannot be resumed" in diary.warnings[0]
    assert "no space left on device" in diary.warnings[0]
    # What was written before is whole, and good for another run.
    (small_disk / "filler").unlink()
    results, _, journal = transcribed(sources, path)
    assert results == whole
    assert 0 < journal.answered < 10


def test_a_disk_that_is_full_from_the_beginning(
    sources: list[str], small_disk: Path, whole: list[Transcript | DistilError]
) -> None:
    fill(small_disk)
    diary = Diary()
    assert transcribed(sources, small_disk / "run.jsonl", diary)[0] == whole
    assert len(diary.warnings) == 1


def test_the_cache_folder_may_be_removed_while_a_run_goes_on(
    sources: list[str], path: Path, cache: Path, whole: list[Transcript | DistilError]
) -> None:
    diary = Diary(lambda number: shutil.rmtree(cache) if number == 2 else None)
    assert transcribed(sources, path, diary)[0] == whole
    assert len(diary.warnings) == 1
    assert "the file has been removed" in diary.warnings[0]


def test_clocks_may_jump(
    sources: list[str],
    path: Path,
    whole: list[Transcript | DistilError],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = random.Random(0)
    monkeypatch.setattr(time, "time", lambda: rng.uniform(0, 4e9))
    monkeypatch.setattr(time, "time_ns", lambda: rng.randrange(2**62))
    before = stopped(sources, path)
    os.utime(path, (4e9, 4e9))
    results, _, journal = transcribed(sources, path)
    assert results == whole
    assert journal.answered == before


NUMBERS = st.floats(allow_nan=False)
WORDS = st.builds(
    Word, st.text(), st.builds(Span, NUMBERS, NUMBERS), NUMBERS, st.lists(st.integers(0, 60000)).map(tuple)
)
VALUES = {
    "tokens": st.lists(st.integers(0, 60000)).map(tuple),
    "avg_logprob": NUMBERS,
    "no_speech_prob": NUMBERS,
    "temperature": NUMBERS,
    "language": st.none() | st.text(),
    "words": st.lists(WORDS, max_size=3).map(tuple),
    "tried": st.lists(st.text(), max_size=3).map(tuple),
}


@settings(max_examples=20, deadline=None)
@given(st.lists(st.fixed_dictionaries(VALUES), min_size=1, max_size=4))
def test_answers_come_back_as_they_were(tmp_path_factory: pytest.TempPathFactory, values: list[dict]) -> None:
    assert {one.name for one in fields(Hypothesis)} == set(VALUES)
    path = tmp_path_factory.mktemp("journal") / "run.jsonl"
    answers = [Hypothesis(**one) for one in values]
    audio = Audio("a", np.zeros(16_000, np.float32), digest="d")
    windows = [Window(audio, Span(number / 3, 1.0), (number,)) for number in range(len(answers))]
    for decode in (lambda windows: answers, pytest.fail):  # the second run has nobody to ask
        with Journal(path, pytest.fail) as journal:
            journal.begin(KEY)
            found = journal.recorded(decode, lambda *language: None)(windows)
        assert repr(found) == repr(answers)


def test_a_window_that_is_asked_for_twice_has_two_answers(path: Path) -> None:
    audio = Audio("a", np.zeros(16_000, np.float32), digest="d")
    window = Window(audio, Span(0.0, 1.0))
    given_answers = [Hypothesis((1,), -0.1, 0.0), Hypothesis((2,), -0.2, 0.0)]
    waiting = iter(given_answers)
    for decode in (lambda windows: [next(waiting)], pytest.fail):
        with Journal(path, pytest.fail) as journal:
            journal.begin(KEY)
            ask = journal.recorded(decode, lambda *language: None)
            assert [ask([window])[0], ask([window])[0]] == given_answers
