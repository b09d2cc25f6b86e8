"""A network that begins as a smaller trained one: the same answers, new layers that learn, clear refusals."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import WhisperForConditionalGeneration

from distilcli.errors import DistilError, ModelError, UsageError
from distilcli.trainer import checkpoint, export, supervised
from distilcli.trainer.config import ModelOptions, load_recipe
from distilcli.trainer.dry_run import describe_supervised
from distilcli.trainer.recipe import DataOptions, DistilRecipe, SourceOptions, TeacherOptions
from distilcli.trainer.stages import teacher_recipe
from distilcli.trainer.warm_start import open_start
from tests.trainer.recordings import smoke_corpus

RECIPE = """
run = "{run}"
[data]
manifests = ["{manifest}"]
[model]
width = 64
heads = 2
encoder_layers = 2
decoder_layers = 2
mels = 80
[train]
dtype = "float32"
warmup = 1
checkpoint_every = 2
[[phases]]
name = "only"
steps = 4
batch_seconds = 4.0
ctc = [1.0, 1.0]
"""
ZERO = (
    "whisper.model.decoder.layers.1.self_attn.out_proj.weight",
    "whisper.model.decoder.layers.2.encoder_attn.out_proj.bias",
    "whisper.model.decoder.layers.2.fc2.weight",
    "whisper.model.encoder.layers.1.fc2.bias",
)
DEEPER = ("model.encoder_layers=3", "model.decoder_layers=4")

Prepare = Callable[..., supervised.Trainer]


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe with its recordings, and a checkpoint of two steps in its run folder."""
    folder = tmp_path_factory.mktemp("warm")
    manifest = smoke_corpus(folder / "corpus", sentences=30) / "train.jsonl"
    path = folder / "recipe.toml"
    path.write_text(RECIPE.format(run=folder / "run", manifest=manifest), encoding="utf-8")
    trainer = supervised.run_recipe(load_recipe(path, ["phases.only.steps=2"]))
    # Biases and norms begin as zeros and ones, which would hide layers in the wrong place.
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for value in trainer.network.parameters():
            value += 0.1 * torch.randn(value.shape, generator=generator)
    checkpoint.save(folder / "run", 2, trainer.state(), keep=1)
    return path


@pytest.fixture
def prepare(recipe: Path, tmp_path: Path) -> Prepare:
    """Opens the recipe in a folder of the test's own, with overrides."""
    return lambda *overrides: supervised.prepare(
        load_recipe(recipe, [f"run={json.dumps(str(tmp_path / 'run'))}", *overrides])
    )


def start(path: Path) -> str:
    return f"model.start={json.dumps(str(path))}"


