"""Token times from a network of Transformers: its attention to the sound while it is made to write a text.

Knows no windows. The attention is computed here, from the queries and keys that pass by, for the alignment
heads alone: it needs no other attention implementation than the one in use, and no memory for other heads.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

import torch

from distilcli.alignment import smoothed, token_times, warp
from distilcli.backends.forced import Forced
from distilcli.backends.hf_network import Network
from distilcli.model_folder import Heads
from distilcli.tokens import Vocab
from distilcli.types import Word

Seen = dict[tuple[int, str], torch.Tensor]
"""(Decoder layer, name of a projection) -> its latest output, (1, tokens or positions, d_model)."""


def aligned(
    network: Network, encoded: torch.Tensor, text: Forced, heads: Heads, vocab: Vocab
) -> tuple[Word, ...]:
    """When each token of a text was spoken; `encoded` is (1500 or fewer, d_model), on the network's device.

    The arithmetic is that of openai/whisper's `find_alignment`, and of CTranslate2.
    """
    if not text.text:
        return ()
    positions = min(text.frames // 2, len(encoded))
    rows = slice(len(text.prefix), -1)  # what writes the text, and then its end
    with _watched(network, {layer for layer, _ in heads}) as seen:
        hidden = network.read(encoded[None], [*text.prefix, vocab.no_timestamps, *text.text, vocab.eot])
    logits = network.model.proj_out(hidden[0, rows][:-1]).float()  # (text, vocabulary)
    chosen = torch.tensor(text.text, device=logits.device)
    probabilities = logits[:, : vocab.eot].softmax(dim=-1).gather(1, chosen[:, None])[:, 0]
    attention = (_scores(network, seen, head)[:, :positions].softmax(dim=-1).cpu().numpy() for head in heads)
    path = warp(-smoothed(attention)[rows])
    return token_times(text.whole, path, probabilities.tolist())


def _scores(network: Network, seen: Seen, head: tuple[int, int]) -> torch.Tensor:
    """Attention of one head before the softmax: (tokens, positions of the encoder), float32."""
    layer, index = head
    attention = network.cross_attention(layer)
    part = slice(index * attention.head_dim, (index + 1) * attention.head_dim)
    queries, keys = (seen[layer, name][0, :, part].float() for name in ("q_proj", "k_proj"))
    scores: torch.Tensor = queries * attention.scaling @ keys.T
    return scores


@contextmanager
def _watched(network: Network, layers: Iterable[int]) -> Iterator[Seen]:
    """Keep what passes by the attention to the sound in these decoder layers."""
    seen: Seen = {}
    with ExitStack() as hooks:
        for layer in layers:
            for name in ("q_proj", "k_proj"):
                projection = getattr(network.cross_attention(layer), name)
                hooks.callback(projection.register_forward_hook(partial(_keep, seen, (layer, name))).remove)
        yield seen


def _keep(seen: Seen, key: tuple[int, str], _module: object, _inputs: object, output: torch.Tensor) -> None:
    seen[key] = output
