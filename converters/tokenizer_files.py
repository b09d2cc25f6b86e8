"""Rebuilds Whisper's tokenizer, offline, from the ranks that the openai-whisper package carries.

It knows byte-pair ranks, special tokens and the files of a tokenizer; it does not know models or labels.
"""

from __future__ import annotations

import base64
import importlib.util
import json
from collections.abc import Mapping
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from distilcli.errors import EnvironmentProblem, ModelError
from distilcli.model_folder import TOKEN_NAMES, read_json, write_json
from distilcli.tokens import N_TIMESTAMPS, Tokenizer, Vocab

if TYPE_CHECKING:
    from transformers import WhisperTokenizer


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
def rank_bytes(size: int) -> tuple[bytes, ...]:
    """Returns the bytes of every plain token in the order of the ids, for a vocabulary of `size` tokens.

    Raises:
        EnvironmentProblem: the openai-whisper package is not installed.
    """
    name = "multilingual" if Vocab(size).multilingual else "gpt2"
    ranks = {}
    for line in (_assets() / f"{name}.tiktoken").read_bytes().splitlines():
        token, rank = line.split()
        ranks[int(rank)] = base64.b64decode(token) if token != b"=" else b""
    return tuple(ranks[rank] for rank in range(len(ranks)))


def token_bytes(folder: Path) -> list[bytes]:
    """Returns the bytes of every plain token, in the order of the ids, of a folder's ``tokenizer.json``.

    Plain tokens are those before end-of-text: 50256 in English-only vocabularies, else 50257.

    Raises:
        ModelError: the file is not a byte-level vocabulary, or leaves an id out.
    """
    path = folder / "tokenizer.json"
    count = Tokenizer.from_folder(folder).vocab.eot
    table = read_json(path)["model"]["vocab"]
    bytes_of = {letter: byte for byte, letter in byte_letters().items()}
    tokens: list[bytes | None] = [None] * count
    try:
        for text, number in table.items():
            if 0 <= number < count:
                tokens[number] = bytes(bytes_of[letter] for letter in text)
    except (AttributeError, KeyError, TypeError) as error:
        raise ModelError(f"{path}: expected a byte-level vocabulary, found {error}") from error
    found = [token for token in tokens if token is not None]
    if len(found) != count:
        raise ModelError(f"{path}: expected {count} plain tokens, found {len(found)}")
    return found


@cache
def transformers_tokenizer(size: int) -> WhisperTokenizer:
    """Returns the library's tokenizer for a vocabulary of `size` tokens (51864, 51865 or 51866)."""
    from transformers import WhisperTokenizer

    vocab = Vocab(size)
    ranks = {token: rank for rank, token in enumerate(rank_bytes(size))}
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


def write_tokenizer(folder: Path, size: int) -> None:
    """Writes every tokenizer file that any version of Transformers reads, and `normalizer.json`.

    Raises:
        EnvironmentProblem: the openai-whisper package is not installed.
    """
    tokenizer = transformers_tokenizer(size)
    tokenizer.save_pretrained(folder)
    tokenizer.save_vocabulary(str(folder))
    path = folder / "tokenizer_config.json"
    write_json(path, readable_by_all(read_json(path)))
    write_json(folder / "normalizer.json", normaliser_table())


def readable_by_all(tokenizer_config: Mapping[str, object]) -> dict[str, object]:
    """Returns the content of `tokenizer_config.json` as Transformers 4 and 5 both read it.

    Version 5 writes a list that version 4 takes for a table, and leaves out what to pad batches with.
    """
    old, new = "extra_special_tokens", "additional_special_tokens"
    listed = isinstance(tokenizer_config.get(old), list)
    renamed = {new if key == old and listed else key: value for key, value in tokenizer_config.items()}
    return {**TOKEN_NAMES, **renamed}
