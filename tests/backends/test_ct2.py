"""The CTranslate2 backend against faster-whisper, and what it refuses."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import ctranslate2
import pytest
from faster_whisper import WhisperModel
from faster_whisper.audio import pad_or_trim
from faster_whisper.tokenizer import Tokenizer as PeerTokenizer
from faster_whisper.transcribe import TranscriptionOptions, get_suppressed_tokens

from distilcli.backends import ct2
from distilcli.backends.base import COMPUTE_TYPES, Aligner, Backend, Capabilities, check_options
from distilcli.backends.ct2_engine import first_that_works
from distilcli.config import DecodeOptions, EngineOptions
from distilcli.errors import EnvironmentProblem, ModelError, UsageError
from distilcli.types import Hypothesis, Window
from tests.support.toy import CLIP_SECONDS, LANGUAGE, toy_clip, toy_ct2_folder, toy_folder, toy_tokens

ENGINE = EngineOptions(device="cpu", compute_type="float32", threads=1)


@pytest.fixture(scope="module", params=["en", "v3"])
def peer(request: pytest.FixtureRequest) -> tuple[str, WhisperModel]:
    """Kind, and the toy model in faster-whisper."""
    folder = toy_ct2_folder(request.param)
    return request.param, WhisperModel(str(folder), device="cpu", compute_type="float32", cpu_threads=1)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A folder with the English toy model that a test may damage."""
    return Path(shutil.copytree(toy_ct2_folder("en"), tmp_path / "model"))


@pytest.mark.parametrize("clip", ["rise", "silence"])
@pytest.mark.parametrize("previous", [(), (1000, 2000, 3000)])
@pytest.mark.parametrize(
    "options",
    [
        DecodeOptions(),
        DecodeOptions(beam_size=1),
        DecodeOptions(timestamps=False, beam_size=3, patience=2.0, length_penalty=0.7),
        DecodeOptions(repetition_penalty=1.2, no_repeat_ngram_size=3, max_initial_timestamp=0.5),
    ],
    ids=["beam", "greedy", "patience", "repetition"],
)
def test_equals_faster_whisper(
    peer: tuple[str, WhisperModel],
    options: DecodeOptions,
    previous: tuple[int, ...],
    clip: str,
    loaded: Callable[[str, str], Backend],
    clips: dict[str, Window],
) -> None:
    kind, model = peer
    (ours,) = loaded("ctranslate2", kind).decode([replace(clips[clip], prompt=previous)], options)
    features = pad_or_trim(model.feature_extractor(toy_clip(clip))[:, :-1])
    multilingual = model.model.is_multilingual
    language = LANGUAGE.get(clip, "en") if multilingual else "en"
    tokenizer = PeerTokenizer(model.hf_tokenizer, multilingual, task="transcribe", language=language)
    prompt = model.get_prompt(tokenizer, list(previous), without_timestamps=not options.timestamps)
    result, avg_logprob, _, _ = model.generate_with_fallback(
        model.encode(features), prompt, tokenizer, _peer_options(tokenizer, options)
    )
    assert ours.tokens == tuple(result.sequences_ids[0])
    assert ours.avg_logprob == pytest.approx(avg_logprob, abs=1e-5)
    assert ours.no_speech_prob == pytest.approx(result.no_speech_prob, abs=1e-5)


def _peer_options(tokenizer: PeerTokenizer, options: DecodeOptions) -> TranscriptionOptions:
    ours = {field.name: getattr(options, field.name) for field in fields(options)}
    mine = {
        **dict.fromkeys(field.name for field in fields(TranscriptionOptions)),
        **{name: value for name, value in ours.items() if name in TranscriptionOptions.__annotations__},
        "temperatures": [0.0],
        "suppress_tokens": get_suppressed_tokens(tokenizer, [-1]),
        "without_timestamps": not options.timestamps,
    }
    return TranscriptionOptions(**mine)


def test_int8_is_the_default_on_a_cpu(clips: dict[str, Window]) -> None:
    backend = ct2.load(toy_ct2_folder("multi"), replace(ENGINE, compute_type="auto"))
    assert backend.capabilities.compute_type.startswith("int8")
    assert backend.capabilities.notes == ()
    (answer,) = backend.decode([clips["rise"]], DecodeOptions())
    assert answer.tokens == toy_tokens(backend.tokenizer, "rise")
    backend.close()


