"""Whisper's tokens: special ids, prompt prefixes, timestamps, and text to ids and back.

Shared by decoding and by the trainer's labels. Never imports numpy or torch.
Source: openai/whisper `whisper/tokenizer.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from distilcli.errors import ModelError, UsageError
from distilcli.languages import LANGUAGES

if TYPE_CHECKING:
    import tokenizers

SECONDS_PER_TIMESTAMP = 0.02
"""Timestamps lie on a grid of 20 ms: one position of the encoder's output."""

N_TIMESTAMPS = 1501
"""0.00 to 30.00 seconds."""

_FIRST_MULTILINGUAL_SIZE = 51865


@dataclass(frozen=True, slots=True)
class Vocab:
    """Ids of Whisper's special tokens, all derived from the vocabulary's size.

    The three sizes in use are 51864 (English-only), 51865 (multilingual) and 51866 (large-v3 and after).
    """

    size: int

    def __post_init__(self) -> None:
        if not _FIRST_MULTILINGUAL_SIZE - 1 <= self.size <= _FIRST_MULTILINGUAL_SIZE + 1:
            raise ModelError(
                f"expected a Whisper vocabulary of 51864, 51865 or 51866 tokens, found {self.size}"
            )

    @property
    def multilingual(self) -> bool:
        """Whether prompts carry a language and a task."""
        return self.size >= _FIRST_MULTILINGUAL_SIZE

    @property
    def languages(self) -> tuple[str, ...]:
        """Codes of the languages with a token, in token order; English-only models still reserve 99 ids."""
        return tuple(LANGUAGES)[: self.size - 51765 - self.multilingual]

    @property
    def eot(self) -> int:
        """End of text; every smaller id is text."""
        return 50256 + self.multilingual

    @property
    def sot(self) -> int:
        """Start of transcript."""
        return self.eot + 1

    @property
    def translate(self) -> int:
        """Task token: into English."""
        return self.sot + 1 + len(self.languages)

    @property
    def transcribe(self) -> int:
        """Task token: in the language spoken."""
        return self.translate + 1

    @property
    def sot_lm(self) -> int:
        """Start of language model; never used by released models."""
        return self.translate + 2

    @property
    def sot_prev(self) -> int:
        """Start of previous text."""
        return self.translate + 3

    @property
    def no_speech(self) -> int:
        """No speech; its probability after the start of transcript detects silence."""
        return self.translate + 4

    @property
    def no_timestamps(self) -> int:
        """Ends a prompt that asks for text without timestamps."""
        return self.translate + 5

    @property
    def timestamp_begin(self) -> int:
        """The id of 0.00 s; every id from here on is a timestamp."""
        return self.translate + 6

    def language(self, code: str) -> int:
        """Id of a language token.

        Raises:
            UsageError: the vocabulary has no such language.
        """
        if not self.multilingual or code not in self.languages:
            raise UsageError(f"this model has no language '{code}'")
        return self.sot + 1 + self.languages.index(code)

    def timestamp(self, seconds: float) -> int:
        """Id of the timestamp nearest to `seconds` (0 to 30) in the window."""
        return self.timestamp_begin + min(round(seconds / SECONDS_PER_TIMESTAMP), N_TIMESTAMPS - 1)

    def seconds(self, token: int) -> float:
        """Seconds in the window of a timestamp id."""
        return (token - self.timestamp_begin) * SECONDS_PER_TIMESTAMP

    def is_timestamp(self, token: int) -> bool:
        """Whether the id is a timestamp."""
        return token >= self.timestamp_begin

    def text_tokens(self, tokens: Iterable[int]) -> list[int]:
        """The ids without timestamps and other special tokens."""
        return [token for token in tokens if token < self.eot]

    def prefix(self, language: str | None, task: str = "transcribe", *, timestamps: bool = True) -> list[int]:
        """Start of transcript, then language and task (multilingual), then no-timestamps when asked for."""
        ids = [self.sot]
        if self.multilingual:
            ids += [self.language(language or "en"), getattr(self, task)]
        return ids if timestamps else [*ids, self.no_timestamps]

    def prompt(self, previous: Sequence[int], prefix: Sequence[int], max_target: int = 448) -> list[int]:
        """Ids the decoder starts from: the newest of `previous` (at most half the context), then `prefix`."""
        if not previous:
            return list(prefix)
        return [self.sot_prev, *previous[-(max_target // 2 - 1) :], *prefix]


# Symbols that stand for sounds, speakers or markup rather than speech (openai/whisper `non_speech_tokens`).
_SYMBOLS = [
    *'"#()*+/:;<=>@[\\]^_`{|}~「」『』',
    *("<<", ">>", "<<<", ">>>", "--", "---", "-(", "-[", "('", '("', "((", "))", "(((", ")))", "[[", "]]"),
    *("{{", "}}", "♪♪", "♪♪♪"),
]
_NOTES = "♩♪♫♬♭♮♯"


class Tokenizer:
    """Text to ids and back for one model, with its `Vocab`; wraps a `tokenizers.Tokenizer`."""

    def __init__(self, tokenizer: tokenizers.Tokenizer) -> None:
        self._tokenizer = tokenizer
        last = tokenizer.token_to_id("<|notimestamps|>")
        if last is None:
            raise ModelError("expected Whisper's tokenizer, found one without <|notimestamps|>")
        # Counted, not looked up: tokenizers of early checkpoints leave the timestamps out.
        self.vocab = Vocab(last + 1 + N_TIMESTAMPS)

    @classmethod
    def from_folder(cls, folder: Path) -> Tokenizer:
        """Read ``tokenizer.json`` of a model folder.

        Raises:
            ModelError: the file is missing, damaged or not Whisper's.
        """
        import tokenizers

        path = folder / "tokenizer.json"
        if not path.is_file():
            raise ModelError(f"the model folder {folder} has no tokenizer.json")
        try:
            tokenizer = tokenizers.Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises plain Exception for every kind of damage
            raise ModelError(f"{path} is not a readable tokenizer: {error}") from error
        try:
            found = cls(tokenizer)
        except ModelError as error:
            raise ModelError(f"{path} does not fit: {error.message}") from error
        for name, token in (
            ("<|startoftranscript|>", found.vocab.sot),
            ("<|0.00|>", found.vocab.timestamp_begin),
        ):
            if tokenizer.token_to_id(name) not in (token, None):
                raise ModelError(f"{path} is not a Whisper tokenizer: expected {name} at id {token}")
        return found

    def encode(self, text: str) -> list[int]:
        """Ids of plain text, without special tokens."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def decode(self, tokens: Iterable[int]) -> str:
        """Text of the ids; timestamps and other special tokens are left out."""
        return str(self._tokenizer.decode(self.vocab.text_tokens(tokens)))

    def pieces(self, tokens: Sequence[int]) -> list[tuple[str, tuple[int, ...]]]:
        """The shortest runs of text tokens that end with a whole character, each with its text.

        Joined, they are the tokens and their text again: bytes that are no character at all stay with the
        piece after them. Source: openai/whisper `split_tokens_on_unicode`.
        """
        text = self.decode(tokens)
        found: list[tuple[str, tuple[int, ...]]] = []
        first, done = 0, 0  # token that the open run begins with, and length of the text before it
        for end in range(1, len(tokens) + 1):
            run = self.decode(tokens[first:end])
            if text.startswith(run, done) and (end == len(tokens) or not run.endswith("\ufffd")):
                found.append((run, tuple(tokens[first:end])))
                first, done = end, done + len(run)
        return found

    @cached_property
    def non_speech(self) -> tuple[int, ...]:
        """Ids of symbols that are not spoken (notes, brackets, speaker tags), suppressed by default."""
        found = {self.encode(" -")[0], self.encode(" '")[0]}
        for symbol in [*_SYMBOLS, *_NOTES]:
            for ids in (self.encode(symbol), self.encode(" " + symbol)):
                if len(ids) == 1 or symbol in _NOTES:
                    found.add(ids[0])
        return tuple(sorted(found))

    def suppressed(self, tokens: Sequence[int]) -> tuple[int, ...]:
        """`tokens` with -1 expanded to `non_speech`, plus the special ids that are never text."""
        vocab = self.vocab
        chosen = {token for token in tokens if token >= 0}
        if -1 in tokens:
            chosen.update(self.non_speech)
        chosen.update(
            (vocab.transcribe, vocab.translate, vocab.sot, vocab.sot_prev, vocab.sot_lm, vocab.no_speech)
        )
        return tuple(sorted(chosen))
