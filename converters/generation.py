"""What generation_config.json says of a Whisper: ids of languages, tasks and suppressed tokens.

Keys of released models (openai/whisper-large-v3). Knows no folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from distilcli.tokens import Tokenizer, Vocab


def language_keys(vocab: Vocab) -> dict[str, Any]:
    """The keys that name languages, tasks and the end of a prompt."""
    keys: dict[str, Any] = {
        "is_multilingual": vocab.multilingual,
        "no_timestamps_token_id": vocab.no_timestamps,
    }
    if vocab.multilingual:
        keys["lang_to_id"] = {f"<|{code}|>": vocab.language(code) for code in vocab.languages}
        keys["task_to_id"] = {"transcribe": vocab.transcribe, "translate": vocab.translate}
    return keys


def generation_keys(tokenizer: Tokenizer, heads: Sequence[Sequence[int]]) -> dict[str, Any]:
    """All keys for a model of this vocabulary.

    Args:
        tokenizer: the model's; which ids are suppressed depends on it.
        heads: (decoder layer, head) of the attention that follows the sound; empty: runtimes choose.
    """
    vocab = tokenizer.vocab
    keys: dict[str, Any] = {
        "begin_suppress_tokens": [*tokenizer.encode(" "), vocab.eot],
        "bos_token_id": vocab.eot,
        "decoder_start_token_id": vocab.sot,
        "eos_token_id": vocab.eot,
        "max_initial_timestamp_index": 50,
        "max_length": 448,
        "pad_token_id": vocab.eot,
        "prev_sot_token_id": vocab.sot_prev,
        "return_timestamps": False,
        "suppress_tokens": list(tokenizer.suppressed((-1,))),
    }
    if heads:
        keys["alignment_heads"] = [list(pair) for pair in heads]
    return {**keys, **language_keys(vocab)}
