"""The name table against the modules of Transformers and of openai/whisper themselves."""

from __future__ import annotations

import pytest

from distilcli.converters.dims import Dims
from distilcli.converters.naming import expected_shapes, hf_name, openai_name, to_mlx
from distilcli.errors import ModelError

DIMS = Dims.from_openai(
    {
        "n_mels": 128,
        "n_audio_ctx": 1500,
        "n_audio_state": 16,
        "n_audio_head": 2,
        "n_audio_layer": 11,  # numbers of two digits
        "n_vocab": 51866,
        "n_text_ctx": 448,
        "n_text_state": 16,
        "n_text_head": 4,
        "n_text_layer": 2,
    },
    "test",
)


def test_names_and_shapes_are_those_of_openai_whisper() -> None:
    whisper = pytest.importorskip("whisper")
    model = whisper.Whisper(whisper.ModelDimensions(**DIMS.openai()))
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    assert expected_shapes(DIMS) == expected


def test_names_and_shapes_are_those_of_transformers() -> None:
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    model = WhisperForConditionalGeneration(WhisperConfig(**DIMS.config()))
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    del expected["proj_out.weight"]
    assert {hf_name(name): shape for name, shape in expected_shapes(DIMS).items()} == expected
    assert {openai_name(name) for name in expected} == set(expected_shapes(DIMS))


def test_the_prefix_of_transformers_may_be_missing() -> None:
    assert openai_name("decoder.layers.11.encoder_attn.q_proj.bias") == (
        "decoder.blocks.11.cross_attn.query.bias"
    )


@pytest.mark.parametrize(
    "name",
    [
        "model.encoder.layers.0.encoder_attn.q_proj.weight",  # an encoder hears nothing else
        "model.decoder.layers.0.self_attn.k_proj.bias",
        "model.decoder.layers.x.fc1.weight",
        "model.decoder.layers.*.fc1.weight",
        "model.decoder.layers..fc1.weight",
        "lm_head.weight",
        "",
    ],
)
def test_what_a_whisper_does_not_have_is_refused(name: str) -> None:
    with pytest.raises(ModelError, match="no tensor named"):
        openai_name(name)


def test_mlx_names_the_two_layers_of_an_mlp() -> None:
    assert to_mlx("encoder.blocks.0.mlp.0.weight") == "encoder.blocks.0.mlp1.weight"
    assert to_mlx("decoder.blocks.0.mlp.2.bias") == "decoder.blocks.0.mlp2.bias"
    assert to_mlx("decoder.blocks.2.mlp_ln.bias") == "decoder.blocks.2.mlp_ln.bias"


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("n_mels", 81, "80 or 128"),
        ("n_vocab", 51867, "51864, 51865 or 51866"),
        ("n_audio_ctx", 1499, "1500"),
        ("n_audio_layer", 65, "at most 64"),
        ("n_text_layer", 2_000_000_000, "at most 64"),
        ("n_audio_state", 8192, "at most 4096"),
        ("n_text_state", 32, "as the encoder"),
        ("n_text_head", 3, "a divisor"),
        ("n_audio_head", 0, "a positive whole number"),
        ("n_text_ctx", -1, "a positive whole number"),
        ("n_text_ctx", 448.0, "a positive whole number"),
        ("n_audio_state", True, "a positive whole number"),
    ],
)
def test_dims_that_no_whisper_has_are_refused(name: str, value: object, expected: str) -> None:
    with pytest.raises(ModelError, match=expected):
        Dims.from_openai({**DIMS.openai(), name: value}, "x.bin")


def test_unknown_and_missing_dims_are_refused() -> None:
    with pytest.raises(ModelError, match="n_speakers"):
        Dims.from_openai({**DIMS.openai(), "n_speakers": 2}, "x.pt")
    with pytest.raises(ModelError, match="n_mels"):
        Dims.from_openai({key: value for key, value in DIMS.openai().items() if key != "n_mels"}, "x.pt")
