"""distilcli as a system: clips one by one or together, what it counts, and what a worker makes of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from distilcli.backends.scripted import Scripted
from distilcli.bench import ours, worker
from distilcli.bench.ours import Ours
from distilcli.bench.peers.base import Heard
from distilcli.bench.values import Case, Clip, ClipSet, Sample
from distilcli.config import FallbackOptions, TranscribeOptions
from distilcli.errors import InputError
from distilcli.tokens import Tokenizer
from distilcli.types import Hypothesis
from tests.support.speech import write_wav
from tests.support.toy import CLIP_SECONDS, LANGUAGE, toy_clip, toy_ct2_folder, toy_folder, toy_text

NAMES = ("rise", "fall", "rise")


@pytest.fixture(scope="module")
def case() -> Case:
    return Case(model=str(toy_ct2_folder("multi")), device="cpu", compute_type="float32", temperatures=(0.0,))


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> tuple[Clip, ...]:
    """Three clips in two languages that the toy model knows."""
    folder = tmp_path_factory.mktemp("clips")
    return tuple(
        Clip(
            path=str(write_wav(folder / f"{number}.wav", toy_clip(name))),
            text=toy_text(name),
            language=LANGUAGE[name],
            duration=CLIP_SECONDS[name],
        )
        for number, name in enumerate(NAMES)
    )


def loaded(case: Case) -> Ours:
    return ours.load(case, ours.prepare(case))


def test_clips_one_after_the_other_and_together_have_the_same_texts(
    case: Case, clips: tuple[Clip, ...]
) -> None:
    single, batched = loaded(case), loaded(replace(case, batch_size=8))
    try:
        one_by_one, together = list(single.transcribe(clips)), list(batched.transcribe(clips))
    finally:
        single.close()
        batched.close()
    assert [one.text for one in one_by_one] == [toy_text(name).strip() for name in NAMES]
    assert [(one.text, one.digest, one.tokens) for one in one_by_one] == [
        (one.text, one.digest, one.tokens) for one in together
    ]
    assert [one.language for one in together] == ["en", "de", "en"]
    assert one_by_one[0].digest == one_by_one[2].digest != one_by_one[1].digest
    assert all(one.first_segment is not None for one in one_by_one)
    assert (single.together, batched.together) == (False, True)
    assert (single.counts.windows, single.counts.encoder_calls) == (3, 3)
    assert batched.counts.windows == 3


def test_a_worker_knows_no_latency_of_clips_that_were_asked_for_together(
    case: Case, clips: tuple[Clip, ...], tmp_path: Path
) -> None:
    data = ClipSet(name="short", clips=clips)
    blank = Sample(case=case.key, data=data.key, round=1, wall=0.0, cpu=0.0, load=0.1)
    for batch_size, latencies in ((1, 3), (8, 0)):
        system = loaded(replace(case, batch_size=batch_size))
        try:
            worker.warm_up(system, data, tmp_path)
            sample = worker.measure(system, clips, tmp_path, blank)
        finally:
            system.close()
        assert len(sample.latencies) == latencies
        assert sum(sample.latencies) <= sample.wall
        assert (sample.windows, sample.encoder_calls, sample.retries) == (3, 3, 0)  # without the warm-up
        assert sample.compute_type == "float32"
        assert sum(sample.stages.values()) == pytest.approx(sample.wall)
        assert (tmp_path / "1.txt").read_text(encoding="utf-8").strip() == toy_text("fall").strip()


def test_a_recording_that_cannot_be_read_stops_the_run(case: Case, tmp_path: Path) -> None:
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"no sound")
    system = loaded(case)
    try:
        with pytest.raises(InputError, match=r"broken\.wav"):
            list(system.transcribe([Clip(path=str(broken), language="en", duration=1.0)]))
    finally:
        system.close()


def test_options_are_those_of_the_case_or_the_models_own(case: Case) -> None:
    chosen = ours.options_of(
        replace(
            case, strategy="chunked", chunk_length=12.0, batch_size=3, beam_size=1, temperatures=(0.0, 0.4)
        )
    )
    assert (chosen.long_form, chosen.chunked.chunk_length, chosen.chunked.batch_size) == ("chunked", 12.0, 3)
    assert (chosen.decode.beam_size, chosen.fallback.temperatures) == (1, (0.0, 0.4))
    assert not chosen.sequential.condition_on_previous_text
    assert not chosen.vad.filter
    cut = ours.options_of(replace(case, strategy="chunked-vad"))
    assert (cut.long_form, cut.vad.filter) == ("chunked", True)
    usual = ours.options_of(replace(case, beam_size=1, strategy="chunked", defaults=True))
    assert usual.long_form == "auto"
    assert usual.decode == TranscribeOptions().decode


def test_retries_and_flags_are_counted(clips: tuple[Clip, ...]) -> None:
    """Every window fails every temperature of three: decoded again once, retried twice."""
    tokenizer = Tokenizer.from_folder(toy_folder("en"))
    doubtful = Hypothesis(tuple(tokenizer.encode(" so")), -5.0, 0.1)
    fallback = FallbackOptions(temperatures=(0.0, 0.2, 0.4))
    backend = Scripted(lambda window: doubtful, tokenizer, batch_size=8)
    system = Ours(Case(model="scripted"), backend, TranscribeOptions(fallback=fallback))
    (heard,) = system.transcribe(clips[:1])
    assert heard.text == "so"
    counts = system.counts
    assert (counts.windows, counts.fallbacks, counts.retries) == (1, 1, 2)
    assert counts.encoder_calls is None
    assert {name: n for name, n in counts.flags.items() if n} == {"low_probability": 1}
    assert counts.flags["repetition"] == 0
    system.close()
    assert backend.closed


class Remembers:
    """A system that remembers what it was asked for."""

    together = True

    def __init__(self) -> None:
        self.clips: list[Clip] = []

    def transcribe(self, clips: Sequence[Clip]) -> Iterator[Heard]:
        self.clips += clips
        return iter(Heard(text="") for _ in clips)

    def close(self) -> None:
        """Nothing to release."""


def test_the_warm_up_of_long_recordings_is_short(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "long.wav", np.zeros(70 * 16_000, np.float32))
    long = Clip(path=str(path), duration=70.0)
    system = Remembers()
    worker.warm_up(system, ClipSet(name="long", clips=(replace(long, duration=90.0), long)), tmp_path)
    first, second = system.clips
    assert first == second
    assert first.duration == worker.WARM_UP_SECONDS
    assert Path(first.path).stat().st_size == pytest.approx(2 * 16_000 * worker.WARM_UP_SECONDS, abs=100)
