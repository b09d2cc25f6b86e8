"""A backend that answers from a list: tests of strategies and of the command line need no model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from distilcli.backends.base import Capabilities
from distilcli.config import DecodeOptions
from distilcli.tokens import Tokenizer
from distilcli.types import Hypothesis, Window


class Scripted:
    """Gives the next answer of a list, or what a function says, for each window that it is asked for.

    `windows` and `options` record the questions: all windows in order, and the options of each call.
    `languages` is the answer to every language detection.
    """

    def __init__(
        self,
        answers: Sequence[Hypothesis] | Callable[[Window], Hypothesis],
        tokenizer: Tokenizer,
        *,
        languages: Mapping[str, float] | None = None,
        batch_size: int = 1,
    ) -> None:
        self.tokenizer = tokenizer
        self.capabilities = Capabilities(
            backend="scripted", device="cpu", compute_type="float32", n_mels=80, batch_size=batch_size
        )
        self.windows: list[Window] = []
        self.options: list[DecodeOptions] = []
        self.closed = False
        self._languages = dict(languages or {"en": 1.0})
        self._answer = answers if callable(answers) else _one_after_the_other(answers)

    def decode(self, windows: Sequence[Window], options: DecodeOptions) -> list[Hypothesis]:
        """The answers to these windows; see `Backend.decode`."""
        self.options.append(options)
        self.windows += windows
        return [self._answer(window) for window in windows]

    def detect_language(self, windows: Sequence[Window]) -> list[dict[str, float]]:
        """The same probabilities for every window; see `Backend.detect_language`."""
        return [dict(self._languages) if self.tokenizer.vocab.multilingual else {} for _ in windows]

    def close(self) -> None:
        """Remember that it was called."""
        self.closed = True


def _one_after_the_other(answers: Sequence[Hypothesis]) -> Callable[[Window], Hypothesis]:
    left: Iterator[Hypothesis] = iter(answers)

    def answer(window: Window) -> Hypothesis:
        found = next(left, None)
        assert found is not None, f"{len(answers)} answers are too few: {window.span} needs one more"
        return found

    return answer
