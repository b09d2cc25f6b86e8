"""Words on the lines of subtitles: where lines and subtitles break, and which word is underlined.

Knows no file format. Source: openai/whisper `whisper/utils.py`, `SubtitlesWriter.iterate_result`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from distilcli.config import LineOptions
from distilcli.types import Segment, Word

Shown = tuple[float, float, str]
"""From second, to second, text."""

_UNLIMITED = 1000
_LONG_PAUSE = 3.0  # seconds


def shown(segments: Iterable[Segment], options: LineOptions, escape: Callable[[str], str]) -> Iterator[Shown]:
    """What is on the screen and when; `escape` writes the characters that a format has other uses for.

    A segment without words is put on lines as one long word.
    """
    for subtitle in subtitles(segments, options):
        texts = [escape(word.text) for word in subtitle]
        if options.highlight_words:
            yield from _highlighted(subtitle, texts)
        else:
            yield subtitle[0].span.start, subtitle[-1].span.end, "".join(texts)


def subtitles(segments: Iterable[Segment], options: LineOptions) -> Iterator[list[Word]]:
    """The words of each subtitle; the first of a line has no space before it, but a line break.

    Segments stay apart unless both the width and the number of lines are limited.
    """
    apart = options.max_line_count is None or options.max_line_width is None
    width = options.max_line_width or _UNLIMITED
    together = options.max_words_per_line or _UNLIMITED
    subtitle: list[Word] = []
    length, lines = 0, 1
    latest: float | None = None
    for segment in segments:
        for number, word in enumerate(segment.words or (Word(segment.text, segment.span, 0.0),)):
            paused = not apart and latest is not None and word.span.start - latest > _LONG_PAUSE
            breaks = apart and bool(subtitle) and number % together == 0
            latest = word.span.start
            if 0 < length <= width - len(word.text) and not paused and not breaks:
                length += len(word.text)
                subtitle.append(word)
                continue
            text = word.text.strip()
            full = options.max_line_count is not None and (paused or lines >= options.max_line_count)
            if subtitle and (full or breaks):
                yield subtitle
                subtitle, lines = [], 1
            elif length > 0:
                lines += 1
                text = "\n" + text
            length = len(text.strip())
            subtitle.append(replace(word, text=text))
    if subtitle:
        yield subtitle


def _highlighted(subtitle: Sequence[Word], texts: Sequence[str]) -> Iterator[Shown]:
    """The subtitle once for each word, which is underlined, and as it is for the pauses between them."""
    resume = subtitle[0].span.start
    for index, word in enumerate(subtitle):
        if f"{resume:.3f}" != f"{word.span.start:.3f}":
            yield resume, word.span.start, "".join(texts)
        underlined = re.sub(r"^(\s*)(.*)$", r"\1<u>\2</u>", texts[index])
        yield word.span.start, word.span.end, "".join((*texts[:index], underlined, *texts[index + 1 :]))
        resume = word.span.end
