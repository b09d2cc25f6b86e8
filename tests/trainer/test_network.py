"""The network on short windows against the library's own forward pass, and the watched attention."""

from __future__ import annotations

import pytest
import torch

from distilcli.trainer.config import ModelOptions
from distilcli.trainer.network import Network, watched_attention

OPTIONS = ModelOptions(width=64, heads=2, encoder_layers=1, decoder_layers=2, mels=80)


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(0)
    return Network(OPTIONS, rows=40).eval()


@torch.no_grad()
def test_a_full_window_equals_the_librarys_forward_pass(network: Network) -> None:
    torch.manual_seed(1)
    mel, tokens = torch.randn(1, 80, 3000), torch.randint(40, (1, 5))
    expected = network.whisper(input_features=mel, decoder_input_ids=tokens)
    encoded = network.encode(mel)
    torch.testing.assert_close(encoded, expected.encoder_last_hidden_state)
    logits = network.decode(tokens, encoded) @ network.rows.T
    torch.testing.assert_close(logits, expected.logits)


@torch.no_grad()
def test_short_windows_give_half_as_many_positions_as_frames(network: Network) -> None:
    assert network.encode(torch.randn(2, 80, 120)).shape == (2, 60, 64)


@torch.no_grad()
def test_watched_attention_equals_the_attention_that_the_library_reports(network: Network) -> None:
    torch.manual_seed(1)
    encoded, tokens = torch.randn(1, 30, 64), torch.randint(40, (1, 5))
    expected = network.whisper.model.decoder(
        input_ids=tokens, encoder_hidden_states=encoded, output_attentions=True, use_cache=False
    ).cross_attentions
    with watched_attention(network) as found:
        network.decode(tokens, encoded)
    assert len(found) == 2
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs)
    found.clear()
    network.decode(tokens, encoded)
    assert not found  # the hooks are gone


def test_timestamps_start_at_the_encoders_positions() -> None:
    torch.manual_seed(0)
    plain, placed = Network(OPTIONS, rows=1600), Network(OPTIONS, rows=1600)
    placed.load_state_dict(plain.state_dict())
    placed.place_timestamps(90)
    added = placed.rows - plain.rows
    positions = plain.whisper.model.encoder.embed_positions.weight
    torch.testing.assert_close(added[90 + 700], positions[700] / 8.0)  # the width is 64
    torch.testing.assert_close(added[90 + 1500], positions[1499] / 8.0)
    assert not added[:90].any()
    assert not added[1591:].any()
