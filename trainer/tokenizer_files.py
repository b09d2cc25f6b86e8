"""Rebuilds Whisper's tokenizer, offline, from the ranks that the openai-whisper package carries.

It knows byte-pair ranks and special tokens; it does not know models or labels.
"""

from __future__ import annotations

import base64
import importlib.util
import json
from functools import cache
from itertools import pairwise
from pathlib import Path

from transformers import WhisperTokenizer

from distilcli.errors import EnvironmentProblem
from distilcli.tokens import N_TIMESTAMPS, Tokenizer, Vocab


def _assets() -> Path:
    """Folder of rank files in the openai-whisper package, found without importing it.

    Raises:
        EnvironmentProblem: the package is not installed.
    """
    found = importlib.util.find_spec("whisper")
    if found is None or found.origin is None:
        raise EnvironmentProblem(
            "making a tokenizer needs the openai-whisper package", hint="pip install openai-whisper"
        )
    return Path(found.origin).parent / "assets"


def byte_letters() -> dict[int, str]:
    """Returns GPT-2's printable letter for every byte (openai/gpt-2 `encoder.py`, `bytes_to_unicode`)."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + i) for i, byte in enumerate(others)}


def _merge_of(token: bytes, ranks: dict[bytes, int]) -> tuple[bytes, bytes]:
    """Returns the two parts that were merged into `token`: BPE of it with lower ranks only."""
    parts = [bytes([byte]) for byte in token]
    limit = ranks[token]
    while len(parts) > 2:
        pairs = [(ranks.get(a + b, limit), i) for i, (a, b) in enumerate(pairwise(parts))]
        _, index = min(pairs)
        parts[index : index + 2] = [parts[index] + parts[index + 1]]
    return parts[0], parts[1]


@cache
def transformers_tokenizer(size: int) -> WhisperTokenizer:
    """Returns the library's tokenizer for a vocabulary of `size` tokens (51864, 51865 or 51866)."""
    vocab = Vocab(size)
    name = "multilingual" if vocab.multilingual else "gpt2"
    ranks = {}
    for line in (_assets() / f"{name}.tiktoken").read_bytes().splitlines():
        token, rank = line.split()
        ranks[base64.b64decode(token) if token != b"=" else b""] = int(rank)
    letters = byte_letters()

    def spell(token: bytes) -> str:
        return "".join(letters[byte] for byte in token)

    table = {spell(token): rank for token, rank in ranks.items()}
    longer = [token for token in sorted(ranks, key=ranks.__getitem__) if len(token) > 1]
    merges = [tuple(map(spell, _merge_of(token, ranks))) for token in longer]
    table["<|endoftext|>"] = vocab.eot
    special = ["startoftranscript", *vocab.languages, "translate", "transcribe"]
    special += ["startoflm", "startofprev", "nospeech", "notimestamps"]
    tokenizer = WhisperTokenizer(
        vocab=table, merges=merges, extra_special_tokens=[f"<|{name}|>" for name in special], language=None
    )
    return _with_timestamps(tokenizer)


def _with_timestamps(tokenizer: WhisperTokenizer) -> WhisperTokenizer:
    """Adds the 1501 timestamps as ordinary added tokens, as released models have them."""
    from tokenizers import AddedToken

    tokenizer.add_tokens(
        [AddedToken(f"<|{i * 0.02:.2f}|>", normalized=False, special=False) for i in range(N_TIMESTAMPS)]
    )
    return tokenizer


@cache
def whisper_tokenizer(size: int) -> Tokenizer:
    """Returns our tokenizer over the same table."""
    return Tokenizer(transformers_tokenizer(size).backend_tokenizer)


def normaliser_table() -> dict[str, str]:
    """Returns British spellings and their American forms, the content of `normalizer.json`."""
    found = importlib.util.find_spec("whisper")
    path = _assets().parent / "normalizers" / "english.json" if found else Path()
    table: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    return table
