"""``distilcli convert`` as a person uses it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from distilcli.converters.targets import TARGETS
from tests.support.checkpoint import tiny_checkpoint
from tests.support.cli import run
from tests.support.hub_upload import UploadHub

GUIDE = (Path(__file__).parents[2] / "docs" / "converting.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("source") / "tiny", layers=(2, 1), heads=[[0, 1], [9, 0]])


def test_list_names_every_format_and_kind() -> None:
    result = run("convert", "--list")
    assert result.code == 0
    for target in TARGETS.values():
        assert target.name in result.stdout
        assert all(kind in result.stdout for kind in target.kinds)


def test_paths_on_stdout_all_else_on_stderr(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = run("convert", folder, "--to", "transformers:float16", "-o", out, "--no-verify")
    assert (result.code, result.stdout) == (0, f"{out}\n")
    assert "warning: 1 of 2 alignment heads" in result.stderr
    assert "warning: transformers float16: the weights are float32; float16 rounds them" in result.stderr
    assert "MB in" in result.stderr
    assert (out / "model.safetensors").is_file()


def test_quiet_keeps_warnings(folder: Path, tmp_path: Path) -> None:
    result = run("convert", folder, "--to", "transformers", "-o", tmp_path / "out", "--no-verify", "-q")
    assert result.stderr.startswith("warning: 1 of 2 alignment heads")
    assert len(result.stderr.splitlines()) == 1


def test_dry_run_predicts_and_writes_nothing(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = run("convert", folder, "--to", "transformers,openai,ctranslate2:int8", "-o", out, "--dry-run")
    assert result.code == 0
    assert [line.split()[2] for line in result.stdout.splitlines()] == [
        "transformers",
        "openai",
        "ctranslate2",
    ]
    assert not list(tmp_path.iterdir())


def test_back_from_openai(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("whisper")
    assert run("convert", folder, "--to", "openai", "-o", tmp_path / "tiny.pt", "--no-verify").code == 0
    result = run("convert", tmp_path / "tiny.pt", "--to", "transformers:f16", "-o", tmp_path / "back", "-q")
    assert result.code == 0, result.stderr
    note = json.loads((tmp_path / "back" / "distilcli-export.json").read_text())
    assert note["source"] == str(tmp_path / "tiny.pt")
    assert note["verification"]["passed"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "back",
        "tiny.pt",
        "tiny.pt.distilcli-export.json",
    ]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--to", "ggml"], 2, "expected a MODEL and --to FORMAT"),
        (["nano"], 2, "expected a MODEL and --to FORMAT"),
        (["nano", "--to", "ggml"], 2, "expected -o OUT"),
        (["nano", "--to", "gglm", "-o", "x"], 2, "there is no format 'gglm' (did you mean 'ggml'?)"),
        (["nano", "--to", "ggml", "--quantization", "int4", "-o", "x"], 2, "ggml has no kind 'int4'"),
        (["nanno", "--to", "openai", "-o", "x"], 2, "there is no model 'nanno'"),
    ],
)
def test_what_cannot_be_done_is_said(words: list[str], code: int, message: str) -> None:
    result = run("convert", *words)
    assert result.code == code
    assert message in result.stderr


def test_other_files_and_formats_are_refused(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "weights.bin"
    file.write_bytes(b"\x80\x02 a pickle of old")
    result = run("convert", file, "--to", "openai", "-o", tmp_path / "x.pt")
    assert (result.code, "neither a GGML file" in result.stderr) == (6, True)
    made = run("convert", folder, "--to", "ctranslate2", "-o", tmp_path / "ct2", "--no-verify")
    assert made.code == 0, made.stderr
    result = run("convert", tmp_path / "ct2", "--to", "openai", "-o", tmp_path / "x.pt")
    assert (result.code, "nothing can be converted" in result.stderr) == (2, True)


def test_pushing_keeps_the_card_that_a_repository_has(folder: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from distilcli.cli.app import main; "
        f"main(['convert', {str(folder)!r}, '--to', 'transformers', '-o', {str(tmp_path / 'out')!r}, "
        "'--no-verify', '-q', '--push-to-hub', 'me/tiny'])"
    )
    (tmp_path / "repo").mkdir()
    (tmp_path / "repo" / "README.md").write_text("# Mine\n")
    with UploadHub({"me/tiny": tmp_path / "repo"}, tmp_path / "home") as hub:
        done = hub.python(code)
        assert done.returncode == 0, done.stderr
        (commit,) = hub.commits
        assert commit[0] == "me/tiny"
        assert {"README.md", "model.safetensors", "distilcli-export.json"} <= set(commit[2])
        card = (hub.repos["me/tiny"] / "README.md").read_text(encoding="utf-8")
    assert card.startswith("# Mine\n\n<!-- distilcli exports -->")


def test_the_guide_explains_every_flag_format_and_kind() -> None:
    options = set(re.findall(r"(?<![\w-])--[a-z][\w-]+", run("convert", "--help").stdout)) - {"--help"}
    assert {one for one in options if one not in GUIDE} == set()
    for target in TARGETS.values():
        assert all(f"`{kind}`" in GUIDE for kind in (target.name, *target.kinds))
