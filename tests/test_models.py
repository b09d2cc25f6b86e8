"""Names, hub repositories and folders become folders that a backend can load."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from distilcli.errors import UsageError
from distilcli.inventory import remove
from distilcli.model_folder import inspect
from distilcli.model_names import ALIASES, NANO, PUBLISHED
from distilcli.models import ModelEvent, resolve
from tests.support.checkpoint import tiny_checkpoint
from tests.support.hub import Hub

NAMES = [
    *("tiny", "tiny.en", "base", "base.en", "small", "small.en", "medium", "medium.en"),
    *("large-v1", "large-v2", "large-v3", "large", "turbo", "large-v3-turbo"),
    *("distil-small.en", "distil-medium.en", "distil-large-v2", "distil-large-v3", "distil-large-v3.5"),
]

RESOLVE = "from distilcli.models import resolve; print(resolve({name!r}, {fmt!r}, on_event=print).folder)"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("checkpoint") / "student", layers=(2, 1))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DISTILCLI_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def hub(checkpoint: Path, tmp_path: Path) -> Iterator[Hub]:
    repos = {"me/student": checkpoint, "Systran/faster-whisper-tiny": checkpoint}
    with Hub(repos, tmp_path) as running:
        yield running


def test_every_name_of_the_field_is_known() -> None:
    assert set(NAMES) == {*PUBLISHED, *ALIASES}


def test_ctranslate2_repositories_are_those_of_faster_whisper() -> None:
    from faster_whisper.utils import _MODELS

    ours = {name: PUBLISHED[ALIASES.get(name, name)].ctranslate2 for name in NAMES}
    assert ours == {name: _MODELS[name] for name in NAMES}


@pytest.mark.parametrize(
    ("name", "repo", "chunk_length", "distil"),
    [
        ("tiny", "openai/whisper-tiny", 30, False),
        ("large-v1", "openai/whisper-large", 30, False),
        ("turbo", "openai/whisper-large-v3-turbo", 30, False),
        ("distil-medium.en", "distil-whisper/distil-medium.en", 15, True),
        ("distil-large-v2", "distil-whisper/distil-large-v2", 15, True),
        ("distil-large-v3", "distil-whisper/distil-large-v3", 25, True),
        ("distil-large-v3.5", "distil-whisper/distil-large-v3.5", 25, True),
    ],
)
def test_what_is_known_of_published_models(name: str, repo: str, chunk_length: float, distil: bool) -> None:
    found = PUBLISHED[ALIASES.get(name, name)]
    assert (found.transformers, found.chunk_length, found.distil) == (repo, chunk_length, distil)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tyny", r"there is no model 'tyny' \(did you mean 'tiny'\?\)"),
        ("distil-large", "did you mean 'distil-large-v"),
        ("./models/none", r"there is no model folder \./models/none"),
        ("/models/none", "there is no model folder /models/none"),
        ("a/b/c", "there is no model folder a/b/c"),
        (__file__, "is a file; expected a model's name"),
    ],
)
def test_names_that_mean_nothing_are_usage_errors(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        resolve(name, "ctranslate2", offline=True)


def test_an_unknown_format_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="did you mean 'transformers'"):
        resolve("tiny", "transformer")


def test_a_folder_is_used_where_it_lies_or_converted_once(checkpoint: Path, cache: Path) -> None:
    found = resolve(str(checkpoint), "transformers")
    assert (found.folder, found.repo) == (checkpoint, None)
    assert (found.distil, found.condition_on_previous_text, found.chunk_length) == (True, False, 15)
    assert not cache.exists()

    events: list[ModelEvent] = []
    first = resolve(str(checkpoint), "ctranslate2", on_event=events.append)
    assert first.folder.is_relative_to(cache)
    assert inspect(first.folder).format == "ctranslate2"
    assert [(event.step, event.done) for event in events] == [("convert", 0), ("convert", 1)]
    assert resolve(str(checkpoint), "ctranslate2", on_event=events.append) == first
    assert len(events) == 2


def test_what_is_kept_in_8_bits_is_a_conversion_of_its_own(checkpoint: Path, cache: Path) -> None:
    plain = resolve(str(checkpoint), "ctranslate2")
    events: list[ModelEvent] = []
    rounded = resolve(str(checkpoint), "ctranslate2", kept_as="int8", on_event=events.append)
    assert rounded.folder.parent == plain.folder.parent
    weights = [(one.folder / "model.bin").stat().st_size for one in (plain, rounded)]
    assert weights[1] < 0.6 * weights[0]
    assert resolve(str(checkpoint), "ctranslate2", kept_as="int8", on_event=events.append) == rounded
    assert len(events) == 2
    assert remove(str(checkpoint)) > sum(weights)
    assert not plain.folder.exists()
    assert not rounded.folder.exists()


def test_a_changed_checkpoint_is_converted_again(checkpoint: Path, cache: Path, tmp_path: Path) -> None:
    mine = shutil.copytree(checkpoint, tmp_path / "mine")
    first = resolve(str(mine), "ctranslate2").folder
    weights = bytearray((mine / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (mine / "model.safetensors").write_bytes(weights)
    assert resolve(str(mine), "ctranslate2").folder != first


def test_a_converted_folder_is_no_checkpoint(checkpoint: Path, cache: Path) -> None:
    converted = resolve(str(checkpoint), "ctranslate2").folder
    assert resolve(str(converted), "ctranslate2").folder == converted
    with pytest.raises(
        UsageError, match="is a CTranslate2 model, which the transformers backend cannot read"
    ):
        resolve(str(converted), "transformers")


def test_floats_of_a_converted_folder_are_rounded_once(
    checkpoint: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Byte by byte what comes of the checkpoint itself."""
    mine = shutil.copytree(resolve(str(checkpoint), "ctranslate2").folder, tmp_path / "mine")
    (mine / "encoder.onnx").write_bytes(b"weights for somebody else")
    assert resolve(str(mine), "ctranslate2").folder == mine
    rounded = resolve(str(mine), "ctranslate2", kept_as="int8").folder
    assert rounded.parent == cache / "converted"
    direct = resolve(str(checkpoint), "ctranslate2", kept_as="int8").folder
    for name in ("model.bin", "config.json", "tokenizer.json", "vocabulary.json"):
        assert (rounded / name).read_bytes() == (direct / name).read_bytes(), name
    assert not (rounded / "encoder.onnx").exists()
    assert resolve(str(rounded), "ctranslate2", kept_as="int8").folder == rounded

    remove(str(mine))
    assert not rounded.exists()
    assert mine.is_dir()
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=1000))
    assert resolve(str(mine), "ctranslate2", kept_as="int8").folder == mine


