"""Conversion for CTranslate2: same answers as the checkpoint, and none of upstream's traps."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from distilcli.converters import ct2
from distilcli.converters.checkpoint import open_checkpoint
from distilcli.converters.ct2 import convert
from distilcli.converters.targets import TARGETS
from distilcli.errors import EnvironmentProblem, ModelError, OutputError
from distilcli.model_folder import inspect
from distilcli.tokens import Vocab
from tests.support.checkpoint import change_json, tiny_checkpoint


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source") / "tiny"
    return tiny_checkpoint(folder, layers=(2, 1), heads=[[0, 1], [7, 0], [0, 9]])


@pytest.fixture(scope="module")
def converted(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("converted") / "tiny"
    convert(checkpoint, target)
    return target


@pytest.fixture
def source(checkpoint: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(checkpoint, tmp_path / "tiny"))


def _config(folder: Path) -> dict[str, object]:
    return dict(json.loads((folder / "config.json").read_text(encoding="utf-8")))


def test_logits_equal_those_of_transformers(checkpoint: Path, converted: Path) -> None:
    import ctranslate2
    import torch
    from transformers import WhisperForConditionalGeneration

    features = np.random.default_rng(3).normal(size=(1, 80, 3000)).astype(np.float32)
    prefix, text = Vocab(51865).prefix("de", timestamps=False), [440, 1002]
    ids = [*prefix, *text]
    model = WhisperForConditionalGeneration.from_pretrained(checkpoint).eval()
    with torch.no_grad():
        logits = model(torch.from_numpy(features), decoder_input_ids=torch.tensor([ids])).logits
    expected = logits[0, len(prefix) - 1 :].numpy()  # (steps, vocabulary)

    answer = ctranslate2.models.Whisper(str(converted), compute_type="float32").generate(
        ctranslate2.StorageView.from_array(features),
        [ids],
        beam_size=1,
        max_length=2 * (len(ids) + 1),
        suppress_blank=False,
        suppress_tokens=[],
        return_logits_vocab=True,
    )[0]
    steps = answer.logits[0][: len(expected)]
    found = np.stack([np.asarray(step, dtype=np.float32).reshape(-1) for step in steps])
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_converted_folder_is_complete_and_plain(converted: Path) -> None:
    facts = inspect(converted)
    assert (facts.format, facts.n_mels, facts.encoder_layers, facts.decoder_layers) == (
        "ctranslate2",
        80,
        2,
        1,
    )
    assert json.loads((converted / "preprocessor_config.json").read_text())["feature_size"] == 80
    assert len(json.loads((converted / "vocabulary.json").read_text())) == 51865
    assert not list(converted.parent.glob(".tiny.????????"))
    assert all(path.is_file() and not path.is_symlink() for path in converted.iterdir())
    mask = os.umask(0)
    os.umask(mask)
    for path in converted.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask, path.name
    assert stat.S_IMODE(converted.stat().st_mode) == 0o777 & ~mask


@pytest.mark.parametrize(
    ("size", "dtype", "kinds"),
    [
        (51864, "float32", ("float16", "int8")),
        (51865, "float16", ("int16", "float16")),
        (51866, "bfloat16", ("int8_float16", "float32")),
    ],
)
def test_every_file_equals_that_of_upstreams_converter(
    tmp_path: Path, size: int, dtype: str, kinds: tuple[str, ...]
) -> None:
    from ctranslate2.converters import TransformersConverter

    source = tiny_checkpoint(tmp_path / "tiny", size=size, layers=(2, 2), dtype=dtype)
    checkpoint = open_checkpoint(source)
    change_json(source / "generation_config.json", **checkpoint.generation)  # upstream mends nothing
    for kind in kinds:
        ours, theirs = tmp_path / f"ours-{kind}", tmp_path / f"theirs-{kind}"
        ct2.write(checkpoint, kind, ours)
        TransformersConverter(str(source)).convert(str(theirs), quantization=kind)
        for name in ("model.bin", "config.json", "vocabulary.json"):
            assert (ours / name).read_bytes() == (theirs / name).read_bytes(), (kind, name)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_weights_rounded_once_are_those_rounded_at_each_start(tmp_path: Path, dtype: str) -> None:
    """Bit by bit: upstream's own int8 files round convolutions too, and differ."""
    import ctranslate2

    source = tiny_checkpoint(tmp_path / "tiny", layers=(2, 1), dtype=dtype)
    convert(source, tmp_path / "as-they-are")
    convert(source, tmp_path / "rounded", "int8")
    features = np.random.default_rng(3).normal(size=(1, 80, 3000)).astype(np.float32)
    prompt = Vocab(51865).prefix("de", timestamps=False)
    answers = []
    for name in ("as-they-are", "rounded"):
        model = ctranslate2.models.Whisper(str(tmp_path / name), compute_type="int8")
        states = model.encode(ctranslate2.StorageView.from_array(features))
        (answer,) = model.generate(states, [prompt], return_scores=True, max_length=20)
        answers.append((np.asarray(states).tobytes(), answer.sequences_ids, answer.scores))
    assert answers[0] == answers[1]


def test_alignment_heads_of_the_teacher_are_left_out(converted: Path) -> None:
    """A layer that the decoder lacks kills the process inside CTranslate2."""
    assert _config(converted)["alignment_heads"] == [[0, 1]]


def test_without_a_valid_head_the_last_half_of_the_layers_is_taken(source: Path, tmp_path: Path) -> None:
    change_json(source / "generation_config.json", alignment_heads=[[9, 0]])
    convert(source, tmp_path / "out")
    assert _config(tmp_path / "out")["alignment_heads"] == [[0, 0], [0, 1]]


