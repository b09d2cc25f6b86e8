"""The toys' clips as the recordings that exports are checked with, and the tokens that the toys answer."""

from __future__ import annotations

from pathlib import Path

from distilcli.converters.runners import ProbeRequest
from distilcli.converters.runners.sound import write_wav
from distilcli.tokens import Tokenizer
from tests.support.toy import KINDS, LANGUAGE, toy_clip, toy_folder, toy_tokens


def toy_wav(folder: Path, name: str = "rise") -> Path:
    """The clip as a wav file in `folder`."""
    path = folder / f"{name}.wav"
    write_wav(path, toy_clip(name))
    return path


def toy_probe(kind: str, clip: str, folder: Path) -> tuple[ProbeRequest, list[int]]:
    """A request for a clip, written into `folder`, and the answer that the toy `kind` gives."""
    tokenizer = Tokenizer.from_folder(toy_folder(kind))
    vocab = tokenizer.vocab
    prompt = tuple(vocab.prefix(LANGUAGE[clip] if vocab.multilingual else None, timestamps=False))
    answer = [*toy_tokens(tokenizer, clip, timestamps=False), vocab.eot]
    return ProbeRequest(toy_wav(folder, clip), prompt, 64, vocab.eot, KINDS[kind].n_mels), answer
