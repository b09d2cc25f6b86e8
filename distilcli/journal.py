"""The journal of a run: every answered window on the disk at once, so that a run that was killed goes on.

Knows windows, hypotheses and one file; it knows no backend, no strategy and no format of results.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Any

from distilcli.errors import InputError, OutputError, UsageError
from distilcli.folders import acquired
from distilcli.line_file import LineFile, Record, read_lines
from distilcli.longform.base import Decode
from distilcli.types import Audio, Hypothesis, Segment, Span, Window, Word

FORMAT = 1

Key = Mapping[str, object]
"""What decides the answers: names as a user knows them -> plain JSON values."""

Told = Callable[[Audio, str, float], None]
"""Hears the language of a recording: its code and probability."""

_RESTART = "add --restart to begin anew"

_ANSWERS = {"windows", "segment"}
"""Keys of the lines for which a journal is worth keeping."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """What was answered for one window, and the language that was detected with it."""

    hypothesis: Hypothesis
    detected: tuple[str, float] | None


class Journal:
    """The journal at one path, held by one run at a time: a context from the run's beginning to its end.

    It stays on the disk until `done`; without answers nothing is kept. Where it cannot be written the run
    goes on, and `warn` hears once that it cannot be resumed. `answered` counts the windows that earlier runs
    have answered, `segments` are what earlier live runs have said.
    """

    def __init__(self, path: Path, warn: Callable[[str], None]) -> None:
        import filelock

        self.path = path
        self.answered = 0
        self.segments: list[Segment] = []
        self._warn = warn
        self._lock = filelock.FileLock(path.with_suffix(".lock"))
        self._file: LineFile | None = None
        self._answers: dict[str, deque[_Answer]] = {}
        self._recordings: dict[str, Record] = {}
        self._detected: dict[Audio, tuple[str, float]] = {}
        self._holds_answers = True  # until somebody has looked
        self._done = False

    def __enter__(self) -> Journal:
        """Hold the journal.

        Raises:
            OutputError: another run holds it.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            taken = acquired(self._lock)
        except OSError as error:
            self._fail(error)
            return self
        if not taken:
            raise OutputError(
                "another run of this command is at work on the same results",
                hint="wait until it has ended, or choose another folder with -o DIR",
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
        if self._lock.is_locked:
            # On Windows the lock's file stays, because it is open; it is empty.
            with contextlib.suppress(OSError):
                if not self.kept:
                    self.path.unlink(missing_ok=True)
                Path(self._lock.lock_file).unlink(missing_ok=True)
        self._lock.release()

    @property
    def kept(self) -> bool:
        """Whether the same command would go on with what is in the journal."""
        return self._holds_answers and not self._done and self.path.exists()

    def done(self) -> None:
        """The run has ended, and nothing that it has answered is waiting to be written."""
        self._done = True

    def begin(self, key: Key, *, restart: bool = False) -> None:
        """Read what earlier runs have answered, or with `restart` discard it, and open the journal.

        Raises:
            UsageError: the answers were given under another `key`; the message names what differs.
            InputError: the journal is damaged.
        """
        if not self._lock.is_locked:
            return
        now = json.loads(json.dumps({"journal format": FORMAT, **key}, default=str))
        try:
            records, size = ([], 0) if restart else read_lines(self.path)
            self._holds_answers = any(_ANSWERS & record.keys() for record in records)
            if self._holds_answers:
                self._load(records, now)
            else:
                size = 0
            self._file = LineFile(self.path, size)
        except OSError as error:
            self._fail(error)
        except InputError as error:
            raise InputError(error.message, hint=_RESTART) from error
        if not size:
            self._append({"key": now})

    def opened(self, source: str, audio: Audio) -> None:
        """A recording has been decoded, and its windows may be asked for.

        Raises:
            UsageError: an earlier run has answered windows of this source when it held something else.
        """
        before = self._recordings.get(source)
        if before is None:
            self._append({"recording": source, "digest": audio.digest, "duration": audio.duration})
        elif before["digest"] != audio.digest:
            raise UsageError(
                f"{source} is not the recording that the unfinished run of this command has heard "
                f"({before['duration']:.2f} s long then, {audio.duration:.2f} s now)",
                hint=_RESTART,
            )

    def detected(self, audio: Audio, code: str, probability: float) -> None:
        """The language of a recording was detected on the way to the next answers."""
        self._detected[audio] = (code, probability)

    def said(self, segment: Segment) -> None:
        """A segment of a live source is final: its sound cannot be heard again."""
        self._append({"segment": asdict(segment)})

    def recorded(self, decode: Decode, told: Told) -> Decode:
        """`decode`, asked only for windows that no earlier run has answered.

        A call's answers are recorded together, and with them the languages detected on the way; `told` hears
        of these again where they are read back.
        """

        def answered(windows: Sequence[Window]) -> list[Hypothesis]:
            found = [self._recall(window, told) for window in windows]
            missing = [window for window, answer in zip(windows, found, strict=True) if answer is None]
            fresh = iter(self._ask(missing, decode) if missing else ())
            return [next(fresh) if answer is None else answer for answer in found]

        return answered

    def _recall(self, window: Window, told: Told) -> Hypothesis | None:
        waiting = self._answers.get(_key(window))
        if not waiting:
            return None
        answer = waiting.popleft()
        if answer.detected:
            told(window.audio, *answer.detected)
        return answer.hypothesis

    def _ask(self, windows: list[Window], decode: Decode) -> list[Hypothesis]:
        self._detected.clear()
        answers = decode(windows)
        self._append(
            {
                "windows": [
                    {
                        "window": _key(window),
                        **asdict(answer),
                        "detected": self._detected.pop(window.audio, None),
                    }
                    for window, answer in zip(windows, answers, strict=True)
                ]
            }
        )
        return answers

    def _load(self, records: Sequence[Record], now: Key) -> None:
        """Take over what earlier runs have written: the key first, then recordings and answers."""
        for number, record in enumerate(records, start=1):
            try:
                if number == 1:
                    _refuse_another(record["key"], now)
                elif "recording" in record:
                    self._recordings[record["recording"]] = record
                elif "segment" in record:
                    self.segments.append(_segment(record["segment"]))
                else:
                    for one in record["windows"]:
                        self._answers.setdefault(one["window"], deque()).append(_answer(one))
                        self.answered += 1
            except (KeyError, TypeError, AttributeError) as error:
                raise InputError(f"line {number} of {self.path} is damaged: it lacks {error}") from error
        self._holds_answers = True

    def _append(self, record: Record) -> None:
        if self._file is None:
            return
        try:
            self._file.append(record)
        except OSError as error:
            self._fail(error)
            return
        self._holds_answers = self._holds_answers or bool(_ANSWERS & record.keys())

    def _fail(self, error: OSError) -> None:
        """From here on there is no journal; what it holds so far stays."""
        if self._file is not None:
            self._file.close()
            self._file = None
        reason = (error.strerror or str(error)).lower()
        self._warn(f"what follows cannot be resumed: the journal {self.path} cannot be kept: {reason}")


def _key(window: Window) -> str:
    """A window by everything that its answer depends on but the options of the run."""
    rest = [(one.name, getattr(window, one.name)) for one in fields(window) if one.name != "audio"]
    return hashlib.blake2b(repr((window.audio.digest, rest)).encode(), digest_size=16).hexdigest()


def _answer(record: Record) -> _Answer:
    values: dict[str, Any] = {one.name: record[one.name] for one in fields(Hypothesis)}
    values["tokens"], values["tried"] = tuple(values["tokens"]), tuple(values["tried"])
    values["words"] = _words(values["words"])
    detected = record["detected"]
    return _Answer(Hypothesis(**values), tuple(detected) if detected else None)


def _segment(record: Record) -> Segment:
    values: dict[str, Any] = {one.name: record[one.name] for one in fields(Segment)}
    for name in ("tokens", "flags", "tried"):
        values[name] = tuple(values[name])
    values["span"] = Span(**values["span"])
    values["words"] = _words(values["words"])
    return Segment(**values)


def _words(records: Sequence[Record]) -> tuple[Word, ...]:
    return tuple(
        Word(word["text"], Span(**word["span"]), word["probability"], tuple(word["tokens"]))
        for word in records
    )


def _refuse_another(before: Key, now: Key) -> None:
    names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    if names:
        then, here = (" and ".join(f"{name} {one.get(name)}" for name in names) for one in (before, now))
        raise UsageError(
            f"an unfinished run of this command was made with {then}, and this one has {here}",
            hint=f"{_RESTART}, or give what the unfinished run was made with to go on",
        )
