"""The Transformers backend: number formats, attention, compilation, speculative decoding, refusals."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from distilcli.backends import hf
from distilcli.backends.base import Backend, check_options
from distilcli.backends.hf_engine import check_attention
from distilcli.config import DecodeOptions, EngineOptions
from distilcli.errors import EnvironmentProblem, ModelError, UsageError
from distilcli.types import Hypothesis, Window
from tests.support.toy import toy_folder, toy_tokens

ENGINE = EngineOptions(backend="transformers", device="cpu", compute_type="float32", threads=1)
GREEDY = DecodeOptions(beam_size=1)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A folder with the English toy model that a test may damage."""
    return Path(shutil.copytree(toy_folder("en"), tmp_path / "model"))


@pytest.mark.parametrize("changes", [{"compute_type": "bfloat16"}, {"attention": "eager"}], ids=str)
def test_other_arithmetic_gives_the_same_text(changes: dict[str, object], clips: dict[str, Window]) -> None:
    backend = hf.load(toy_folder("multi"), replace(ENGINE, **changes))
    for name in ("rise", "fall"):
        (answer,) = backend.decode([clips[name]], DecodeOptions())
        assert answer.tokens == toy_tokens(backend.tokenizer, name)
    backend.close()


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_alignment_leaves_the_attention_as_it_is(attention: str, clips: dict[str, Window]) -> None:
    backend = hf.load(toy_folder("multi"), replace(ENGINE, attention=attention))
    plain = hf.load(toy_folder("multi"), ENGINE)
    model = backend._main.network.model  # the library's own object: what it is set to is the point here
    text = Hypothesis(toy_tokens(backend.tokenizer, "rise"), -0.1, 0.0)
    found, expected = (one.align([clips["rise"]], [text], "transcribe") for one in (backend, plain))
    assert [word.span for word in found[0]] == [word.span for word in expected[0]]
    assert model.config._attn_implementation == attention
    assert not any(module._forward_hooks for module in model.modules())
    for one in (backend, plain):
        one.close()


@pytest.mark.parametrize(
    ("listed", "said"),
    [
        ([[7, 0], [31, 1]], "2 of 2 alignment heads .* all heads of the last half"),
        ([[1, 1], [31, 1]], "1 of 2 alignment heads .* from the others"),
        ([], None),
        (None, None),
    ],
)
def test_alignment_heads_that_the_decoder_lacks_are_left_out(
    copy: Path, listed: list[list[int]] | None, said: str | None, clips: dict[str, Window]
) -> None:
    path = copy / "generation_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "alignment_heads": listed}))
    backend = hf.load(copy, ENGINE)
    notes = " ".join(backend.capabilities.notes)
    assert re.search(said, notes) if said else notes == ""
    text = Hypothesis(toy_tokens(backend.tokenizer, "rise"), -0.1, 0.0)
    assert all(backend.align([clips["rise"]], [text], "transcribe"))
    backend.close()


def test_float32_is_the_default_on_a_cpu() -> None:
    backend = hf.load(toy_folder("multi"), replace(ENGINE, compute_type="auto"))
    assert backend.capabilities.compute_type == "float32"
    assert backend.capabilities.n_mels == 80
    backend.close()


