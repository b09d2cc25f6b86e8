"""Students made of layers: which ones, where they come from, what is written beside the weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from transformers import GenerationConfig, WhisperForConditionalGeneration

from distilcli.errors import ModelError, UsageError
from distilcli.model_folder import inspect, read_json
from distilcli.trainer.recipe import InitOptions
from distilcli.trainer.student import (
    chosen_layers,
    make_student,
    spaced_layers,
    student_heads,
    write_contexts,
)
from tests.support.checkpoint import change_json, tiny_checkpoint

HEADS = [[0, 1], [2, 0], [3, 1]]


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of 3 encoder and 4 decoder layers with 2 heads each."""
    folder = tmp_path_factory.mktemp("teacher") / "teacher"
    return tiny_checkpoint(folder, layers=(3, 4), heads=HEADS)


def loaded(folder: Path) -> WhisperForConditionalGeneration:
    model, found = WhisperForConditionalGeneration.from_pretrained(folder, output_loading_info=True)
    assert not found["missing_keys"]
    assert not found["unexpected_keys"]
    return model.eval()  # type: ignore[no-any-return]


def same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    ours, theirs = one.state_dict(), other.state_dict()
    return ours.keys() == theirs.keys() and all(ours[name].equal(theirs[name]) for name in ours)


@pytest.mark.parametrize(
    ("n", "k", "layers"),
    [
        (32, 2, (0, 31)),
        (32, 3, (0, 15, 31)),
        (32, 4, (0, 10, 20, 31)),
        (32, 8, (0, 4, 8, 13, 17, 22, 26, 31)),
        (12, 4, (0, 3, 7, 11)),
        (4, 2, (0, 3)),
        (4, 3, (0, 1, 3)),
        (6, 1, (5,)),
        (1, 1, (0,)),
    ],
)
def test_layers_are_maximally_spaced(n: int, k: int, layers: tuple[int, ...]) -> None:
    """The examples that were computed with the reference code."""
    assert spaced_layers(n, k) == layers


def test_all_layers_are_all_layers() -> None:
    for n in range(1, 33):
        assert spaced_layers(n, n) == tuple(range(n))


@pytest.mark.parametrize("k", [0, -1, 5])
def test_more_layers_than_there_are_is_an_error(k: int) -> None:
    with pytest.raises(UsageError, match=f"4 layers has 1 to 4 layers, not {k}"):
        spaced_layers(4, k)


@pytest.mark.parametrize(
    ("listed", "layers"), [((0, -1), (0, 31)), ((0, 15, -1), (0, 15, 31)), ((-32, 31), (0, 31))]
)
def test_negative_layers_count_from_the_end(listed: tuple[int, ...], layers: tuple[int, ...]) -> None:
    assert chosen_layers(32, listed, "init.decoder_layer_list") == layers


@pytest.mark.parametrize("listed", [(0, 0), (3, -1), (1, 2, 1)])
def test_a_layer_twice_is_an_error(listed: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match=r"init.decoder_layer_list: .* twice"):
        chosen_layers(4, listed, "init.decoder_layer_list")


@pytest.mark.parametrize("layer", [4, -5])
def test_a_layer_that_is_not_there_is_an_error(layer: int) -> None:
    with pytest.raises(UsageError, match=f"there is no layer {layer} in a model with 4: expected -4 to 3"):
        chosen_layers(4, (0, layer), "init.decoder_layer_list")


