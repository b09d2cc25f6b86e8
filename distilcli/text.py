"""Measures of text: how far it compresses, how long it takes to say, whether it goes round in circles.

Knows nothing about tokens, audio or models.
"""

from __future__ import annotations

import unicodedata
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_LONGEST_WORD = 30  # letters; what is longer is no word, and its characters are counted one by one
_SYLLABLE = 0.25  # words that one character of such a stretch stands for
_PERIOD = 50  # words of the longest phrase whose repetition is noticed


@dataclass(frozen=True, slots=True)
class Script:
    """Characters from `first` to `last`, each as long to say as so many Latin `letters`.

    Scripts that write no spaces have the share of a word that one character stands for.
    """

    first: str
    last: str
    letters: float
    words: float | None = None


# In one second people say about 15 letters of English, 5 characters of Chinese, 8 of Japanese kana and 7 of
# Korean: the same information takes the same time (Coupé et al. 2019, doi:10.1126/sciadv.aaw2594).
_SCRIPTS = (
    Script("\u0e00", "\u0eff", 1, 0.25),  # Thai, Lao
    Script("\u1000", "\u109f", 1, 0.25),  # Burmese
    Script("\u1780", "\u17ff", 1, 0.25),  # Khmer
    Script("\u3040", "\u30ff", 2, 0.5),  # kana
    Script("\u31f0", "\u31ff", 2, 0.5),  # kana
    Script("\u3400", "\u9fff", 3, 0.5),  # Han
    Script("\uac00", "\ud7a3", 2),  # Hangul
    Script("\uf900", "\ufaff", 3, 0.5),  # Han
    Script("\uff66", "\uff9f", 2, 0.5),  # kana of half width
    Script("\U00020000", "\U0003134f", 3, 0.5),  # Han
)
_LATIN = Script("\x00", "\u0dff", 1)
_DIGIT = 2.0  # letters that a digit stands for, on the low side: "2000" is read as twelve


def compression_ratio(text: str) -> float:
    """UTF-8 bytes of `text` over their zlib-compressed size: high for text that repeats itself.

    openai/whisper's measure (`whisper/utils.py`), with its threshold of 2.4. Transformers' own variant works
    on token ids and has another scale (1.35).
    """
    data = text.encode("utf-8")
    return len(data) / len(zlib.compress(data))


def letters(text: str) -> float:
    """How long `text` takes to say, in letters of English; 0 for what has nothing to say, such as ``...``."""
    found = 0.0
    for character in text:
        category = unicodedata.category(character)
        if category[0] == "L":
            found += _script(character).letters
        elif category[0] == "N":
            found += _DIGIT
    return found


def words(text: str) -> Iterator[tuple[str, float]]:
    """What can be repeated in `text`, without case and punctuation, and the share of a word that each is.

    Words, and in scripts without spaces characters. Text without letters or digits is one word of its own.
    """
    plain = "".join(_plain(character) for character in unicodedata.normalize("NFC", text).casefold())
    for chunk in plain.split() or text.split():
        scripts = [_script(character) for character in chunk]
        if len(chunk) > _LONGEST_WORD or any(script.words for script in scripts):
            yield from ((one, script.words or _SYLLABLE) for one, script in zip(chunk, scripts, strict=True))
        else:
            yield chunk, 1.0


def repeated(units: Sequence[tuple[str, float]], since: int = 0) -> float:
    """Words of the longest stretch that only repeats what stands right before it, for the third time or more.

    `units` are those of `words`; only stretches that reach beyond the first `since` of them count. A phrase
    that is said three times gives twice its length.
    """
    names = [name for name, _ in units]
    worst = 0.0
    for period in range(1, min(_PERIOD, len(names) // 3) + 1):
        run, weight = 0, 0.0
        for index in range(period, len(names)):
            if names[index] == names[index - period]:
                run, weight = run + 1, weight + units[index][1]
                if index >= since and run >= 2 * period:
                    worst = max(worst, weight)
            else:
                run, weight = 0, 0.0
    return worst


def _plain(character: str) -> str:
    """A letter, mark or digit as it is, nothing for an apostrophe, and a space for everything else."""
    if character in "'’":
        return ""
    return character if unicodedata.category(character)[0] in "LMN" else " "


def _script(character: str) -> Script:
    return next((one for one in _SCRIPTS if one.first <= character <= one.last), _LATIN)
