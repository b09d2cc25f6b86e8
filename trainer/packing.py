"""Packs recordings into windows of up to 30 s, and keeps the windows as JSON lines.

It knows lengths, speakers and token counts; it does not know sound, prompts or probabilities. Best fit leaves
1 % of a window empty where next fit, which keeps the order, leaves 16 % (mean utterance of 7 s).
"""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_left, insort
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path

from distilcli.errors import NoInputError, UsageError
from distilcli.tokens import SECONDS_PER_TIMESTAMP, Vocab
from distilcli.trainer.labels import MAX_TARGET
from distilcli.trainer.pieces import OpenPart, answer_length
from distilcli.trainer.recipe import DistilRecipe, PackOptions
from distilcli.trainer.records import Corpus, Labelled, PackedWindow, Part, Recording
from distilcli.types import SAMPLE_RATE
from distilcli.writers.atomic import write_atomically

GRID = round(SAMPLE_RATE * SECONDS_PER_TIMESTAMP)
"""Samples of one timestamp. Parts start on this grid: the teacher's timestamps then move without rounding."""

PREFIX = 4
"""Start, language, task, no timestamps: what stands before every answer."""

_TRIES = 64  # bins of equal room that are tried: those that are full of tokens must not cost time


@dataclass(frozen=True, kw_only=True, slots=True)
class _Item:
    """A recording to pack; `size` in steps of the grid, `tokens` of its longest form."""

    recording: int
    label: Labelled
    seconds: float
    size: int
    tokens: int


@dataclass(frozen=True, kw_only=True, slots=True)
class _Limits:
    """What a window holds, and the gap between its parts; lengths in steps of the grid."""

    size: int
    gap: int
    tokens: int


@dataclass(kw_only=True, slots=True)
class _Bin:
    """A window that is being filled; `room` and `tokens` are what is left."""

    room: int
    tokens: int
    items: list[_Item] = field(default_factory=list)

    @property
    def is_open(self) -> bool:
        """Whether it holds a label without an end, which has to stay the last one."""
        return any(item.label.truncated for item in self.items)

    def takes(self, item: _Item, gap: int) -> bool:
        """Whether there is room for the item, its tokens, and the gap before it."""
        return (
            item.size + gap <= self.room
            and item.tokens <= self.tokens
            and not (item.label.truncated and self.is_open)
        )

    def add(self, item: _Item, gap: int) -> None:
        """Puts an item in."""
        self.room -= item.size + (gap if self.items else 0)
        self.tokens -= item.tokens
        self.items.append(item)


def pack(
    corpus: Corpus,
    labels: Mapping[str, Labelled],
    kept: Sequence[int],
    recipe: DistilRecipe,
    vocab: Vocab,
) -> tuple[PackedWindow, ...]:
    """Returns the windows of the kept recordings, by the method of `recipe.pack`.

    A window holds recordings of one source, language, task and weight and, with `by_speaker`, of one speaker:
    a recording whose speaker is not known stays alone. A recording that is longer than a window, or whose
    label is longer than the limit, gets a window of its own. With next-fit and without packing, every window
    knows the one before it, of the same source and speaker; best-fit keeps no order, so there is none.

    Raises:
        NoInputError: nothing is kept, or a kept recording has no label.
        UsageError: a label does not fit into the decoder.
    """
    if not kept:
        raise NoInputError(
            "no recording is left to train on: the filter dropped all of them",
            hint="loosen [filter] in the recipe; the filter's report says which rule dropped what",
        )
    options = recipe.pack
    steps_per_second = SAMPLE_RATE / GRID
    limits = _Limits(
        size=int(options.window_seconds * steps_per_second),
        gap=round(options.gap * steps_per_second),
        tokens=options.max_tokens - 1,  # the end of the text
    )
    windows: list[PackedWindow] = []
    for (speaker, *_), items in _groups(corpus, labels, kept, options, vocab).items():
        ordered = options.method != "best-fit" and isinstance(speaker, str)
        previous: int | None = None
        for filled in _METHODS[options.method](items, limits):
            window = _window(corpus, filled, limits.gap, previous)
            previous = len(windows) if ordered and not _is_open(window) else None
            windows.append(window)
    return tuple(windows)