@pytest.mark.parametrize(
    ("options", "encoder", "decoder"),
    [
        (InitOptions(), (0, 1, 2), (0, 3)),
        (InitOptions(decoder_layers=3), (0, 1, 2), (0, 1, 3)),
        (InitOptions(decoder_layer_list=(0, -1)), (0, 1, 2), (0, 3)),
        (InitOptions(decoder_layer_list=(1, 2)), (0, 1, 2), (1, 2)),
        (InitOptions(encoder_layers=2, decoder_layers=1), (0, 2), (3,)),
        (InitOptions(encoder_layer_list=(1,)), (1,), (0, 3)),
    ],
)
def test_the_weights_are_those_of_the_chosen_layers(
    teacher: Path, tmp_path: Path, options: InitOptions, encoder: tuple[int, ...], decoder: tuple[int, ...]
) -> None:
    report = make_student(teacher, tmp_path / "init", options)
    assert (report.encoder_layers, report.decoder_layers) == (encoder, decoder)
    whole, student = loaded(teacher), loaded(tmp_path / "init")
    for side, kept in (("encoder", encoder), ("decoder", decoder)):
        ours, theirs = getattr(student.model, side), getattr(whole.model, side)
        assert len(ours.layers) == len(kept)
        assert all(same(ours.layers[new], theirs.layers[old]) for new, old in enumerate(kept))
        del ours.layers, theirs.layers
        assert same(ours, theirs)
    assert student.proj_out.weight is student.model.decoder.embed_tokens.weight
    assert report.parameters < report.source_parameters or decoder == (0, 1, 2, 3)
    facts = inspect(tmp_path / "init")
    assert (facts.encoder_layers, facts.decoder_layers) == (len(encoder), len(decoder))


def test_parameters_are_counted_once(teacher: Path, tmp_path: Path) -> None:
    report = make_student(teacher, tmp_path / "init", InitOptions())
    assert report.parameters == sum(value.numel() for value in loaded(tmp_path / "init").parameters())
    assert report.source_parameters == sum(value.numel() for value in loaded(teacher).parameters())


def test_a_student_with_all_layers_answers_like_its_teacher(teacher: Path, tmp_path: Path) -> None:
    make_student(teacher, tmp_path / "init", InitOptions(decoder_layers=4))
    mel = torch.randn(1, 80, 3000, generator=torch.Generator().manual_seed(0))
    ids = torch.tensor([[50258, 50259, 50359, 7, 8]])
    with torch.no_grad():
        ours, theirs = (
            loaded(folder)(input_features=mel, decoder_input_ids=ids).logits
            for folder in (tmp_path / "init", teacher)
        )
    assert ours.equal(theirs)


def test_heads_of_kept_layers_are_renumbered() -> None:
    assert student_heads(HEADS, (0, 3), 2) == ((0, 1), (1, 1))
    assert student_heads(HEADS, (2,), 2) == ((0, 0),)
    assert student_heads([[3, 0], [3, 5]], (1, 3), 2) == ((1, 0),)  # a head that is not there


def test_without_heads_of_kept_layers_all_of_the_later_half_are_taken() -> None:
    assert student_heads([[1, 0]], (0, 3), 2) == ((1, 0), (1, 1))
    assert student_heads([], (3,), 2) == ((0, 0), (0, 1))
    assert student_heads([], (0, 1, 2, 3), 1) == ((2, 0), (3, 0))


def test_the_generation_config_is_the_teachers_with_mended_heads(teacher: Path, tmp_path: Path) -> None:
    forced = shutil.copytree(teacher, tmp_path / "forced")
    change_json(forced / "generation_config.json", forced_decoder_ids=[[1, 50259]])
    report = make_student(forced, tmp_path / "init", InitOptions())
    assert report.alignment_heads == ((0, 1), (1, 1))
    found = GenerationConfig.from_pretrained(tmp_path / "init")
    assert found.alignment_heads == [[0, 1], [1, 1]]
    assert found.lang_to_id["<|en|>"] == 50259
    assert found.suppress_tokens == [1, 2]
    assert getattr(found, "forced_decoder_ids", None) is None


def test_a_teacher_without_a_generation_config_gives_a_complete_one(tmp_path: Path) -> None:
    folder = tiny_checkpoint(tmp_path / "teacher", layers=(1, 2))
    (folder / "generation_config.json").unlink()
    make_student(folder, tmp_path / "init", InitOptions())
    found = read_json(tmp_path / "init" / "generation_config.json")
    assert found["lang_to_id"]["<|en|>"] == 50259
    assert found["no_timestamps_token_id"] == 50363


