"""Batches of packed windows: features, padding, order, forms, short contexts, augmentation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from distilcli.audio import from_array
from distilcli.features import log_mel
from distilcli.tokens import Tokenizer
from distilcli.trainer.labels import IGNORED
from distilcli.trainer.packing import pack
from distilcli.trainer.recipe import AugmentOptions, DistilOptions, PackOptions
from distilcli.trainer.records import Corpus, PackedWindow, WindowBatch
from distilcli.trainer.variants import draw_form, label_of
from distilcli.trainer.window_batches import epoch_order, make_window_batch, padded_log_mel, render
from distilcli.types import Span, Window
from tests.support.media import babble
from tests.support.tokenizer import whisper_tokenizer_json
from tests.trainer.packed import V3, Spoken, make_corpus, make_recipe

ULP = 2.0**-20 / 4
"""One unit in the last place of a log10 power between -8 and -16, in features."""

SPOKEN = [Spoken(seconds=29.0, label=(0, [5, 6], 25)), Spoken(seconds=2.5), Spoken(seconds=1.25, label=(0,))]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    import tokenizers

    return Tokenizer(tokenizers.Tokenizer.from_file(str(whisper_tokenizer_json(51866))))


def packed(spoken: list[Spoken]) -> tuple[Corpus, tuple[PackedWindow, ...]]:
    """Windows of noise that sounds like speech, packed in order."""
    corpus, labels = make_corpus(spoken)
    seconds = len(corpus.samples) / 16_000
    corpus = replace(corpus, samples=babble(seconds + 1)[: len(corpus.samples), 0])
    recipe = make_recipe(pack=PackOptions(method="next-fit"))
    return corpus, pack(corpus, labels, range(len(spoken)), recipe, V3)


def tensors(batch: WindowBatch) -> list[torch.Tensor]:
    assert batch.mel is not None
    return [batch.mel, batch.inputs, batch.targets]


@pytest.mark.parametrize("n_mels", [80, 128])
def test_features_are_those_of_transcription(tokenizer: Tokenizer, n_mels: int) -> None:
    corpus, windows = packed(SPOKEN)
    batch = make_window_batch([1, 0], windows, corpus, tokenizer, make_recipe(), 0, n_mels)
    assert batch.mel is not None
    assert batch.mel.shape == (2, n_mels, 3000)
    assert batch.mel.dtype == torch.float32
    sounds = [corpus.samples[29 * 16_000 :], corpus.samples[: 29 * 16_000]]
    for row, sound in zip(batch.mel.numpy(), sounds, strict=True):
        expected = log_mel(Window(from_array(np.array(sound), "window"), Span(0, 30)), n_mels)
        np.testing.assert_allclose(row, expected, rtol=0, atol=ULP)
    assert batch.seconds == pytest.approx(29.0 + 3.75)


def test_labels_are_padded_without_loss(tokenizer: Tokenizer) -> None:
    corpus, windows = packed(SPOKEN)
    recipe = make_recipe(pack=PackOptions(timestamp_probability=1.0, prompt_probability=1.0))
    batch = make_window_batch([0, 1], windows, corpus, tokenizer, recipe, 0, 80, with_mel=False)
    labels = [label_of(windows, row, draw_form(windows[row], recipe, 0), V3) for row in (0, 1)]
    assert len(labels[1].inputs) > len(labels[0].inputs)  # it has a prompt
    for row, label in enumerate(labels):
        length = len(label.inputs)
        assert batch.inputs[row].tolist() == [*label.inputs, *[V3.eot] * (batch.inputs.shape[1] - length)]
        assert batch.targets[row].tolist() == [*label.targets, *[IGNORED] * (batch.inputs.shape[1] - length)]
    assert batch.inputs.dtype == batch.targets.dtype == torch.int64
    assert batch.keys == tuple(window.key for window in windows)


def test_without_sound_only_the_features_are_missing(tokenizer: Tokenizer) -> None:
    corpus, windows = packed(SPOKEN)
    deaf = replace(corpus, samples=corpus.samples[:0])
    recipe = make_recipe()
    with_sound = make_window_batch([0, 1], windows, corpus, tokenizer, recipe, 3, 80)
    without = make_window_batch([0, 1], windows, deaf, tokenizer, recipe, 3, 80, with_mel=False)
    assert without.mel is None
    assert without.inputs.equal(with_sound.inputs)
    assert (without.keys, without.variants, without.seconds) == (
        with_sound.keys,
        with_sound.variants,
        with_sound.seconds,
    )


def test_equal_names_of_variants_have_equal_inputs_in_all_epochs(tokenizer: Tokenizer) -> None:
    corpus, windows = packed([Spoken(seconds=29.0, label=(0, [number], 9)) for number in range(6)])
    recipe = make_recipe(pack=PackOptions(timestamp_probability=0.5, prompt_probability=0.5))
    found: dict[str, set[tuple[int, ...]]] = {}
    for epoch in range(60):
        batch = make_window_batch(range(6), windows, corpus, tokenizer, recipe, epoch, 80, with_mel=False)
        for name, inputs in zip(batch.variants, batch.inputs.tolist(), strict=True):
            found.setdefault(name, set()).add(tuple(token for token in inputs if token != V3.eot))
    assert all(len(inputs) == 1 for inputs in found.values())
    assert len(found) == 2 + 5 * 4  # the first window has nothing before it


def test_a_batch_depends_on_windows_recipe_and_epoch_alone(tokenizer: Tokenizer) -> None:
    corpus, windows = packed(SPOKEN)
    augment = AugmentOptions(
        noise_probability=1.0, speed_probability=1.0, spec_time_masks=2, spec_mel_masks=1, bpe_dropout=0.5
    )
    recipe = make_recipe(augment=augment)
    one, same, later = (
        make_window_batch([0, 1], windows, corpus, tokenizer, recipe, epoch, 80) for epoch in (1, 1, 2)
    )
    assert all(a.equal(b) for a, b in zip(tensors(one), tensors(same), strict=True))
    assert one.variants == same.variants
    assert not set(one.variants) & set(later.variants)  # other sound: other states
    alone = make_window_batch([1], windows, corpus, tokenizer, recipe, 1, 80)
    assert tensors(alone)[0][0].equal(tensors(one)[0][1])


def test_speed_moves_sound_and_timestamps_together(tokenizer: Tokenizer) -> None:
    corpus, windows = packed([Spoken(seconds=10.0, label=(0, [1], 500))])
    options = AugmentOptions(speed_probability=1.0, speed=(1.25, 1.25))
    recipe = make_recipe(pack=PackOptions(timestamp_probability=1.0), augment=options)
    batch = make_window_batch([0], windows, corpus, tokenizer, recipe, 0, 80)
    assert batch.mel is not None
    assert V3.seconds(int(batch.inputs[0, -1])) == pytest.approx(8.0)
    heard = (batch.mel[0] != 0.0).any(dim=0)
    assert int(heard.nonzero().max()) == 799
    assert batch.seconds == pytest.approx(8.0)


def test_parts_that_reach_over_the_edges_are_cut_off() -> None:
    corpus, windows = packed([Spoken(seconds=2.0), Spoken(seconds=2.0)])
    moved = replace(
        windows[0],
        seconds=1.5,
        parts=tuple(replace(part, start=part.start - 1.0) for part in windows[0].parts),
    )
    expected = corpus.samples[16_000:40_000].astype(np.float32) / 32768
    np.testing.assert_array_equal(render(moved, corpus), expected)


def test_more_sound_than_frames_is_cut_off() -> None:
    samples = (babble(3.0)[:, 0] / 32768).astype(np.float32)
    assert padded_log_mel(samples, 80, 200).shape == (80, 200)
    np.testing.assert_array_equal(padded_log_mel(samples, 80, 200), padded_log_mel(samples, 80, 400)[:, :200])


def test_short_contexts_are_drawn_per_batch_and_hold_all_sound(tokenizer: Tokenizer) -> None:
    spoken = [Spoken(seconds=2.0, label=(0, [number], 95)) for number in range(60)]
    corpus, windows = packed(spoken)
    stamped = PackOptions(timestamp_probability=1.0, prompt_probability=0.0)
    recipe = make_recipe(pack=stamped, distil=DistilOptions(elastic_seconds=(5.0, 10.0, 30.0)))
    lengths = []
    for epoch in range(30):
        batch = make_window_batch([0, 1, 2], windows, corpus, tokenizer, recipe, epoch, 80)
        assert batch.mel is not None
        frames = batch.mel.shape[2]
        lengths.append(frames)
        assert batch.seconds <= 3 * frames / 100 + 1e-6
        spoken_seconds = [
            V3.seconds(token) for row in batch.inputs.tolist() for token in row if V3.is_timestamp(token)
        ]
        assert 0.0 < max(spoken_seconds) <= frames / 100
        assert all(name.endswith(f"-{epoch}") for name in batch.variants)
    assert set(lengths) == {500, 1000, 3000}


def test_a_context_grows_until_every_window_has_a_sentence_in_it(tokenizer: Tokenizer) -> None:
    corpus, windows = packed([Spoken(seconds=29.0, label=(0, [1], 700, 700, [2], 1440))])
    recipe = make_recipe(distil=DistilOptions(elastic_seconds=(5.0, 10.0)))
    frames = {
        make_window_batch([0], windows, corpus, tokenizer, recipe, epoch, 80).mel.shape[2]  # type: ignore[union-attr]
        for epoch in range(10)
    }
    assert frames == {3000}
    recipe = make_recipe(distil=DistilOptions(elastic_seconds=(5.0, 15.0)))
    batch = make_window_batch([0], windows, corpus, tokenizer, recipe, 0, 80)
    assert batch.mel is not None
    assert batch.mel.shape[2] == 1500


def test_the_order_of_an_epoch_is_a_permutation_of_its_own() -> None:
    orders = [epoch_order(100, seed, epoch).tolist() for seed, epoch in ((1, 0), (1, 1), (2, 0), (1, 0))]
    assert all(sorted(order) == list(range(100)) for order in orders)
    assert orders[0] == orders[3]
    assert orders[0] != orders[1] != orders[2] != orders[0]


def test_weights_say_how_often_a_window_is_drawn() -> None:
    counts = np.zeros(4, int)
    for epoch in range(400):
        counts += np.bincount(epoch_order(4, 1, epoch, (1.0, 2.0, 0.25, 0.0)), minlength=4)
    assert counts[[0, 1, 3]].tolist() == [400, 800, 0]
    assert counts[2] == pytest.approx(100, abs=4 * np.sqrt(400 * 0.25 * 0.75))
