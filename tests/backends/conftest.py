"""Windows on the toy clips, and the backends that decode them, loaded once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from distilcli.backends.base import Backend, load_backend
from distilcli.backends.scripted import Scripted
from distilcli.config import EngineOptions
from distilcli.tokens import Tokenizer
from distilcli.types import Audio, Hypothesis, Span, Window
from tests.support.toy import CLIP_SECONDS, LANGUAGE, toy_clip, toy_ct2_folder, toy_folder, toy_tokens

FOLDERS: dict[str, Callable[[str], Path]] = {"ctranslate2": toy_ct2_folder, "transformers": toy_folder}


@pytest.fixture
def clips() -> dict[str, Window]:
    """A window on the whole of each clip, in its language; new recordings in every test."""
    return {
        name: Window(Audio(name, toy_clip(name)), Span(0.0, seconds), language=LANGUAGE.get(name, "en"))
        for name, seconds in CLIP_SECONDS.items()
    }


@pytest.fixture(scope="session")
def loaded() -> Iterator[Callable[..., Backend]]:
    """A function (backend, kind, compute type) -> the toy model, loaded once in the session."""
    opened: list[Backend] = []

    @cache
    def load(name: str, kind: str, compute_type: str = "float32") -> Backend:
        engine = EngineOptions(backend=name, device="cpu", compute_type=compute_type, threads=1)
        opened.append(load_backend(FOLDERS[name](kind), engine))
        return opened[-1]

    yield load
    for backend in opened:
        backend.close()


def scripted_toy() -> Scripted:
    """A scripted backend that says about the toy clips what the toy models say."""
    tokenizer = Tokenizer.from_folder(toy_folder("multi"))
    begin = tokenizer.vocab.timestamp_begin

    def answer(window: Window) -> Hypothesis:
        silent = window.audio.name == "silence"
        tokens = (begin,) if silent else toy_tokens(tokenizer, window.audio.name)
        return Hypothesis(tokens, -0.01, 0.99 if silent else 0.01, language=window.language)

    return Scripted(answer, tokenizer, languages={"en": 0.75, "de": 0.25})
