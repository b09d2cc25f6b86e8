"""The written folder: complete, readable by the library, equal to the network; the zip: reproducible."""

from __future__ import annotations

import json
import stat
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import GenerationConfig, WhisperForConditionalGeneration, WhisperProcessor

from distilcli.converters.tokenizer_files import whisper_tokenizer
from distilcli.tokens import Tokenizer
from distilcli.trainer import checkpoint, export
from distilcli.trainer.config import ModelOptions
from distilcli.trainer.network import Network
from distilcli.trainer.vocabulary import CompactVocabulary

OPTIONS = ModelOptions(width=64, heads=2, encoder_layers=1, decoder_layers=2, mels=128)
VOCABULARY = CompactVocabulary([*range(300), *range(50257, 51866)], 51866)


@pytest.fixture(scope="module")
def network() -> Network:
    """A network whose weights have the 8 significant bits that the export keeps."""
    torch.manual_seed(0)
    network: Network = Network(OPTIONS, VOCABULARY.rows).bfloat16().float().eval()
    return network


@pytest.fixture(scope="module")
def folder(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("model")
    export.write_folder(path, network, VOCABULARY, OPTIONS)
    return path


@torch.no_grad()
def test_the_library_reads_back_the_trained_network(folder: Path, network: Network) -> None:
    model = WhisperForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
    torch.manual_seed(1)
    mel, tokens = torch.randn(1, 128, 3000), torch.tensor([[50258, 50259, 50360, 50365, 12]])
    logits = model(input_features=mel, decoder_input_ids=tokens).logits
    mine = network.decode(VOCABULARY.compress(tokens), network.encode(mel)) @ network.rows.T
    torch.testing.assert_close(
        logits[..., list(VOCABULARY.kept)], mine[..., :-1], atol=2e-2, rtol=0
    )  # float16
    unused = logits[..., 300:50257]
    torch.testing.assert_close(unused, mine[..., -1:].expand_as(unused), atol=2e-2, rtol=0)
    # the shared row's offset is what the unused rows add up to
    total = torch.logsumexp(mine + VOCABULARY.log_multiplicity(), -1)
    torch.testing.assert_close(torch.logsumexp(logits, -1), total, atol=2e-2, rtol=0)


def test_all_files_are_there_and_readable_by_everyone(folder: Path) -> None:
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "config.json",
        "generation_config.json",
        "merges.txt",
        "model.safetensors",
        "normalizer.json",
        "preprocessor_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.json",
    }
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o644}


def test_the_generation_config_keeps_whispers_fields_when_read_again(folder: Path) -> None:
    config = GenerationConfig.from_pretrained(folder)
    assert config.lang_to_id["<|en|>"] == 50259
    assert len(config.lang_to_id) == 100
    assert config.task_to_id == {"transcribe": 50360, "translate": 50359}
    assert config.no_timestamps_token_id == 50364
    assert config.max_initial_timestamp_index == 50
    assert config.begin_suppress_tokens == [220, 50257]
    assert config.alignment_heads == [[0, 0], [1, 0]]
    # openai/whisper-large-v3's list begins and ends like this and has 90 entries
    assert config.suppress_tokens[:8] == [1, 2, 7, 8, 9, 10, 14, 25]
    assert config.suppress_tokens[-6:] == [50258, 50359, 50360, 50361, 50362, 50363]
    assert "_from_model_config" not in json.loads((folder / "generation_config.json").read_text())


def test_the_tokenizer_and_the_features_fit_the_model(folder: Path) -> None:
    assert Tokenizer.from_folder(folder).vocab.size == 51866
    processor = WhisperProcessor.from_pretrained(folder)
    assert processor.feature_extractor.feature_size == 128
    assert processor.tokenizer.convert_tokens_to_ids("<|30.00|>") == 51865
    assert processor.tokenizer.normalize("The colour's good") == "the color is good"
    config = json.loads((folder / "config.json").read_text())
    assert (config["vocab_size"], config["num_mel_bins"], config["decoder_start_token_id"]) == (
        51866,
        128,
        50258,
    )


def test_equal_folders_make_equal_zips(folder: Path, tmp_path: Path) -> None:
    export.write_zip(folder, tmp_path / "a.zip")
    export.write_zip(folder, tmp_path / "b.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip") as packed:
        assert packed.testzip() is None
        assert set(packed.namelist()) == {path.name for path in folder.iterdir()}


def test_unused_rows_compress_to_nothing(folder: Path, tmp_path: Path) -> None:
    export.write_zip(folder, tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as packed:
        info = packed.getinfo("model.safetensors")
    matrix = 51866 * 64 * 2  # bytes of the full embedding in float16
    used = info.file_size - matrix + VOCABULARY.rows * 64 * 2
    assert info.compress_size < used + 0.01 * matrix


def test_weights_keep_eight_significant_bits(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = Network(OPTIONS, VOCABULARY.rows)
    export.write_folder(tmp_path, network, VOCABULARY, OPTIONS)
    written = load_file(tmp_path / "model.safetensors")["model.encoder.layers.0.fc1.weight"]
    exact = network.whisper.model.encoder.layers[0].fc1.weight.detach()
    assert written.dtype == torch.float16
    normal = exact.abs() > 2**-13  # below, float16 is subnormal and has fewer bits of its own
    assert float(((written.float() - exact) / exact)[normal].abs().max()) <= 2**-8
    assert not (written.view(torch.int16)[normal] & 0b111).any()


def test_the_newest_checkpoints_are_averaged(tmp_path: Path) -> None:
    for step, fill in ((1, 7.0), (2, 1.0), (3, 3.0)):
        network = Network(OPTIONS, VOCABULARY.rows)
        state = {name: torch.full_like(value, fill) for name, value in network.state_dict().items()}
        checkpoint.save(tmp_path, step, {"kept": list(VOCABULARY.kept), "network": state}, keep=3)
    network, vocabulary = export.newest(tmp_path, 2, OPTIONS, 51866)
    assert vocabulary.kept == VOCABULARY.kept
    assert {float(value.mean()) for value in network.state_dict().values()} == {2.0}


@pytest.mark.parametrize("size", [51864, 51865, 51866])
def test_the_rebuilt_tokenizer_equals_openais(size: int) -> None:
    from whisper.tokenizer import get_tokenizer

    theirs = get_tokenizer(size > 51864, num_languages=100 if size == 51866 else 99)
    mine = whisper_tokenizer(size)
    for text in (
        " Hello, World! It's 12:30.",
        "na\u00efve \u65e5\u672c\u8a9e \U0001f600\n\t x",
        "thirty-second's",
    ):
        assert mine.encode(text) == theirs.encode(text)
    assert mine.vocab.timestamp_begin == theirs.timestamp_begin
    assert mine.vocab.no_speech == theirs.no_speech