def _groups(
    corpus: Corpus,
    labels: Mapping[str, Labelled],
    kept: Sequence[int],
    options: PackOptions,
    vocab: Vocab,
) -> dict[tuple[object, ...], list[_Item]]:
    """Returns recordings that may share a window, in their order, by (speaker, source, language, ...)."""
    missing = [index for index in kept if corpus.recordings[index].key not in labels]
    if missing:
        first = corpus.recordings[missing[0]].key
        raise NoInputError(
            f"{len(missing)} of {len(kept)} kept recordings have no label, the first is {first}",
            hint="label them first: distilcli train --config RECIPE --stage label",
        )
    groups: dict[tuple[object, ...], list[_Item]] = {}
    for index in kept:
        recording = corpus.recordings[index]
        label = labels[recording.key]
        speaker: object = _speaker(recording, index) if options.by_speaker else ""
        together = (speaker, recording.source, label.language, label.task, recording.weight)
        groups.setdefault(together, []).append(_item(index, recording, label, vocab))
    return groups


def _speaker(recording: Recording, index: int) -> object:
    """Returns the speaker's name, or a number that no other recording has."""
    return index if recording.speaker is None else recording.speaker


def _item(index: int, recording: Recording, label: Labelled, vocab: Vocab) -> _Item:
    tokens = answer_length(_part(index, label, 0.0, recording.seconds), vocab)
    if tokens + PREFIX > MAX_TARGET:
        raise UsageError(
            f"the label of {recording.key} has {tokens} tokens; with its prefix of {PREFIX} "
            f"it does not fit into the decoder's {MAX_TARGET} positions",
            hint="label with label.max_tokens = 256, or set filter.drop_truncated = true",
        )
    size = -(-recording.samples // GRID)
    return _Item(recording=index, label=label, seconds=recording.seconds, size=size, tokens=tokens)


def _part(index: int, label: Labelled, start: float, seconds: float) -> Part:
    kind = OpenPart if label.truncated else Part
    return kind(recording=index, start=start, tokens=label.tokens, seconds=seconds)


def _is_open(window: PackedWindow) -> bool:
    return isinstance(window.parts[-1], OpenPart)


def _alone(items: Sequence[_Item], limits: _Limits) -> Iterator[list[_Item]]:
    return ([item] for item in items)


def _next_fit(items: Sequence[_Item], limits: _Limits) -> Iterator[list[_Item]]:
    """Fills one window after the other, in the given order."""
    current = _Bin(room=limits.size, tokens=limits.tokens)
    for item in items:
        if current.items and (current.is_open or not current.takes(item, limits.gap)):
            yield current.items
            current = _Bin(room=limits.size, tokens=limits.tokens)
        current.add(item, limits.gap)
    if current.items:
        yield current.items


def _best_fit(items: Sequence[_Item], limits: _Limits) -> Iterator[list[_Item]]:
    """Puts every recording, longest first, into the window that it fills most; sorts each by the corpus."""
    bins: list[_Bin] = []
    by_room: dict[int, list[int]] = {}
    rooms: list[int] = []  # the keys of `by_room`, sorted
    for item in sorted(items, key=lambda item: (-item.size, item.recording)):
        number = _fullest(item, limits.gap, bins, by_room, rooms)
        if number is None:
            number = len(bins)
            bins.append(_Bin(room=limits.size, tokens=limits.tokens))
        bins[number].add(item, limits.gap)
        room = bins[number].room
        if room > limits.gap and bins[number].tokens > 0:
            if room not in by_room:
                by_room[room] = []
                insort(rooms, room)
            by_room[room].append(number)
    for filled in bins:
        yield sorted(filled.items, key=lambda item: (item.label.truncated, item.recording))


def _fullest(
    item: _Item, gap: int, bins: Sequence[_Bin], by_room: dict[int, list[int]], rooms: list[int]
) -> int | None:
    """Takes the bin with the least room that takes the item out of `by_room`; None: no bin does."""
    for room in rooms[bisect_left(rooms, item.size + gap) :]:
        numbers = by_room[room]
        number = next((n for n in islice(numbers, _TRIES) if bins[n].takes(item, gap)), None)
        if number is None:
            continue
        numbers.remove(number)
        if not numbers:
            del by_room[room]
            rooms.remove(room)
        return number
    return None


_METHODS: dict[str, Callable[[Sequence[_Item], _Limits], Iterator[list[_Item]]]] = {
    "best-fit": _best_fit,
    "next-fit": _next_fit,
    "none": _alone,
}


def _window(corpus: Corpus, items: Sequence[_Item], gap: int, previous: int | None) -> PackedWindow:
    """Places the items one after the other."""
    parts: list[Part] = []
    names: list[object] = []
    step = 0
    for item in items:
        start = step * GRID / SAMPLE_RATE
        parts.append(_part(item.recording, item.label, start, item.seconds))
        names.append((corpus.recordings[item.recording].key, step))
        step += item.size + gap
    return PackedWindow(
        key=hashlib.blake2b(json.dumps(names).encode(), digest_size=8).hexdigest(),
        parts=tuple(parts),
        seconds=parts[-1].start + parts[-1].seconds,
        language=items[0].label.language,
        task=items[0].label.task,
        previous=previous,
    )


def window_weights(windows: Sequence[PackedWindow], corpus: Corpus) -> tuple[float, ...]:
    """Returns how often each window is drawn per epoch: the weight of its source."""
    return tuple(corpus.recordings[window.parts[0].recording].weight for window in windows)


def summary(windows: Sequence[PackedWindow], options: PackOptions, vocab: Vocab) -> dict[str, float]:
    """Returns counts, hours, the filled share of all windows, and the longest answer in tokens."""
    seconds = sum(part.seconds for window in windows for part in window.parts)
    longest = max(sum(answer_length(part, vocab) for part in window.parts) + 1 for window in windows)
    return {
        "windows": len(windows),
        "recordings": sum(len(window.parts) for window in windows),
        "hours": round(seconds / 3600.0, 3),
        "filled": round(seconds / (len(windows) * options.window_seconds), 4),
        "with_previous": sum(window.previous is not None for window in windows),
        "longest_answer": longest,
    }


def write_windows(path: Path, windows: Sequence[PackedWindow]) -> None:
    """Writes one window per line, all or nothing.

    Raises:
        OutputError: the file cannot be written.
    """
    lines = []
    for window in windows:
        row = asdict(window)
        for part, kept in zip(window.parts, row["parts"], strict=True):
            kept["open"] = isinstance(part, OpenPart)
        lines.append(json.dumps(row) + "\n")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, "".join(lines))


def read_windows(path: Path) -> tuple[PackedWindow, ...]:
    """Reads what `write_windows` wrote.

    Raises:
        NoInputError: the file is missing, or a line is not a window.
    """
    hint = "pack again: distilcli train --config RECIPE --stage pack"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise NoInputError(f"cannot read the packed windows in {path}: {error}", hint=hint) from error
    windows = []
    for number, line in enumerate(lines, start=1):
        try:
            windows.append(_parsed(line))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise NoInputError(f"{path}:{number} is not a packed window: {error}", hint=hint) from error
    return tuple(windows)


def _parsed(line: str) -> PackedWindow:
    row = json.loads(line)
    parts = []
    for fields in row.pop("parts"):
        kind = OpenPart if fields.pop("open") else Part
        parts.append(kind(**{**fields, "tokens": tuple(fields["tokens"])}))
    return PackedWindow(**row, parts=tuple(parts))
