"""The composition root, with a backend that answers from a function: files, languages, errors, listeners."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from distilcli.backends.base import Backend, Capabilities
from distilcli.config import ChunkedOptions, DecodeOptions, TranscribeOptions
from distilcli.errors import DistilError, InputError, UsageError
from distilcli.pipeline import Listener, transcribe, transcribe_many
from distilcli.tokens import Tokenizer
from distilcli.types import Hypothesis, Segment, Transcript, Window
from tests.support.speech import write_wav
from tests.support.tokenizer import write_tokenizer


class Loudness:
    """Hears how loud a window is and writes that down; detects German in loud windows, English in others."""

    def __init__(self, tokenizer: Tokenizer, refused: dict[str, str] | None = None) -> None:
        self.tokenizer = tokenizer
        self.capabilities = Capabilities(
            backend="loudness", device="cpu", compute_type="none", n_mels=80, batch_size=4, refused=refused
        )
        self.batches: list[list[tuple[str, str | None]]] = []
        self.detections: list[int] = []

    def _level(self, window: Window) -> int:
        start, end = (round(seconds * 16_000) for seconds in (window.span.start, window.span.end))
        return round(float(np.abs(window.audio.samples[start:end]).max()) * 10)

    def decode(self, windows: Sequence[Window], options: DecodeOptions) -> list[Hypothesis]:
        self.batches.append([(Path(one.audio.name).name, one.language) for one in windows])
        stamp, encode = self.tokenizer.vocab.timestamp, self.tokenizer.encode
        return [
            Hypothesis(
                (stamp(0), *encode(f" level {self._level(one)}"), stamp(one.span.duration)),
                -0.1,
                0.0,
                options.temperature,
                one.language,
            )
            for one in windows
        ]

    def detect_language(self, windows: Sequence[Window]) -> list[dict[str, float]]:
        self.detections.append(len(windows))
        return [{"de": 0.9, "en": 0.1} if self._level(one) > 5 else {"en": 0.8, "de": 0.2} for one in windows]

    def close(self) -> None:
        """Nothing is held."""


class Diary(Listener):
    """Writes down what it hears."""

    def __init__(self) -> None:
        self.lines: list[tuple[object, ...]] = []

    def file_started(self, source: str, duration: float) -> None:
        self.lines.append(("started", Path(source).name, duration))

    def language(self, source: str, code: str, probability: float) -> None:
        self.lines.append(("language", Path(source).name, code, probability))

    def segment(self, source: str, segment: Segment) -> None:
        self.lines.append(("segment", Path(source).name, segment.text))

    def progress(self, source: str, seconds: float) -> None:
        self.lines.append(("progress", Path(source).name, seconds))

    def file_done(self, source: str, transcript: Transcript) -> None:
        self.lines.append(("done", Path(source).name, len(transcript.segments)))

    def file_failed(self, source: str, error: DistilError) -> None:
        self.lines.append(("failed", Path(source).name, type(error)))


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Tokenizer]:
    found = {}
    for size in (51864, 51866):
        folder = tmp_path_factory.mktemp(str(size))
        write_tokenizer(folder, size)
        found[size] = Tokenizer.from_folder(folder)
    return found


@pytest.fixture
def backend(tokenizers: dict[int, Tokenizer]) -> Loudness:
    return Loudness(tokenizers[51866])


def _tone(folder: Path, name: str, seconds: float, level: float) -> Path:
    time = np.arange(round(seconds * 16_000)) / 16_000
    return write_wav(folder / name, (np.sin(time * 2 * np.pi * 440) * level).astype(np.float32))


def test_one_bad_file_of_several_stops_nothing(tmp_path: Path, backend: Loudness) -> None:
    good = [_tone(tmp_path, "a.wav", 3, 0.2), _tone(tmp_path, "b.wav", 40, 0.7)]
    bad = tmp_path / "bad.wav"
    bad.write_text("not audio")
    diary = Diary()
    first, failure, last = transcribe_many([good[0], bad, good[1]], backend, TranscribeOptions(), diary)
    assert isinstance(first, Transcript)
    assert isinstance(last, Transcript)
    assert isinstance(failure, InputError)
    assert (first.text, first.language, first.duration) == ("level 2", "en", 3.0)
    assert (last.text, last.language) == ("level 7 level 7", "de")
    assert ("failed", "bad.wav", InputError) in diary.lines
    assert [line for line in diary.lines if line[1] == "b.wav"] == [
        ("started", "b.wav", 40.0),
        ("progress", "b.wav", 0.0),
        ("language", "b.wav", "de", 0.9),
        ("segment", "b.wav", " level 7"),
        ("progress", "b.wav", 30.0),
        ("segment", "b.wav", " level 7"),
        ("progress", "b.wav", 40.0),
        ("done", "b.wav", 2),
    ]


def test_windows_of_several_files_share_a_batch_and_are_detected_together(
    tmp_path: Path, backend: Loudness
) -> None:
    files = [_tone(tmp_path, f"{number}.wav", 2, 0.1 * (number + 1)) for number in range(6)]
    options = TranscribeOptions(chunked=ChunkedOptions(batch_size=4))
    results = transcribe_many(files, backend, options)
    assert [len(batch) for batch in backend.batches] == [4, 2]
    assert backend.detections == [4, 2]
    assert [one.text for one in results if isinstance(one, Transcript)] == [f"level {n}" for n in range(1, 7)]
    alone = [transcribe(file, backend, options) for file in files]
    assert results == alone


def test_a_given_language_is_not_detected(tmp_path: Path, backend: Loudness) -> None:
    result = transcribe(_tone(tmp_path, "a.wav", 1, 0.9), backend, TranscribeOptions(language="fr"))
    assert backend.detections == []
    assert result.language == "fr"
    assert {segment.language for segment in result.segments} == {"fr"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (TranscribeOptions(language="de"), "German|german"),
        (TranscribeOptions(decode=DecodeOptions(task="translate")), "translate"),
        (TranscribeOptions(decode=DecodeOptions(patience=2.0)), "--patience"),
    ],
)
def test_what_the_model_cannot_do_is_refused_before_reading(
    options: TranscribeOptions, words: str, tokenizers: dict[int, Tokenizer]
) -> None:
    backend = Loudness(tokenizers[51864], refused={"patience": "it searches without beams"})
    with pytest.raises(UsageError, match=words):
        transcribe_many(["there-is-no-such-file.wav"], backend, options)


def test_english_only_models_need_no_detection(tmp_path: Path, tokenizers: dict[int, Tokenizer]) -> None:
    backend = Loudness(tokenizers[51864])
    result = transcribe(_tone(tmp_path, "a.wav", 1, 0.9), backend)
    assert (result.language, backend.detections) == ("en", [])


@pytest.mark.parametrize(
    ("name", "seconds", "windows"), [("auto", 29.9, 1), ("auto", 30.5, 2), ("chunked", 20, 1)]
)
def test_strategies(name: str, seconds: float, windows: int, tmp_path: Path, backend: Loudness) -> None:
    transcribe(_tone(tmp_path, "a.wav", seconds, 0.3), backend, TranscribeOptions(long_form=name))
    assert sum(map(len, backend.batches)) == windows


def test_an_interrupt_passes_and_closes_what_was_open(tmp_path: Path, backend: Loudness) -> None:
    class Impatient(Diary):
        def progress(self, source: str, seconds: float) -> None:
            super().progress(source, seconds)
            if seconds >= 30:
                raise KeyboardInterrupt

    diary = Impatient()
    with pytest.raises(KeyboardInterrupt):
        transcribe_many([_tone(tmp_path, "a.wav", 70, 0.3)], backend, TranscribeOptions(), diary)
    assert ("segment", "a.wav", " level 3") in diary.lines


def test_the_double_is_a_backend(backend: Loudness) -> None:
    checked: Backend = backend
    assert checked.capabilities.backend == "loudness"