def test_a_compiled_model_gives_the_same_text(
    clips: dict[str, Window], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The graphs are captured as always; generating machine code for them would take minutes.
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    backend = hf.load(toy_folder("en"), replace(ENGINE, compile=True))
    (answer,) = backend.decode([clips["rise"]], replace(GREEDY, max_new_tokens=8))
    assert answer.tokens == toy_tokens(backend.tokenizer, "rise")[:8]
    backend.close()
    torch.compiler.reset()


def test_speculative_decoding_changes_nothing_but_the_work(
    loaded: Callable[[str, str], Backend], clips: dict[str, Window]
) -> None:
    plain = loaded("transformers", "multi")
    prompt = tuple(plain.tokenizer.encode(" Once upon a time."))
    windows = [*clips.values(), replace(clips["rise"], prompt=prompt), replace(clips["fall"], prompt=prompt)]
    backend = hf.load(toy_folder("multi"), replace(ENGINE, assistant_model="draft"), toy_folder("draft"))
    for options in (GREEDY, replace(GREEDY, timestamps=False)):
        answers = backend.decode(windows, options)
        for ours, expected in zip(answers, plain.decode(windows, options), strict=True):
            assert ours.tokens == expected.tokens
            assert ours.avg_logprob == pytest.approx(expected.avg_logprob, abs=1e-5)
            assert ours.no_speech_prob == pytest.approx(expected.no_speech_prob, abs=1e-5)
    assert 0 < backend.drafts.accepted < backend.drafts.proposed
    assert backend.encoded_windows == len(clips)
    backend.close()


@pytest.mark.parametrize("limit", [1, 2, 7])
def test_speculative_decoding_keeps_to_max_new_tokens(limit: int, clips: dict[str, Window]) -> None:
    backend = hf.load(toy_folder("multi"), replace(ENGINE, assistant_model="draft"), toy_folder("draft"))
    (answer,) = backend.decode([clips["rise"]], replace(GREEDY, max_new_tokens=limit))
    assert answer.tokens == toy_tokens(backend.tokenizer, "rise")[:limit]
    backend.close()


def test_a_draft_model_with_another_encoder_listens_for_itself(
    tmp_path: Path, clips: dict[str, Window]
) -> None:
    other = Path(shutil.copytree(toy_folder("multi"), tmp_path / "other"))
    tensors = load_file(other / "model.safetensors")
    tensors["model.encoder.layer_norm.weight"] *= 1.001
    save_file(tensors, other / "model.safetensors", metadata={"format": "pt"})
    for draft in (toy_folder("multi"), other):
        backend = hf.load(toy_folder("multi"), replace(ENGINE, assistant_model="draft"), draft)
        (answer,) = backend.decode([clips["rise"]], GREEDY)
        assert answer.tokens == toy_tokens(backend.tokenizer, "rise")
        assert backend.drafts.accepted == backend.drafts.proposed > 0  # both know the sentence as well
        backend.close()


def test_speculative_decoding_is_greedy(clips: dict[str, Window]) -> None:
    backend = hf.load(toy_folder("multi"), replace(ENGINE, assistant_model="draft"), toy_folder("draft"))
    with pytest.raises(UsageError, match="5 beams") as caught:
        check_options(backend.capabilities, DecodeOptions())
    assert caught.value.hint == "add --beam-size 1"
    check_options(backend.capabilities, GREEDY)
    check_options(backend.capabilities, DecodeOptions(temperature=0.2))
    backend.close()


def test_a_draft_model_of_another_vocabulary_is_refused() -> None:
    with pytest.raises(ModelError, match="51864 tokens and --model has 51865"):
        hf.load(toy_folder("multi"), replace(ENGINE, assistant_model="en"), toy_folder("en"))


def test_a_sampled_text_does_not_depend_on_its_neighbours(
    loaded: Callable[[str, str], Backend], clips: dict[str, Window]
) -> None:
    backend = loaded("transformers", "multi")
    options = DecodeOptions(temperature=3.0, best_of=2, max_new_tokens=10)
    together = backend.decode([clips["fall"], clips["rise"]], options)
    assert [one.tokens for one in together] == [
        backend.decode([clips[name]], options)[0].tokens for name in ("fall", "rise")
    ]


def test_the_process_keeps_its_threads_and_random_numbers(clips: dict[str, Window]) -> None:
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    before = torch.get_num_threads()
    backend = hf.load(toy_folder("en"), replace(ENGINE, threads=before + 1))
    backend.decode([clips["rise"]], DecodeOptions(temperature=1.0, best_of=2, max_new_tokens=4))
    assert torch.get_num_threads() == before
    assert torch.equal(torch.rand(1), expected)
    backend.close()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"compute_type": "int8"}, "int8 needs --device cuda"),
        ({"compute_type": "int4"}, "int4 needs --device cuda"),
        ({"compute_type": "flaot16"}, "did you mean 'float16'"),
        ({"attention": "sdap"}, "did you mean 'sdpa'"),
        ({"attention": "flash_attention_2"}, "needs --device cuda"),
        ({"device": "tpu"}, "--device must be"),
    ],
)
def test_what_cannot_be_honoured_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        hf.load(toy_folder("en"), replace(ENGINE, **changes))


def test_flash_attention_needs_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(EnvironmentProblem, match="flash-attn, which is not installed"):
        check_attention("flash_attention_2", torch.device("cuda", 0), "float16")


@pytest.mark.skipif(torch.cuda.device_count() > 7, reason="this machine has eight CUDA devices")
def test_a_missing_device_is_a_problem_of_the_machine() -> None:
    with pytest.raises(EnvironmentProblem, match="cuda:7") as caught:
        hf.load(toy_folder("en"), replace(ENGINE, device="cuda:7"))
    assert caught.value.hint == "use --device cpu"


def _cut(folder: Path) -> None:
    with (folder / "model.safetensors").open("r+b") as file:
        file.truncate(100_000)


def _without_a_tensor(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.decoder.layer_norm.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def _other_mels(folder: Path) -> None:
    (folder / "preprocessor_config.json").write_text(json.dumps({"feature_size": 128}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_cut, "model.safetensors is damaged: expected .* bytes, found 100000"),
        (
            lambda folder: (folder / "config.json").write_text("{"),
            "config.json cannot be read as JSON",
        ),
        (
            lambda folder: (folder / "model.safetensors").unlink(),
            "neither model.safetensors",
        ),
        (lambda folder: (folder / "tokenizer.json").unlink(), "no tokenizer.json"),
        (_without_a_tensor, "lack model.decoder.layer_norm.weight"),
        (_other_mels, "says 128 mel bands, but the weights .* expect 80"),
    ],
    ids=["cut", "configuration", "no weights", "no tokenizer", "a tensor is missing", "mel bands"],
)
def test_a_damaged_folder_is_named(copy: Path, damage: Callable[[Path], object], message: str) -> None:
    damage(copy)
    with pytest.raises(ModelError, match=message):
        hf.load(copy, ENGINE)
