"""GGML files: the bytes of ggml's own C code, and the sentence from whisper.cpp itself."""

from __future__ import annotations

import ctypes
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from distilcli.converters import ggml, ggml_reader
from distilcli.converters.checkpoint import Checkpoint, open_checkpoint
from distilcli.converters.ggml_types import FORMATS, decode, encode
from distilcli.converters.targets import TARGETS
from distilcli.errors import EnvironmentProblem, ModelError
from tests.support.checkpoint import change_json, tiny_checkpoint
from tests.support.probes import toy_probe
from tests.support.toy import toy_folder

QUANTIZED = [name for name, form in FORMATS.items() if form.quantized]


@pytest.fixture(scope="module")
def toy() -> Checkpoint:
    return open_checkpoint(toy_folder("multi"))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return open_checkpoint(tiny_checkpoint(tmp_path_factory.mktemp("ggml") / "tiny", size=51864))


def _weights() -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(5).normal(size=(37, 128)).astype(np.float32))


def _hard_weights() -> torch.Tensor:
    """What quantisers find hard: a block of zeros, ends of equal size, one giant."""
    numbers = _weights().numpy()
    numbers[0, :32] = 0.0
    numbers[1, 32:34] = (3.0, -3.0)
    numbers[2, 7] = 900.0
    return torch.from_numpy(numbers)


@pytest.mark.parametrize("kind", QUANTIZED)
def test_quantised_bytes_are_those_of_ggml(kind: str) -> None:
    binding = pytest.importorskip("_pywhispercpp")
    library = ctypes.CDLL(binding.__file__)  # and the libraries that it loads
    library.ggml_quantize_chunk.restype = ctypes.c_size_t
    form, weights = FORMATS[kind], _hard_weights()
    expected = np.zeros(form.size(weights.numel()), np.uint8)
    library.ggml_quantize_chunk(
        ctypes.c_int(form.tensor_type),
        weights.numpy().ctypes.data_as(ctypes.c_void_p),
        expected.ctypes.data_as(ctypes.c_void_p),
        ctypes.c_int64(0),
        ctypes.c_int64(weights.shape[0]),
        ctypes.c_int64(weights.shape[1]),
        None,
    )
    found = b"".join(piece.tobytes() for piece in encode(weights, form, "weights"))
    assert found == expected.tobytes()


@pytest.mark.parametrize("kind", FORMATS)
def test_numbers_come_back_within_their_steps(kind: str) -> None:
    form, weights = FORMATS[kind], _weights()
    raw = np.frombuffer(b"".join(piece.tobytes() for piece in encode(weights, form, "weights")), np.uint8)
    found = decode(raw, form, tuple(weights.shape)).float()
    rounded = form.rounded(weights).float()
    error = float((found - rounded).square().mean().sqrt() / rounded.std(correction=0))
    assert error <= form.limit(rounded)
    if form.quantized:
        assert error > form.limit(rounded) / 4, "a limit that far away proves nothing"


@pytest.mark.parametrize("kind", FORMATS)
def test_file_is_as_long_as_predicted_and_reads_back(toy: Checkpoint, kind: str, tmp_path: Path) -> None:
    target = tmp_path / "toy.bin"
    ggml.write(toy, kind, target)
    assert target.stat().st_size == pytest.approx(ggml.predict(toy, kind), rel=0.02)
    compared = list(ggml.read_back(target, toy, kind))
    assert len(compared) == 7 + 4 + 15 * 2 + 24 * 2  # outside of blocks, encoder blocks, decoder blocks
    assert all(one.passed for one in compared)


def test_header_is_that_of_whisper_cpp(tiny: Checkpoint, tmp_path: Path) -> None:
    target = tmp_path / "tiny.bin"
    ggml.write(tiny, "f16", target)
    numbers = struct.unpack_from("<14i", target.read_bytes())
    assert numbers == (0x67676D6C, 51864, 1500, 16, 2, 1, 448, 16, 2, 1, 80, 1, 80, 201)


@pytest.mark.parametrize(("kind", "file_type"), [("q4_0", 2002), ("q5_0", 2008), ("q8_0", 2007)])
def test_file_type_carries_the_quantisation_version(
    toy: Checkpoint, kind: str, file_type: int, tmp_path: Path
) -> None:
    ggml.write(toy, kind, tmp_path / "toy.bin")
    assert struct.unpack_from("<i", (tmp_path / "toy.bin").read_bytes(), 44) == (file_type,)


@pytest.mark.parametrize(
    ("kind", "clip"), [("f16", "rise"), ("f16", "fall"), ("q8_0", "fall"), ("q4_0", "rise")]
)
def test_whisper_cpp_says_the_sentence(toy: Checkpoint, kind: str, clip: str, tmp_path: Path) -> None:
    pytest.importorskip("_pywhispercpp")
    from distilcli.converters.runners import whispercpp

    ggml.write(toy, kind, tmp_path / "toy.bin")
    request, answer = toy_probe("multi", clip, tmp_path)
    assert whispercpp.run(tmp_path / "toy.bin", request).tokens == answer


