"""The canonical folder: every reader's files, equal tensors, and the way back from openai/whisper's file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from distilcli.converters import hf_layout, openai_pt
from distilcli.converters.checkpoint import open_checkpoint
from distilcli.converters.imported import Imported
from distilcli.converters.tokenizer_files import rank_bytes, token_bytes
from distilcli.errors import ModelError
from distilcli.model_folder import inspect
from distilcli.tokens import Tokenizer
from tests.support.checkpoint import tiny_checkpoint
from tests.support.pipeline import batched_texts

FILES = [
    "config.json",
    "generation_config.json",
    "merges.txt",
    "model.safetensors",
    "normalizer.json",
    "preprocessor_config.json",
    "processor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source") / "tiny"
    return tiny_checkpoint(folder, layers=(2, 1), heads=[[0, 1], [7, 0]])


@pytest.fixture(scope="module")
def written(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("written") / "tiny"
    hf_layout.write(open_checkpoint(source), "float32", target)
    return target


@pytest.fixture(scope="module")
def imported(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """HF -> openai/whisper -> HF, float32."""
    scratch = tmp_path_factory.mktemp("imported")
    openai_pt.write(open_checkpoint(source), "float32", scratch / "tiny.pt")
    hf_layout.write_imported(openai_pt.read(scratch / "tiny.pt"), scratch / "tiny", "tiny.pt")
    return scratch / "tiny"


def test_every_readers_files_are_there(written: Path, imported: Path) -> None:
    assert sorted(path.name for path in imported.iterdir()) == FILES
    # The checkpoint has no normalizer.json: what is not there is not made up.
    assert sorted(path.name for path in written.iterdir()) == [one for one in FILES if one[0] != "n"]
    for folder in (written, imported):
        assert inspect(folder).n_mels == 80
        config = json.loads((folder / "config.json").read_text())
        assert isinstance(config["suppress_tokens"], list)
        assert config["dtype"] == config["torch_dtype"] == "float32"
        tokenizer = json.loads((folder / "tokenizer_config.json").read_text())
        assert isinstance(tokenizer["additional_special_tokens"], list)
        assert "extra_special_tokens" not in tokenizer


def test_prediction_is_close(source: Path, written: Path) -> None:
    size = sum(path.stat().st_size for path in written.iterdir())
    assert hf_layout.predict(open_checkpoint(source), "float32") == pytest.approx(size, rel=0.1)


def test_round_trip_through_openai_is_exact(source: Path, imported: Path) -> None:
    before, after = load_file(source / "model.safetensors"), load_file(imported / "model.safetensors")
    assert set(before) == set(after)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_transformers_reads_all_of_it(source: Path, written: Path, imported: Path) -> None:
    from transformers import WhisperForConditionalGeneration, WhisperProcessor

    features = torch.randn(1, 80, 3000, generator=torch.Generator().manual_seed(1))
    ids = torch.tensor([[50258, 50259, 50359]])
    answers = []
    for folder in (source, written, imported):
        model = WhisperForConditionalGeneration.from_pretrained(folder).eval()
        with torch.inference_mode():
            answers.append(model(features, decoder_input_ids=ids).logits)
    assert torch.equal(answers[0], answers[1])
    assert torch.equal(answers[0], answers[2])
    for folder in (written, imported):
        processor = WhisperProcessor.from_pretrained(folder)
        assert processor.tokenizer.encode(" Hello", add_special_tokens=False) == [2425]
        assert processor.feature_extractor.feature_size == 80
        assert len(processor.tokenizer) == 51865


def test_the_pipeline_batches(written: Path, imported: Path) -> None:
    assert [len(batched_texts(folder)) for folder in (written, imported)] == [2, 2]


def test_generation_config_survives_transformers(written: Path, imported: Path) -> None:
    from transformers import GenerationConfig

    found = GenerationConfig.from_pretrained(written)
    assert found.alignment_heads == [[0, 1]]
    assert found.lang_to_id["<|en|>"] == 50259
    assert GenerationConfig.from_pretrained(imported).no_timestamps_token_id == 50363


@pytest.mark.parametrize("kind", ["float32", "float16", "bfloat16"])
def test_reading_back_finds_equal_tensors(source: Path, tmp_path: Path, kind: str) -> None:
    checkpoint = open_checkpoint(source)
    hf_layout.write(checkpoint, kind, tmp_path / "out")
    compared = list(hf_layout.read_back(tmp_path / "out", checkpoint, kind))
    assert len(compared) == len(checkpoint.names())
    assert all(one.passed for one in compared)
    assert bool(hf_layout.warnings(checkpoint, kind)) == (kind != "float32")


def test_plain_tokens_are_those_of_the_published_ranks(source: Path, imported: Path) -> None:
    assert tuple(token_bytes(source)) == tuple(token_bytes(imported)) == rank_bytes(51865)
    assert token_bytes(source)[50256] == b""
    assert Tokenizer.from_folder(imported).vocab.size == 51865


def test_a_file_with_another_vocabulary_is_refused(source: Path, imported: Path, tmp_path: Path) -> None:
    openai_pt.write(open_checkpoint(source), "float32", tmp_path / "x.pt")
    read = openai_pt.read(tmp_path / "x.pt")
    words = rank_bytes(51865)
    for vocabulary, message in (
        ((*words[:700], b"stranger", *words[701:]), "expected token 700"),
        (words[:-1], "expected 50257 plain tokens, found 50256"),
    ):
        other = Imported(read.dims, read.tensors, read.dtypes, vocabulary)
        with pytest.raises(ModelError, match=message):
            hf_layout.write_imported(other, tmp_path / "out", "x.bin")
