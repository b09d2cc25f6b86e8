"""Files of openai/whisper that were made to harm: no code runs, no memory is taken on a file's word."""

from __future__ import annotations

import io
import os
import pickle
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from distilcli.converters import openai_pt
from distilcli.converters.checkpoint import open_checkpoint
from distilcli.errors import ModelError
from tests.support.checkpoint import tiny_checkpoint

MUTATIONS = 300


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tiny_checkpoint(tmp_path_factory.mktemp("pickles") / "tiny", size=51864, dtype="float16")
    path = folder.with_suffix(".pt")
    openai_pt.write(open_checkpoint(folder), "float16", path)
    return path


@pytest.fixture(scope="module")
def content(original: Path) -> dict[str, Any]:
    return dict(torch.load(original, weights_only=True))


class Trap:
    """Unpickling it would make a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Callable[..., None], tuple[str]]:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("place", ["dims", "model_state_dict", "extra"])
def test_a_pickle_that_calls_a_function_calls_nothing(
    content: dict[str, Any], place: str, tmp_path: Path
) -> None:
    trap, path = tmp_path / "sprung", tmp_path / "trap.pt"
    torch.save({**content, place: Trap(trap)}, path)
    with pytest.raises(ModelError, match="is refused: it holds more than numbers and tensors"):
        openai_pt.read(path)
    assert not trap.exists()


def test_a_bare_pickle_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "bare.pt"
    path.write_bytes(pickle.dumps({"dims": Trap(tmp_path / "sprung")}))
    with pytest.raises(ModelError, match="is not a file of openai/whisper"):
        openai_pt.read(path)
    assert not (tmp_path / "sprung").exists()


def test_an_archive_that_unfolds_is_refused(original: Path, tmp_path: Path) -> None:
    path = tmp_path / "bomb.pt"
    with (
        zipfile.ZipFile(original) as source,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for member in source.infolist():
            target.writestr(member.filename, source.read(member))
        target.writestr("archive/data/999", bytes(50_000_000))
    with pytest.raises(ModelError, match="its parts are compressed"):
        openai_pt.read(path)


def test_a_tensor_larger_than_its_storage_is_refused(content: dict[str, Any], tmp_path: Path) -> None:
    name = "decoder.token_embedding.weight"
    state = {**content["model_state_dict"], name: torch.zeros(1, 1).expand(2_000_000_000, 16)}
    torch.save({**content, "model_state_dict": state}, tmp_path / "wide.pt")
    with pytest.raises(ModelError, match=r"token_embedding\.weight of shape \(51864, 16\), found"):
        openai_pt.read(tmp_path / "wide.pt")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"n_audio_state": 2**40}, "n_audio_state"),
        ({"n_audio_layer": 10_000}, "n_audio_layer"),
        ({"n_text_layer": -1}, "n_text_layer"),
        ({"n_text_head": 3}, "n_text_head"),
        ({"n_mels": "80"}, "n_mels"),
        ({"n_mels": True}, "n_mels"),
        ({"surprise": 1}, "surprise"),
        ({"n_vocab": 50_000}, "51864, 51865 or 51866"),
    ],
)
def test_dims_are_checked_before_anything_else(
    content: dict[str, Any], changed: dict[str, Any], message: str, tmp_path: Path
) -> None:
    torch.save({**content, "dims": {**content["dims"], **changed}}, tmp_path / "dims.pt")
    with pytest.raises(ModelError, match=message):
        openai_pt.read(tmp_path / "dims.pt")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"decoder.ln.weight": None}, r"decoder\.ln\.weight is missing"),
        ({"decoder.ln.extra": torch.zeros(3)}, r"decoder\.ln\.extra is not expected"),
        ({"decoder.ln.weight": torch.zeros(17)}, r"of shape \(16,\), found \(17,\)"),
        ({"decoder.ln.weight": [0.0] * 16}, "found list"),
        ({"decoder.ln.weight": torch.zeros(16, dtype=torch.int32)}, "found torch.int32"),
        ({"decoder.ln.weight": torch.full((16,), torch.nan)}, "holds NaN or infinity"),
        ({"decoder.ln.weight": torch.zeros(16).to_sparse()}, r"decoder\.ln\.weight"),
    ],
)
def test_tensors_are_those_of_the_dims(
    content: dict[str, Any], changed: dict[str, Any], message: str, tmp_path: Path
) -> None:
    state = {**content["model_state_dict"], **changed}
    state = {name: tensor for name, tensor in state.items() if tensor is not None}
    torch.save({**content, "model_state_dict": state}, tmp_path / "state.pt")
    with pytest.raises(ModelError, match=message):
        openai_pt.read(tmp_path / "state.pt")


@pytest.mark.parametrize("other", [[], {"model": {}}, {"dims": {}}, torch.zeros(3), 7])
def test_other_files_of_torch_are_refused(other: object, tmp_path: Path) -> None:
    torch.save(other, tmp_path / "other.pt")
    with pytest.raises(ModelError):
        openai_pt.read(tmp_path / "other.pt")


def test_mutations_end_in_an_answer_or_one_clear_error(original: Path, tmp_path: Path) -> None:
    """Most of a file is weights: half of the changes go where the pickle and the archive's tables are."""
    whole, path = original.read_bytes(), tmp_path / "mutated.pt"
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        pickled = next(one for one in archive.infolist() if one.filename.endswith("data.pkl"))
    zones = ((0, len(whole)), (pickled.header_offset, pickled.header_offset + pickled.file_size + 200))
    zones += ((len(whole) - 9000, len(whole)),)
    chance, refused = random.Random(7), 0
    for turn in range(MUTATIONS):
        content = bytearray(whole)
        start, end = zones[turn % len(zones)]
        for _ in range(chance.randint(1, 4)):
            content[chance.randrange(start, end)] = chance.randrange(256)
        path.write_bytes(content[: chance.randrange(len(content))] if turn % 5 == 0 else content)
        try:
            openai_pt.read(path)
        except ModelError:
            refused += 1
    assert refused > MUTATIONS / 4