def test_a_file_of_another_layout_is_left_alone(checkpoint: Path, cache: Path, tmp_path: Path) -> None:
    mine = shutil.copytree(resolve(str(checkpoint), "ctranslate2").folder, tmp_path / "mine")
    weights = (mine / "model.bin").read_bytes()
    assert weights[:4] == (6).to_bytes(4, "little")
    (mine / "model.bin").write_bytes((5).to_bytes(4, "little") + weights[4:])
    assert resolve(str(mine), "ctranslate2", kept_as="int8").folder == mine


def test_the_bundled_model_resolves_for_both_backends(cache: Path) -> None:
    from importlib.resources import files

    if not files("distilcli.assets").joinpath("nano.zip").is_file():
        pytest.skip("the bundled model is not in this checkout")
    for fmt in ("transformers", "ctranslate2"):
        found = resolve(NANO, fmt, offline=True)
        assert inspect(found.folder).format == fmt
        assert (found.condition_on_previous_text, found.chunk_length) == (False, 30)


def test_download_convert_then_work_without_the_hub(hub: Hub) -> None:
    done = hub.python(RESOLVE.format(name="me/student", fmt="ctranslate2"))
    assert done.returncode == 0, done.stderr
    folder = done.stdout.splitlines()[-1]
    assert inspect(Path(folder)).format == "ctranslate2"
    assert "step='convert'" in done.stdout

    hub.requests.clear()
    again = hub.python(RESOLVE.format(name="me/student", fmt="ctranslate2"), HF_ENDPOINT="http://127.0.0.1:9")
    assert again.stdout.splitlines() == [folder]
    snapshot = hub.python(RESOLVE.format(name="me/student", fmt="transformers"), HF_HUB_OFFLINE="1")
    assert inspect(Path(snapshot.stdout.strip())).format == "transformers"
    assert hub.requests == []