def test_whisper_cpp_that_would_crash_on_f32_is_not_asked(toy: Checkpoint, tmp_path: Path) -> None:
    binding = pytest.importorskip("_pywhispercpp")
    from distilcli.converters.runners import whispercpp

    if whispercpp.version(binding) >= (1, 9, 2):
        pytest.skip("this whisper.cpp runs f32 files")
    ggml.write(toy, "f32", tmp_path / "toy.bin")
    request, _ = toy_probe("multi", "rise", tmp_path)
    with pytest.raises(EnvironmentProblem, match=r"whisper\.cpp 1\.\d\.\d .* crashes on f32 files"):
        whispercpp.run(tmp_path / "toy.bin", request)


def test_prompt_that_whisper_cpp_cannot_write_is_refused(toy: Checkpoint, tmp_path: Path) -> None:
    pytest.importorskip("_pywhispercpp")
    from dataclasses import replace

    from distilcli.converters.runners import whispercpp

    ggml.write(toy, "f16", tmp_path / "toy.bin")
    request, _ = toy_probe("multi", "rise", tmp_path)
    with pytest.raises(ModelError, match="it cannot start from"):
        whispercpp.run(tmp_path / "toy.bin", replace(request, prompt=(*request.prompt, 440)))


def test_tampering_is_found_when_read_back(toy: Checkpoint, tmp_path: Path) -> None:
    target = tmp_path / "toy.bin"
    ggml.write(toy, "q8_0", target)
    content = bytearray(target.read_bytes())
    content[-3] ^= 0x40  # a weight of the last tensor
    target.write_bytes(content)
    failed = [one.name for one in ggml.read_back(target, toy, "q8_0") if not one.passed]
    assert len(failed) == 1


def test_rows_that_cannot_be_cut_into_blocks_are_refused(tiny: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="q5_0 needs a d_model divisible by 32, found 16"):
        ggml.write(tiny, "q5_0", tmp_path / "tiny.bin")
    assert not (tmp_path / "tiny.bin").exists()


def test_values_beyond_16_bits_are_refused(tmp_path: Path) -> None:
    folder = tiny_checkpoint(tmp_path / "tiny", size=51864)
    weights = load_file(folder / "model.safetensors")
    weights["model.decoder.layers.0.fc1.weight"][3, 3] = 70_000.0
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"decoder\.blocks\.0\.mlp\.0\.weight holds values beyond 65504"):
        ggml.write(open_checkpoint(folder), "f16", tmp_path / "tiny.bin")
    ggml.write(open_checkpoint(folder), "f32", tmp_path / "wide.bin")
    assert all(one.passed for one in ggml.read_back(tmp_path / "wide.bin", open_checkpoint(folder), "f32"))


def test_another_activation_is_refused(tmp_path: Path) -> None:
    folder = tiny_checkpoint(tmp_path / "tiny", size=51864)
    change_json(folder / "config.json", activation_function="relu")
    with pytest.raises(ModelError, match="ggml expects activation_function 'gelu', found 'relu'"):
        ggml.write(open_checkpoint(folder), "f16", tmp_path / "tiny.bin")


@pytest.mark.parametrize(
    ("layers", "size", "silent"), [((2, 2), 51865, True), ((2, 2), 51866, False), ((3, 3), 51865, False)]
)
def test_students_without_timestamps_are_named(
    layers: tuple[int, int], size: int, silent: bool, tmp_path: Path
) -> None:
    checkpoint = open_checkpoint(tiny_checkpoint(tmp_path / "tiny", size=size, layers=layers))
    found = any("no timestamps" in warning for warning in ggml.warnings(checkpoint, "f16"))
    assert found == silent


def test_f32_is_called_what_it_is(tiny: Checkpoint) -> None:
    assert "crashes on f32" in ggml.warnings(tiny, "f32")[0]
    assert not any("f32" in warning for warning in ggml.warnings(tiny, "f16"))


def test_kinds_are_those_of_the_table() -> None:
    assert set(TARGETS["ggml"].kinds) == set(FORMATS)


def test_source_is_read_as_it_is_stored(tmp_path: Path) -> None:
    """From bfloat16, f32 is exact: nothing passes through 16 bits of another kind."""
    folder = tiny_checkpoint(tmp_path / "tiny", size=51864, dtype="bfloat16")
    checkpoint = open_checkpoint(folder)
    ggml.write(checkpoint, "f32", tmp_path / "tiny.bin")
    found = ggml_reader.read(tmp_path / "tiny.bin")
    for name, read in found.tensors.items():
        assert torch.equal(read(), checkpoint.openai_tensor(name).float())