def test_tokenizer_and_processor_are_copied(teacher: Path, tmp_path: Path) -> None:
    make_student(teacher, tmp_path / "init", InitOptions())
    for name in ("tokenizer.json", "tokenizer_config.json", "processor_config.json"):
        assert (tmp_path / "init" / name).read_bytes() == (teacher / name).read_bytes()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_the_number_format_stays(tmp_path: Path, dtype: str) -> None:
    folder = tiny_checkpoint(tmp_path / "teacher", layers=(1, 2), dtype=dtype)
    make_student(folder, tmp_path / "init", InitOptions())
    assert inspect(tmp_path / "init").dtype == dtype


def test_a_student_that_is_there_is_replaced(teacher: Path, tmp_path: Path) -> None:
    make_student(teacher, tmp_path / "init", InitOptions())
    (tmp_path / "init" / "old").touch()
    make_student(teacher, tmp_path / "init", InitOptions(decoder_layers=1))
    assert inspect(tmp_path / "init").decoder_layers == 1
    assert not (tmp_path / "init" / "old").exists()


def test_a_failure_leaves_the_student_that_is_there(teacher: Path, tmp_path: Path) -> None:
    make_student(teacher, tmp_path / "init", InitOptions())
    broken = tiny_checkpoint(tmp_path / "broken", layers=(1, 2))
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(ModelError, match="damaged"):
        make_student(broken, tmp_path / "init", InitOptions())
    assert inspect(tmp_path / "init").encoder_layers == 3


def test_another_student_is_taken_whole(teacher: Path, tmp_path: Path) -> None:
    """Language transfer: the student of one language starts as that of another."""
    other = tiny_checkpoint(tmp_path / "french", layers=(2, 3), heads=[[1, 1]])
    report = make_student(teacher, tmp_path / "init", InitOptions(student=str(other)))
    assert (report.encoder_layers, report.decoder_layers) == ((0, 1), (0, 1, 2))
    assert report.alignment_heads == ((1, 1),)
    assert same(loaded(tmp_path / "init"), loaded(other))


def test_some_layers_of_another_student(teacher: Path, tmp_path: Path) -> None:
    other = tiny_checkpoint(tmp_path / "french", layers=(2, 3))
    options = InitOptions(student=str(other), decoder_layer_list=(0, -1))
    assert make_student(teacher, tmp_path / "init", options).decoder_layers == (0, 2)


def test_a_student_of_another_vocabulary_is_refused(teacher: Path, tmp_path: Path) -> None:
    other = tiny_checkpoint(tmp_path / "large-v3", size=51866)
    with pytest.raises(UsageError, match=r"51866 tokens and the teacher one of 51865"):
        make_student(teacher, tmp_path / "init", InitOptions(student=str(other)))
    assert not (tmp_path / "init").exists()


def test_fine_tuning_needs_no_teacher(teacher: Path, tmp_path: Path) -> None:
    report = make_student(None, tmp_path / "init", InitOptions(student=str(teacher)))
    assert report.decoder_layers == (0, 1, 2, 3)
    with pytest.raises(UsageError, match=r"set init.student"):
        make_student(None, tmp_path / "init", InitOptions())


def test_a_search_without_windows_is_refused(teacher: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="needs packed windows"):
        make_student(teacher, tmp_path / "init", InitOptions(search=True))


def test_contexts_are_noted_beside_the_weights(teacher: Path, tmp_path: Path) -> None:
    make_student(teacher, tmp_path / "init", InitOptions())
    before = read_json(tmp_path / "init" / "config.json")
    write_contexts(tmp_path / "init", (30.0, 5.0))
    after = json.loads((tmp_path / "init" / "config.json").read_text())
    assert after == {**before, "audio_contexts": [5.0, 30.0]}
    loaded(tmp_path / "init")