def test_a_hub_that_does_not_answer(hub: Hub) -> None:
    failed = hub.run("distilcli", "models", "download", "tiny", HF_ENDPOINT="http://127.0.0.1:9")
    assert failed.returncode == 6
    assert "error: the model tiny (Systran/faster-whisper-tiny) cannot be downloaded" in failed.stderr
    assert "distilcli models download tiny" in failed.stderr
    assert "--model nano" in failed.stderr
    assert failed.stdout == ""


def test_a_repository_without_the_format_says_so(hub: Hub) -> None:
    """The repository of a published CTranslate2 name holds no model.bin here."""
    failed = hub.run("distilcli", "models", "download", "tiny")
    assert failed.returncode == 6
    assert "has no model.bin" in failed.stderr


def test_a_repository_that_does_not_exist(hub: Hub) -> None:
    failed = hub.run("distilcli", "models", "download", "me/none")
    assert failed.returncode == 2
    assert "has no model 'me/none', or it is private" in failed.stderr


def test_damaged_download_is_mended_by_the_hint(hub: Hub) -> None:
    first = hub.run("distilcli", "models", "download", "me/student", "--backend", "transformers")
    assert first.returncode == 0, first.stderr
    weights = Path(first.stdout.strip()) / "model.safetensors"
    weights.resolve().write_bytes(weights.read_bytes()[:-1000])

    failed = hub.run("distilcli", "models", "path", "me/student", "--backend", "transformers")
    assert failed.returncode == 6
    assert "model.safetensors is damaged: expected" in failed.stderr
    hint = "distilcli models remove me/student && distilcli models download me/student"
    assert f"hint: {hint}" in failed.stderr

    for command in hint.split(" && "):
        mended = hub.run(*command.split())
        assert mended.returncode == 0, mended.stderr
    assert hub.run("distilcli", "models", "path", "me/student", "--backend", "transformers").returncode == 0


def test_list_and_remove(hub: Hub, checkpoint: Path) -> None:
    assert (
        hub.run("distilcli", "models", "remove", "me/student").stdout == "me/student: nothing of it is here\n"
    )
    hub.run("distilcli", "models", "download", "me/student")
    listed = {row["name"]: row for row in json.loads(hub.run("distilcli", "models", "list", "--json").stdout)}
    assert set(listed) >= {*PUBLISHED, NANO}
    assert set(listed["me/student"]["bytes"]) == {"transformers", "converted"}

    hub.run("distilcli", "models", "remove", "me/student")
    left = [path for path in hub.home.rglob("*.safetensors")] + list(hub.home.rglob("model.bin"))
    assert left == []


def test_remove_never_deletes_a_folder_of_the_user(hub: Hub, checkpoint: Path, tmp_path: Path) -> None:
    mine = shutil.copytree(checkpoint, tmp_path / "mine")
    converted = Path(hub.run("distilcli", "models", "download", str(mine)).stdout.strip())
    assert converted.is_dir()
    assert hub.run("distilcli", "models", "remove", str(mine)).returncode == 0
    assert not converted.exists()
    assert sorted(path.name for path in mine.iterdir()) == sorted(path.name for path in checkpoint.iterdir())


def test_doctor_examines_everything(hub: Hub) -> None:
    report = hub.run("distilcli", "doctor", "--json")
    findings = {row["subject"]: row for row in json.loads(report.stdout)}
    assert findings["hub"]["status"] == "ok"
    assert {"python", "torch", "transformers", "ctranslate2 cpu", "codecs", "cache", "bundled model"} <= set(
        findings
    )
    failed = [row for row in findings.values() if row["status"] == "fail"]
    assert report.returncode == (6 if failed else 0)
    offline = hub.run("distilcli", "doctor", HF_HUB_OFFLINE="1").stdout
    assert "offline mode is on" in offline
