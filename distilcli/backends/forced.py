"""What is aligned: a window whose text is known, the same for every backend. Knows no model."""

from __future__ import annotations

from dataclasses import dataclass

from distilcli.backends.prompts import MAX_TARGET
from distilcli.tokens import Vocab
from distilcli.types import FRAMES_PER_SECOND, Hypothesis, Window


@dataclass(frozen=True, slots=True)
class Forced:
    """The decoder is forced to write `text` (ids without timestamps) after `prefix`.

    Only the first `frames` log-mel frames of the window hold sound. `whole` is the hypothesis' whole text;
    what the decoder has no positions for is not in `text`.
    """

    prefix: tuple[int, ...]
    text: tuple[int, ...]
    frames: int
    whole: tuple[int, ...]


def forced(window: Window, hypothesis: Hypothesis, vocab: Vocab, task: str) -> Forced:
    """The text of a hypothesis, as openai/whisper's `find_alignment` gives it to the decoder.

    Raises:
        UsageError: the model has no such language.
    """
    prefix = vocab.prefix(window.language, task)
    whole = tuple(vocab.text_tokens(hypothesis.tokens))
    room = MAX_TARGET - len(prefix) - 2  # no-timestamps before the text, end-of-text after it
    sound = min(window.span.end, window.audio.duration) - window.span.start
    # Half a sample's worth of rounding must not cost a frame.
    frames = max(2, int(sound * FRAMES_PER_SECOND + 1e-3))
    return Forced(tuple(prefix), whole[:room], frames, whole)