def test_workers_answer_as_one_thread_does(
    loaded: Callable[[str, str], Backend], clips: dict[str, Window]
) -> None:
    windows = [*clips.values(), replace(clips["rise"], prompt=(1000,))]
    backend = ct2.load(toy_ct2_folder("multi"), replace(ENGINE, threads=2))
    expected = loaded("ctranslate2", "multi").decode(windows, DecodeOptions())
    for ours, one in zip(backend.decode(windows, DecodeOptions()), expected, strict=True):
        assert ours.tokens == one.tokens
        assert ours.avg_logprob == pytest.approx(one.avg_logprob, abs=1e-5)
    assert backend.encoded_windows == len(CLIP_SECONDS)
    backend.close()


def test_sampling_depends_on_the_windows_alone(clips: dict[str, Window]) -> None:
    """What a worker has drawn before would count, were it not replaced."""
    wild = DecodeOptions(temperature=3.0, max_new_tokens=12)
    rise, fall = clips["rise"], clips["fall"]
    fresh, used = (ct2.load(toy_ct2_folder("multi"), ENGINE) for _ in range(2))
    expected = fresh.decode([fall], wild)
    others = [used.decode([rise], wild), used.decode([fall, rise], wild)]
    assert used.decode([fall], wild) == expected == used.decode([fall], wild)
    assert len({one.tokens for one in (*expected, *others[0], *others[1])}) == 4


def test_auto_goes_on_to_the_next_format_that_works_and_says_so() -> None:
    def start(compute_type: str) -> ctranslate2.models.Whisper:
        return ctranslate2.models.Whisper(
            str(toy_ct2_folder("en")), compute_type=compute_type, intra_threads=1
        )

    model, notes = first_that_works(start, ("float16", "float32"))
    assert model.compute_type == "float32"
    assert "float16 does not work here" in notes[0]
    assert notes[-1] == "compute type float32 chosen"


def test_every_compute_type_of_ctranslate2_is_known() -> None:
    assert ctranslate2.get_supported_compute_types("cpu") < set(COMPUTE_TYPES["ctranslate2"])
    documented = ctranslate2.models.Whisper.__init__.__doc__.partition("possible values are: default")[2]
    assert all(name in documented for name in COMPUTE_TYPES["ctranslate2"][2:])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"compute_type": "float16"}, "float16 is not supported on this cpu: expected one of .*float32"),
        ({"compute_type": "flaot32"}, "did you mean 'float32'"),
        ({"device": "mps"}, "--device mps"),
        ({"device": "gpu"}, "--device must be"),
        ({"attention": "sdpa"}, "--attention"),
        ({"compile": True}, "--compile"),
        ({"assistant_model": "tiny"}, "--assistant-model"),
        ({"threads": -1}, "--threads"),
    ],
)
def test_what_cannot_be_honoured_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ct2.load(toy_ct2_folder("en"), replace(ENGINE, **changes))


@pytest.mark.skipif(ctranslate2.get_cuda_device_count() > 7, reason="this machine has eight CUDA devices")
def test_a_missing_cuda_device_is_a_problem_of_the_machine() -> None:
    with pytest.raises(EnvironmentProblem, match="cuda:7") as caught:
        ct2.load(toy_ct2_folder("en"), replace(ENGINE, device="cuda:7"))
    assert caught.value.hint == "use --device cpu"


def _cut(folder: Path) -> None:
    with (folder / "model.bin").open("r+b") as file:
        file.truncate(100_000)


def _empty(folder: Path) -> None:
    (folder / "model.bin").write_bytes(b"")


def _other_mels(folder: Path) -> None:
    (folder / "preprocessor_config.json").write_text(json.dumps({"feature_size": 128}))


