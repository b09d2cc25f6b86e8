"""Conversion from end to end: real runtimes, notes and cards, failures that leave nothing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from distilcli.converters import hf_layout
from distilcli.converters.checkpoint import Checkpoint, open_checkpoint
from distilcli.converters.convert import ConvertOptions, Stage, convert_to, plan
from distilcli.converters.export_card import CARD, merged
from distilcli.converters.export_note import EXPORT_NOTE
from distilcli.converters.targets import parse
from distilcli.errors import EnvironmentProblem, OutputError, QualityGateError
from tests.support.checkpoint import tiny_checkpoint
from tests.support.probes import toy_wav
from tests.support.toy import toy_folder


@pytest.fixture(scope="module")
def toy() -> Checkpoint:
    return open_checkpoint(toy_folder("en"))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return open_checkpoint(tiny_checkpoint(tmp_path_factory.mktemp("source") / "tiny", heads=[[0, 1]]))


def _note(path: Path) -> dict[str, object]:
    return dict(json.loads(path.read_text(encoding="utf-8")))


def test_several_formats_are_made_verified_and_described(toy: Checkpoint, tmp_path: Path) -> None:
    pytest.importorskip("whisper")
    stages: list[Stage] = []
    wanted = parse("ctranslate2:int8,openai,transformers:float16")
    options = ConvertOptions(probe_audio=toy_wav(tmp_path), origin="toy")
    exports = convert_to(toy, wanted, tmp_path / "out", options, stages.append)

    names = ["ctranslate2-int8", "openai-float16.pt", "transformers-float16"]
    assert [one.path.name for one in exports] == names
    for one in exports:
        assert one.verification is not None
        assert one.verification.passed
        # The sentence and end-of-text: the toy knows the clip by heart, in every kind.
        assert one.verification.agreed == one.verification.of
        assert (one.verification.of or 0) > 10
        assert one.bytes > 1_000_000
    assert [stage.step for stage in stages] == ["probe", *["write", "verify"] * 3]

    note = _note(tmp_path / "out" / "ctranslate2-int8" / EXPORT_NOTE)
    assert (note["source"], note["format"], note["kind"]) == ("toy", "ctranslate2", "int8")
    assert note["source_sha256"] == toy.digest
    assert _note(tmp_path / "out" / f"openai-float16.pt.{EXPORT_NOTE}")["files"] == ["openai-float16.pt"]
    card = (tmp_path / "out" / CARD).read_text(encoding="utf-8")
    assert "distilcli transcribe talk.mp3 --model ctranslate2-int8" in card
    assert "whisper talk.mp3 --model openai-float16.pt" in card
    assert f"{exports[0].verification.of} of {exports[0].verification.of} tokens agree" in card  # type: ignore[union-attr]  # asserted above


def test_an_export_that_says_something_else_is_not_kept(
    toy: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = hf_layout.write

    def swapped(checkpoint: Checkpoint, kind: str, target: Path) -> None:
        write(checkpoint, kind, target)
        shutil.copyfile(toy_folder("draft") / "generation_config.json", target / "generation_config.json")
        raw = bytearray((target / "model.safetensors").read_bytes())
        raw[-1] ^= 0x40
        (target / "model.safetensors").write_bytes(raw)

    monkeypatch.setattr(hf_layout, "write", swapped)
    audio = toy_wav(tmp_path)
    with pytest.raises(QualityGateError, match="1 differ"):
        convert_to(toy, parse("transformers"), tmp_path / "x", ConvertOptions(probe_audio=audio))
    assert [path.name for path in tmp_path.iterdir()] == [audio.name]
    convert_to(toy, parse("transformers"), tmp_path / "x", ConvertOptions(verify=False))
    assert _note(tmp_path / "x" / EXPORT_NOTE)["verification"] == "skipped"


def test_one_export_is_the_target_itself(tiny: Checkpoint, tmp_path: Path) -> None:
    quick = ConvertOptions(verify=False)
    (export,) = convert_to(tiny, parse("transformers"), tmp_path / "new" / "here", quick)
    assert export.path == tmp_path / "new" / "here"
    assert (export.path / CARD).is_file()
    (inside,) = plan(tiny, parse("openai"), tmp_path / "new")
    assert inside.path == tmp_path / "new" / "openai-float16.pt"


def test_conversions_before_a_failure_stay(tiny: Checkpoint, tmp_path: Path) -> None:
    out = tmp_path / "out"
    quick = ConvertOptions(verify=False)
    convert_to(tiny, parse("openai,transformers"), out, quick)
    with pytest.raises(OutputError, match="exists already"):
        convert_to(tiny, parse("openai:float32,transformers"), out, quick)
    assert not (out / "openai-float32.pt").exists()  # places are looked at before any work
    exports = convert_to(
        tiny, parse("openai,transformers"), out, ConvertOptions(verify=False, overwrite=True)
    )
    assert len(exports) == 2
    assert sorted(path.name for path in out.iterdir() if not path.name.startswith(".")) == [
        CARD,
        "openai-float16.pt",
        f"openai-float16.pt.{EXPORT_NOTE}",
        "transformers-float32",
    ]


def test_a_full_disk_is_seen_before_work(
    tiny: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(100, 99, 1))  # type: ignore[attr-defined]  # private in typeshed
    with pytest.raises(EnvironmentProblem, match="GB free"):
        convert_to(tiny, parse("transformers"), tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_room_for_what_lies_on_the_disk_for_a_while_is_counted(
    tiny: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    (planned,) = plan(tiny, parse("onnx:q8"), tmp_path / "out")
    assert planned.scratch > 0
    free = planned.bytes + planned.scratch - 1
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(free, 0, free))  # type: ignore[attr-defined]  # private in typeshed
    with pytest.raises(EnvironmentProblem, match="GB free"):
        convert_to(tiny, [planned.wanted], tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_with_a_card_keeps_it(tmp_path: Path) -> None:
    folder = tiny_checkpoint(tmp_path / "source")
    (folder / CARD).write_text("---\nlicense: mit\n---\n# My student\n", encoding="utf-8")
    convert_to(open_checkpoint(folder), parse("transformers"), tmp_path / "out", ConvertOptions(verify=False))
    card = (tmp_path / "out" / CARD).read_text(encoding="utf-8")
    assert card.startswith("---\nlicense: mit\n---\n# My student\n")
    assert 'pipeline("automatic-speech-recognition", "out")' in card


def test_a_second_section_takes_the_place_of_the_first(tiny: Checkpoint, tmp_path: Path) -> None:
    convert_to(tiny, parse("transformers"), tmp_path / "out", ConvertOptions(verify=False))
    section = (tmp_path / "out" / CARD).read_text(encoding="utf-8")
    card = merged("# Mine\n", section) + "\n## Licence\n"
    assert merged(card, section) == card
    assert merged("", section) == section
    assert card.startswith("# Mine\n\n<!-- distilcli exports -->")


def test_the_openai_card_sets_the_alignment_heads(tiny: Checkpoint, tmp_path: Path) -> None:
    whisper = pytest.importorskip("whisper")
    exports = convert_to(tiny, parse("openai,transformers"), tmp_path / "out", ConvertOptions(verify=False))
    card = (tmp_path / "out" / CARD).read_text(encoding="utf-8")
    code = card.partition("```python\n")[2].partition("```")[0]
    names: dict[str, object] = {}
    exec(code.replace("openai-float16.pt", str(exports[0].path)), names)
    model = names["model"]
    assert isinstance(model, whisper.Whisper)
    assert torch.equal(model.alignment_heads.to_dense().nonzero(), torch.tensor([[0, 1]]))