def test_languages_survive_a_generation_config_that_transformers_would_drop(
    source: Path, tmp_path: Path
) -> None:
    change_json(source / "generation_config.json", _from_model_config=True, lang_to_id=None)
    convert(source, tmp_path / "out")
    vocab = Vocab(51865)
    assert _config(tmp_path / "out")["lang_ids"] == [vocab.language(code) for code in vocab.languages]


def test_no_generation_config_at_all(source: Path, tmp_path: Path) -> None:
    (source / "generation_config.json").unlink()
    convert(source, tmp_path / "out")
    assert len(_config(tmp_path / "out")["lang_ids"]) == 99  # type: ignore[arg-type]  # a JSON list


def test_number_format_is_the_weights_own(tmp_path: Path) -> None:
    source = tiny_checkpoint(tmp_path / "half", size=51864, dtype="float16")
    change_json(source / "config.json", dtype="float32")
    convert(source, tmp_path / "out")
    weights = (source / "model.safetensors").stat().st_size
    assert (tmp_path / "out" / "model.bin").stat().st_size == pytest.approx(weights, rel=0.02)
    assert _config(tmp_path / "out").get("lang_ids") == []


def test_tokenizer_of_another_model_is_refused(source: Path, tmp_path: Path) -> None:
    other = tiny_checkpoint(tmp_path / "english", size=51864)
    shutil.copyfile(other / "tokenizer.json", source / "tokenizer.json")
    with pytest.raises(ModelError, match=r"tokenizer\.json does not belong to this model"):
        convert(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_nothing_is_ever_replaced(source: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("all of it")
    with pytest.raises(OutputError, match="exists already"):
        convert(source, mine)
    assert (mine / "thesis.txt").read_text() == "all of it"


def test_source_is_not_touched(checkpoint: Path, converted: Path) -> None:
    assert (checkpoint / "processor_config.json").is_file()
    assert not (checkpoint / "preprocessor_config.json").exists()


def test_full_disk_is_seen_before_work(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(100, 99, 1))  # type: ignore[attr-defined]  # private in typeshed
    with pytest.raises(EnvironmentProblem, match="GB free"):
        convert(source, tmp_path / "out")


def test_two_processes_convert_once(source: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from distilcli.converters.ct2 import convert;"
        "convert(Path(sys.argv[1]), Path(sys.argv[2]))"
    )
    command = [sys.executable, "-c", code, str(source), str(tmp_path / "out")]
    running = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    errors = [process.communicate(timeout=120)[1] for process in running]
    # Either both saw no target and one waited, or the second came late and was told that the target exists.
    assert any(process.returncode == 0 for process in running), errors
    assert all(
        process.returncode == 0 or "exists already" in error
        for process, error in zip(running, errors, strict=True)
    )
    assert inspect(tmp_path / "out").format == "ctranslate2"
    assert not list(tmp_path.glob(".out.????????"))


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_every_kind_is_read_back_and_of_the_predicted_size(tmp_path: Path, dtype: str) -> None:
    checkpoint = open_checkpoint(tiny_checkpoint(tmp_path / "tiny", layers=(2, 2), dtype=dtype))
    for kind in TARGETS["ctranslate2"].kinds:
        target = tmp_path / kind
        ct2.write(checkpoint, kind, target)
        compared = list(ct2.read_back(target, checkpoint, kind))
        # Two convolutions, two positions, two last norms, the embedding; a fused block of each side.
        assert len(compared) == 2 * 2 + 2 + 2 * 2 + 1 + 2 * (2 * 6 + 3 * 2 + 2 * 5 + 2 * 2)
        assert [one.name for one in compared if not one.passed] == [], kind
        exact = {one.name for one in compared if one.limit == 0.0}
        quantised = {one.name for one in compared} - exact
        assert bool(quantised) == kind.startswith("int"), kind
        size = sum(path.stat().st_size for path in target.iterdir())
        assert ct2.predict(checkpoint, kind) == pytest.approx(size, rel=0.2), kind


@pytest.mark.parametrize("kind", ["float16", "int8", "int16"])
def test_a_changed_weight_is_found(tmp_path: Path, kind: str) -> None:
    checkpoint = open_checkpoint(tiny_checkpoint(tmp_path / "tiny"))
    target = tmp_path / "out"
    ct2.write(checkpoint, kind, target)
    raw = bytearray((target / "model.bin").read_bytes())
    name = b"decoder/layer_0/ffn/linear_0/weight\0"
    start = raw.index(name) + len(name) + 1 + 2 * 4 + 1 + 4  # rank, dimensions, format, length
    raw[start + 31] ^= 0x40
    (target / "model.bin").write_bytes(raw)
    wrong = [one.name for one in ct2.read_back(target, checkpoint, kind) if not one.passed]
    assert wrong == ["decoder/layer_0/ffn/linear_0/weight"]


def test_values_beyond_float16_are_refused(tmp_path: Path) -> None:
    folder = tiny_checkpoint(tmp_path / "tiny")
    weights = load_file(folder / "model.safetensors")
    weights["model.encoder.conv1.bias"][0] = 70_000.0
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"encoder\.conv1\.bias holds values beyond 65504"):
        ct2.write(open_checkpoint(folder), "float16", tmp_path / "out")


def test_kinds_that_cpus_lack_are_said(checkpoint: Path) -> None:
    opened = open_checkpoint(checkpoint)
    assert "float32" in ct2.warnings(opened, "float16")[0]
    assert ct2.warnings(opened, "int8") == ()
