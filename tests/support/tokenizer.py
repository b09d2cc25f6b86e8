"""Whisper's tokenizer rebuilt without a download from the rank files in the openai-whisper wheel.

Those files list tokens but no merges. Byte-pair encoding of a token with only the lower ranks always ends in
exactly two parts: they are its merge.
"""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers, processors
from tokenizers.models import BPE

from distilcli import tokens
from distilcli.languages import LANGUAGES

CACHE = Path(__file__).parents[2] / ".cache" / "tests"
RANKS = {51864: "gpt2", 51865: "multilingual", 51866: "multilingual"}
END = "<|endoftext|>"


def whisper_tokenizer_json(size: int) -> Path:
    """``tokenizer.json`` of the vocabulary with `size` tokens (51864, 51865 or 51866), built once."""
    path = CACHE / f"tokenizer-{size}.json"
    if not path.is_file():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
            fresh = Path(scratch) / path.name
            _build(size).save(str(fresh))
            os.replace(fresh, path)
    return path


def write_tokenizer(folder: Path, size: int) -> None:
    """Put the tokenizer files that Transformers reads into `folder`."""
    shutil.copyfile(whisper_tokenizer_json(size), folder / "tokenizer.json")
    names = dict.fromkeys(("bos_token", "eos_token", "pad_token", "unk_token"), END)
    config = {
        "tokenizer_class": "WhisperTokenizer",
        "extra_special_tokens": specials(size)[1:],
        "model_max_length": 1024,
        "add_prefix_space": False,
        **names,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")


@cache
def tokenizer_of(size: int) -> tokens.Tokenizer:
    """Whisper's tokenizer with `size` tokens."""
    folder = whisper_tokenizer_json(size).with_suffix("")
    folder.mkdir(exist_ok=True)
    write_tokenizer(folder, size)
    return tokens.Tokenizer.from_folder(folder)


def specials(size: int) -> list[str]:
    """The special tokens in the order of their ids, without the timestamps."""
    languages = list(LANGUAGES)[: size - 51765 - (size >= 51865)]
    tasks = ("translate", "transcribe", "startoflm", "startofprev", "nospeech", "notimestamps")
    return [END, "<|startoftranscript|>", *(f"<|{name}|>" for name in (*languages, *tasks))]


def _build(size: int) -> Tokenizer:
    ranks = _ranks(RANKS[size])
    letters = _byte_letters()
    write = {token: "".join(letters[byte] for byte in token) for token in ranks}
    vocab = {write[token]: rank for token, rank in ranks.items()}
    merges = [
        (write[left], write[right])
        for left, right in (_merge(token, ranks) for token in ranks if len(token) > 1)
    ]
    tokenizer = Tokenizer(BPE(vocab={**vocab, END: len(vocab)}, merges=merges, fuse_unk=False))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(
        [AddedToken(name, normalized=False, special=True) for name in specials(size)]
    )
    tokenizer.add_tokens(
        [AddedToken(f"<|{i * 0.02:.2f}|>", normalized=False, special=False) for i in range(1501)]
    )
    tokenizer.post_processor = _prefix(tokenizer, size)
    return tokenizer


def _ranks(name: str) -> dict[bytes, int]:
    spec = importlib.util.find_spec("whisper")
    assert spec is not None
    assert spec.origin is not None
    lines = (Path(spec.origin).parent / "assets" / f"{name}.tiktoken").read_text(encoding="ascii")
    pairs = (line.split() for line in lines.splitlines())
    # The empty token is written as a lone "=", which only a forgiving decoder accepts.
    return {b"" if token == "=" else base64.b64decode(token): int(rank) for token, rank in pairs}


def _merge(token: bytes, ranks: dict[bytes, int]) -> tuple[bytes, bytes]:
    parts = [token[i : i + 1] for i in range(len(token))]
    while len(parts) > 2:
        best = min(
            (ranks.get(parts[i] + parts[i + 1], len(ranks)), i)
            for i in range(len(parts) - 1)
            if parts[i] + parts[i + 1] != token
        )[1]
        parts[best : best + 2] = [parts[best] + parts[best + 1]]
    return parts[0], parts[1]


def _byte_letters() -> list[str]:
    """The printable letter that stands for each byte (openai/gpt-2 `bytes_to_unicode`)."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    spare = iter(range(256, 512))
    return [chr(byte if byte in printable else next(spare)) for byte in range(256)]


def _prefix(tokenizer: Tokenizer, size: int) -> processors.TemplateProcessing:
    names = ["<|startoftranscript|>", "<|notimestamps|>"]
    if size >= 51865:
        names[1:1] = ["<|en|>", "<|transcribe|>"]
    return processors.TemplateProcessing(
        single=[*names, "$A", END],
        pair=[*names, "$A", "$B:1", f"{END}:1"],
        special_tokens=[(name, tokenizer.token_to_id(name)) for name in [*names, END]],
    )
