"""The stand-ins of the suite are what they claim to be."""

from __future__ import annotations

import random

import pytest
import tokenizers

from tests.support.tokenizer import whisper_tokenizer_json


def _random_text(source: random.Random) -> str:
    latin = ["abcdefghij klmnopqrstuvwxyz ABC'", " 0123456789.,!?-\n\t", "äöüßéñçøłž"]
    alphabets = [*latin, "日本語中文かな", "🎵🙂♪♫", "абвгд ея"]
    return "".join(source.choice(source.choice(alphabets)) for _ in range(source.randint(1, 60)))


@pytest.mark.parametrize("size", [51864, 51865, 51866])
def test_rebuilt_tokenizer_equals_openai_whispers(size: int) -> None:
    whisper_tokenizer = pytest.importorskip("whisper.tokenizer")
    peer = whisper_tokenizer.get_tokenizer(size != 51864, num_languages=100 if size == 51866 else 99)
    ours = tokenizers.Tokenizer.from_file(str(whisper_tokenizer_json(size)))
    assert ours.get_vocab_size() == size == peer.encoding.n_vocab

    source = random.Random(size)
    for _ in range(500):
        text = _random_text(source)
        ids = ours.encode(text, add_special_tokens=False).ids
        assert ids == peer.encode(text)
        assert ours.decode(ids) == text

    assert {name: ours.token_to_id(name) for name in peer.special_tokens} == peer.special_tokens
