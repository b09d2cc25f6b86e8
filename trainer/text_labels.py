"""Labels made of the sources' own text, for training without a teacher and for validation.

It knows texts and token ids; it does not know sound, nor any teacher.
"""

from __future__ import annotations

from distilcli.errors import UsageError
from distilcli.text import compression_ratio
from distilcli.tokens import Tokenizer
from distilcli.trainer.records import Corpus, Labelled, Recording

LONGEST = 444
"""Tokens of an answer that fits into the decoder behind start, language, task and no-timestamps."""


def text_labels(corpus: Corpus, tokenizer: Tokenizer, task: str) -> dict[str, Labelled]:
    """Returns a label for every recording that has text, by `Recording.key`; certain, and never silent.

    The text stands between timestamps of the recording's start and end; its first token carries the leading
    space that Whisper always writes. A label of more than `LONGEST` ids is whole, and marked as truncated, so
    that the filter drops it.

    Raises:
        UsageError: a recording's language is not given, or the vocabulary has no token for it.
    """
    return {
        recording.key: _label(recording, recording.text, tokenizer, task)
        for recording in corpus.recordings
        if recording.text is not None
    }


def _label(recording: Recording, text: str, tokenizer: Tokenizer, task: str) -> Labelled:
    if not recording.language:
        raise UsageError(
            f"{recording.key}: a label made of text needs a language", hint="--set data.language=en"
        )
    vocab = tokenizer.vocab
    if vocab.multilingual:
        vocab.language(recording.language)
    tokens: list[int] = []
    if text:
        tokens = [vocab.timestamp(0.0), *tokenizer.encode(f" {text}"), vocab.timestamp(recording.seconds)]
    return Labelled(
        key=recording.key,
        tokens=tuple(tokens),
        language=recording.language,
        task=task,
        avg_logprob=0.0,
        no_speech_prob=0.0,
        compression_ratio=compression_ratio(text),
        truncated=len(tokens) > LONGEST,
        text=text,
    )