def _other_words(folder: Path) -> None:
    words = json.loads((folder / "vocabulary.json").read_text())
    (folder / "vocabulary.json").write_text(json.dumps([*words, "more"]))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_cut, "model.bin is damaged: expected .* bytes, found 100000"),
        (_empty, "model.bin is damaged: it ends too early"),
        (lambda folder: (folder / "model.bin").unlink(), "nor model.bin"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "no tokenizer.json"),
        (lambda folder: (folder / "vocabulary.json").unlink(), "no vocabulary.json"),
        (_other_mels, "says 128 mel bands, but the weights .* expect 80"),
        (_other_words, "51865 tokens, but its tokenizer.json has 51864"),
    ],
    ids=["cut", "empty", "no weights", "no tokenizer", "no vocabulary", "mel bands", "vocabulary"],
)
def test_a_damaged_folder_is_named(copy: Path, damage: Callable[[Path], object], message: str) -> None:
    damage(copy)
    with pytest.raises(ModelError, match=message):
        ct2.load(copy, ENGINE)


def test_a_word_list_of_an_older_conversion_is_read(copy: Path, clips: dict[str, Window]) -> None:
    words = json.loads((copy / "vocabulary.json").read_text())
    (copy / "vocabulary.json").unlink()
    (copy / "vocabulary.txt").write_text("".join(f"{word}\n" for word in words), encoding="utf-8")
    backend = ct2.load(copy, ENGINE)
    assert backend.decode([clips["rise"]], DecodeOptions())[0].tokens == toy_tokens(backend.tokenizer, "rise")
    backend.close()


@pytest.mark.parametrize(
    ("listed", "said"),
    [
        ([[7, 0], [31, 1]], "2 of 2 alignment heads .* all heads of the last half"),  # a crash, unmended
        ([[1, 9]], "1 of 1 alignment heads"),  # garbage, unmended
        ([], ""),
        (None, ""),
    ],
)
def test_alignment_heads_that_the_decoder_lacks_are_mended(
    copy: Path,
    listed: list[list[int]] | None,
    said: str,
    clips: dict[str, Window],
    loaded: Callable[[str, str], Backend],
) -> None:
    config = json.loads((copy / "config.json").read_text())
    assert config.pop("alignment_heads") == [[1, 0], [1, 1]]
    (copy / "config.json").write_text(
        json.dumps(config if listed is None else {**config, "alignment_heads": listed})
    )
    backend = ct2.load(copy, ENGINE)
    notes = " ".join(backend.capabilities.notes)
    assert re.search(said, notes) if said else notes == ""
    text = Hypothesis(toy_tokens(backend.tokenizer, "rise"), -0.1, 0.0)
    whole = loaded("ctranslate2", "en")
    assert isinstance(whole, Aligner)
    windows = [replace(clips["rise"], language="en")]
    assert backend.align(windows, [text], "transcribe") == whole.align(windows, [text], "transcribe")
    backend.close()


def test_workers_align_as_one_thread_does(
    loaded: Callable[[str, str], Backend], clips: dict[str, Window]
) -> None:
    backend, one = (
        ct2.load(toy_ct2_folder("multi"), replace(ENGINE, threads=2)),
        loaded("ctranslate2", "multi"),
    )
    assert isinstance(one, Aligner)
    windows = [clips["rise"], clips["fall"], clips["rise"]]
    texts = [Hypothesis(toy_tokens(backend.tokenizer, name), -0.1, 0.0) for name in ("rise", "fall", "fall")]
    ours, expected = (each.align(windows, texts, "transcribe") for each in (backend, one))
    assert [[word.span for word in words] for words in ours] == [
        [word.span for word in words] for words in expected
    ]
    backend.close()


def test_a_hugging_face_folder_is_no_ctranslate2_folder() -> None:
    with pytest.raises(ModelError, match="not in CTranslate2 format"):
        ct2.load(toy_folder("en"), ENGINE)


def test_a_refused_decoding_option_is_named_with_its_reason() -> None:
    capabilities = Capabilities(
        backend="scripted",
        device="cpu",
        compute_type="float32",
        n_mels=80,
        refused={"no_repeat_ngram_size": "it has no n-grams"},
    )
    check_options(capabilities, DecodeOptions())
    with pytest.raises(UsageError, match=r"--no-repeat-ngram-size .* scripted backend: it has no n-grams"):
        check_options(capabilities, DecodeOptions(no_repeat_ngram_size=3))