@torch.no_grad()
def answers(trainer: supervised.Trainer, ids: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probabilities of every id, (1, tokens, vocabulary), and letters, for noise and these ids."""
    network, vocabulary = trainer.network.eval(), trainer.vocabulary
    mel = torch.randn(1, 80, 400, generator=torch.Generator().manual_seed(0))
    encoded = network.encode(mel)
    logits = network.decode(vocabulary.compress(ids), encoded) @ vocabulary.expand(network.rows).T
    return logits.log_softmax(-1), network.characters(encoded)


def some_ids(trainer: supervised.Trainer) -> Tensor:
    return torch.tensor([[trainer.tokenizer.vocab.sot, *trainer.vocabulary.kept[300:320], 40_000]])


def test_layers_that_are_put_in_change_no_answer_and_learn_from_the_first_step(
    recipe: Path, prepare: Prepare
) -> None:
    run = recipe.parent / "run"
    before = prepare(f"run={json.dumps(str(run))}")
    assert before.step == 2
    after = prepare(*DEEPER, start(run))
    assert after.step == 0
    ids = some_ids(before)
    for mine, theirs in zip(answers(after, ids), answers(before, ids), strict=True):
        assert torch.equal(mine, theirs)
    weights = after.network.state_dict()
    assert all(not weights[name].any() for name in ZERO)
    # two of four layers, spaced maximally: the first and the last; two of three: the first and the last
    old = before.network.state_dict()
    for side, number, place in (("decoder", 0, 0), ("decoder", 1, 3), ("encoder", 1, 2)):
        name = "whisper.model.{}.layers.{}.fc1.weight"
        assert torch.equal(weights[name.format(side, place)], old[name.format(side, number)])
    after.network.train()
    after.train_step()
    assert all(after.network.state_dict()[name].any() for name in ZERO)


def test_a_model_folder_is_a_start_too(recipe: Path, prepare: Prepare, tmp_path: Path) -> None:
    options = load_recipe(recipe).model
    network, vocabulary = export.newest(recipe.parent / "run", 1, options, 51866)
    export.write_folder(tmp_path / "model", network, vocabulary, options)
    after = prepare(*DEEPER, start(tmp_path / "model"))
    assert after.vocabulary.kept == vocabulary.kept
    ids = some_ids(after)
    model = WhisperForConditionalGeneration.from_pretrained(tmp_path / "model", dtype=torch.float32).eval()
    mel = torch.randn(1, 80, 3000, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        theirs = model(input_features=mel, decoder_input_ids=ids).logits
        encoded = after.network.eval().encode(mel)
        hidden = after.network.decode(after.vocabulary.compress(ids), encoded)
        mine = hidden @ after.vocabulary.expand(after.network.rows).T
    torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-4)


def test_rows_are_kept_and_new_words_begin_as_the_row_that_the_others_share(
    recipe: Path, prepare: Prepare, tmp_path: Path
) -> None:
    lines = (recipe.parent / "corpus/train.jsonl").read_text(encoding="utf-8").splitlines()
    row = json.loads(lines[0])
    row |= {"audio": str(recipe.parent / "corpus" / row["audio"]), "text": "Elephants rejoice."}
    (tmp_path / "other.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    run = recipe.parent / "run"
    before = prepare(f"run={json.dumps(str(run))}")
    after = prepare(start(run), f"data.manifests=[{json.dumps(str(tmp_path / 'other.jsonl'))}]")
    assert set(after.vocabulary.kept) > set(before.vocabulary.kept)
    ids = some_ids(before)
    for mine, theirs in zip(answers(after, ids), answers(before, ids), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_it_goes_on_without_the_start(recipe: Path, tmp_path: Path) -> None:
    """Only the first step needs it: afterwards the run has checkpoints of its own."""
    first = tmp_path / "first.pt"
    first.write_bytes((recipe.parent / "run" / "step-0000002.pt").read_bytes())
    settings = [*DEEPER, start(first)]
    whole = supervised.run_recipe(load_recipe(recipe, [*settings, f"run={tmp_path / 'whole'}"]))
    assert [path.name for path in checkpoint.listed(tmp_path / "whole")] == [
        "step-0000002.pt",
        "step-0000004.pt",
    ]
    (tmp_path / "part").mkdir()
    (tmp_path / "whole" / "step-0000002.pt").rename(tmp_path / "part" / "step-0000002.pt")
    first.unlink()
    resumed = supervised.run_recipe(load_recipe(recipe, [*settings, f"run={tmp_path / 'part'}"]))
    for mine, theirs in zip(resumed.network.parameters(), whole.network.parameters(), strict=True):
        assert torch.equal(mine, theirs)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 128}, "model.width is 128, and there it is 64"),
        ({"heads": 4, "mels": 128}, "model.mels is 128, and there it is 80; model.heads is 4, and there"),
        ({"decoder_layers": 1}, "model.decoder_layers is 1, and there are 2: layers are only added"),
    ],
)
def test_a_start_of_another_shape_is_refused(recipe: Path, changes: dict[str, int], message: str) -> None:
    shape = {"width": 64, "heads": 2, "encoder_layers": 2, "decoder_layers": 2, "mels": 80} | changes
    options = ModelOptions(**shape, start=str(recipe.parent / "run"))  # type: ignore[arg-type]  # by name
    with pytest.raises(UsageError, match="does not fit the recipe") as caught:
        open_start(options, 51866)
    assert message in caught.value.message


def test_what_is_no_start_is_refused(recipe: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"data\.vocabulary_size is 51865, and there it is 51866"):
        open_start(
            ModelOptions(width=64, heads=2, encoder_layers=2, mels=80, start=str(recipe.parent / "run")),
            51865,
        )
    torch.save({"weights": {}}, tmp_path / "student.pt")
    with pytest.raises(ModelError, match=r"student\.pt is not a checkpoint of training from scratch"):
        open_start(ModelOptions(start=str(tmp_path / "student.pt")), 51866)
    with pytest.raises(DistilError, match="nowhere"):
        open_start(ModelOptions(start=str(tmp_path / "nowhere")), 51866)


def test_the_plan_names_the_start(recipe: Path) -> None:
    path = recipe.parent / "run" / "step-0000002.pt"
    lines = list(describe_supervised(load_recipe(recipe, [start(path.parent)])))
    assert f"begins with {path}" in lines


def test_a_teacher_from_other_weights_is_another_teacher(recipe: Path, tmp_path: Path) -> None:
    """Its checkpoints are never gone on from: they are in a folder with another name."""
    weights = tmp_path / "start.pt"

    def folder(*overrides: str) -> str:
        return teacher_recipe(
            DistilRecipe(
                run=str(tmp_path / "run"),
                data=DataOptions(sources=(SourceOptions(path="unused.jsonl"),)),
                teacher=TeacherOptions(recipe=str(recipe), overrides=overrides),
            )
        ).run

    weights.write_bytes(b"first")
    first = folder(start(weights))
    assert folder(start(weights)) == first
    weights.write_bytes(b"second")
    assert len({first, folder(start(weights)), folder(), folder("phases.only.steps=9")}) == 4
