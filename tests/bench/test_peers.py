"""Every peer, really run on a toy model that knows its clips by heart, says what the model says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from distilcli.bench import peers, systems
from distilcli.bench.noise import samples_of
from distilcli.bench.peers import PEERS, Peer
from distilcli.bench.peers.base import samples
from distilcli.bench.values import Case, Clip, digest_of
from distilcli.bench.weights import exported
from distilcli.errors import EnvironmentProblem, UsageError
from tests.support.probes import toy_wav
from tests.support.toy import CLIP_SECONDS, LANGUAGE, SENTENCES, toy_ct2_folder, toy_folder


def clip(folder: Path, name: str) -> Clip:
    """A toy clip as a file."""
    return Clip(
        path=str(toy_wav(folder, name)),
        language=LANGUAGE[name],
        duration=CLIP_SECONDS[name],
        text=sentence(name),
    )


def sentence(name: str) -> str:
    return "".join(text for _, _, text in SENTENCES[name]).strip()


def case(system: str, *, strategy: str = "sequential", beam_size: int = 1, detect: bool = False) -> Case:
    return Case(
        system=system,
        model=str(toy_folder("multi")),
        backend="",
        device="cpu",
        compute_type="float32",
        strategy=strategy,
        beam_size=beam_size,
        temperatures=(0.0,),
        detect_language=detect,
        batch_size=2 if strategy == "chunked" else 1,
    )


def heard(one: Case, clips: list[Clip]) -> list[str]:
    """Texts of the clips."""
    module = systems.drive(one.system)
    loaded = module.load(one, module.prepare(one))
    try:
        return [found.text for found in loaded.transcribe(clips)]
    finally:
        loaded.close()
        loaded.close()


TOLD = [name for name in PEERS if name != "transformers-pipeline"]


@pytest.mark.parametrize("system", TOLD)
def test_every_peer_says_what_the_model_knows(system: str, tmp_path: Path) -> None:
    pytest.importorskip(PEERS[system].package)
    clips = [clip(tmp_path, name) for name in ("rise", "fall", "rise")]
    assert heard(case(system), clips) == [one.text for one in clips]


@pytest.mark.parametrize("system", ["faster-whisper", "openai-whisper"])
def test_a_peer_finds_out_the_language(system: str, tmp_path: Path) -> None:
    pytest.importorskip(PEERS[system].package)
    clips = [clip(tmp_path, name) for name in ("fall", "rise")]
    assert heard(case(system, detect=True), clips) == [one.text for one in clips]


def test_beams_change_nothing_that_is_known_by_heart(tmp_path: Path) -> None:
    one = clip(tmp_path, "fall")
    assert heard(case("faster-whisper", beam_size=3), [one]) == [one.text]


@pytest.mark.parametrize("strategy", ["sequential", "chunked"])
def test_the_pipeline_of_transformers_hears_isolated_windows(strategy: str, tmp_path: Path) -> None:
    """Its features end in silence, which the toys never heard: the same windows through our backend tell."""
    clips = [clip(tmp_path, name) for name in ("rise", "fall")]
    ours = replace(case("distilcli", strategy="chunked"), backend="transformers", batch_size=1)
    assert heard(case("transformers-pipeline", strategy=strategy), clips) == heard(ours, clips)


def test_defaults_leave_the_options_to_the_tool(tmp_path: Path) -> None:
    one = clip(tmp_path, "fall")
    defaults = Case(system="faster-whisper", model=str(toy_folder("multi")), device="cpu", defaults=True)
    assert heard(defaults, [one]) == [one.text]


def test_faster_whisper_says_everything_that_a_sample_can_hold(tmp_path: Path) -> None:
    module = PEERS["faster-whisper"].drive()
    one = case("faster-whisper")
    loaded = module.load(one, module.prepare(one))
    (found,) = loaded.transcribe([clip(tmp_path, "fall")])
    assert found.language == "de"
    assert found.tokens
    assert found.digest
    assert found.first_segment is not None
    assert found.first_segment > 0
    assert found.digest != digest_of([])


def test_the_command_says_how_long_each_recording_took(tmp_path: Path) -> None:
    pytest.importorskip("whisper_ctranslate2")
    module = PEERS["whisper-ctranslate2"].drive()
    one = case("whisper-ctranslate2")
    results = list(module.load(one, module.prepare(one)).transcribe([clip(tmp_path, "fall")] * 2))
    assert all(result.latency is not None and result.latency >= 0 for result in results)
    assert results[0].digest == results[1].digest


def test_equal_weights_are_converted_once() -> None:
    pytest.importorskip("gguf")
    made = exported(str(toy_folder("multi")), "ggml", "f16")
    before = made.stat().st_mtime_ns
    assert exported(str(toy_folder("multi")), "ggml", "f16") == made
    assert made.stat().st_mtime_ns == before


def test_nothing_is_converted_from_a_converted_model() -> None:
    with pytest.raises(UsageError, match="from which nothing can be converted"):
        exported(str(toy_ct2_folder("multi")), "openai", "float32")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("faster-whisper", "voice activity"),
        ("whisper-ctranslate2", "part of every run"),
        ("openai-whisper", "no chunked mode"),
        ("whisper.cpp", "f16 weights"),
        ("transformers-pipeline", "ffmpeg"),
    ],
)
def test_what_cannot_be_made_equal_is_said(name: str, words: str) -> None:
    if not PEERS[name].installed:
        pytest.skip(f"{name} is not installed")
    chunked = case("any", strategy="chunked", beam_size=5)
    assert any(words in line for line in PEERS[name].drive().differences(chunked))


def test_the_nearest_peer_needs_no_remarks() -> None:
    assert PEERS["faster-whisper"].drive().differences(case("any")) == ()


def test_a_peer_that_is_missing_says_how_to_get_it() -> None:
    absent = Peer("absent", "absent", "no_such_package_at_all")
    assert not absent.installed
    with pytest.raises(EnvironmentProblem, match="absent is not installed here") as caught:
        absent.drive()
    assert caught.value.hint == peers.INSTALL


def test_an_unknown_peer_is_refused_with_the_closest() -> None:
    with pytest.raises(UsageError, match=r"did you mean 'whisper\.cpp'"):
        peers.named("wisper.cpp")


def test_tools_without_a_decoder_get_the_samples_that_distilcli_hears(tmp_path: Path) -> None:
    one = clip(tmp_path, "fall")
    found = samples(one)
    assert len(found) == 7 * 16_000
    assert np.array_equal(found, samples_of(Path(one.path)))
