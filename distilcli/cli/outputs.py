"""Result files: their names, checked before any work, and writing each as soon as it can be.

Imported inside command bodies only, with the pipeline.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from distilcli.cli import stdout
from distilcli.cli.inputs import STDIN, is_url, stem
from distilcli.errors import DistilError, OutputError, UsageError
from distilcli.pipeline import Listener
from distilcli.types import Segment, Transcript
from distilcli.writers import WRITERS, Writer, write_atomically
from distilcli.writers.atomic import output_error, remove_leftovers

PARTIAL = ".partial"
"""Before the ending of a file that holds a part of a transcript."""

Targets = dict[str, dict[str, Path]]
"""Source -> format -> the file that it will be written to."""


def plan(
    sources: Sequence[str], formats: Sequence[str], folder: Path, below: Mapping[str, Path] | None = None
) -> Targets:
    """Name the files of a run; `below` maps a source to its place under `folder`.

    Raises:
        UsageError: two inputs would write one file, or a result would overwrite an input.
    """
    places = {source: folder / (below or {}).get(source, Path()) for source in sources}
    targets = {
        source: {name: place / f"{stem(source)}.{name}" for name in formats}
        for source, place in places.items()
    }
    inputs = {
        os.path.realpath(source): source for source in sources if source != STDIN and not is_url(source)
    }
    owners: dict[str, str] = {}
    for source, files in targets.items():
        for path in files.values():
            key = os.path.normcase(os.path.realpath(path))
            if key in owners:
                raise UsageError(
                    f"{owners[key]} and {source} would both write {path}",
                    hint="transcribe them in two runs with different -o folders",
                )
            if os.path.realpath(path) in inputs:
                raise UsageError(
                    f"{path} would overwrite the input {inputs[os.path.realpath(path)]}",
                    hint="choose another folder with -o DIR",
                )
            owners[key] = source
    return targets


def check_folder(folder: Path, targets: Targets) -> None:
    """Make the output folder and prove that files can be made in it.

    Raises:
        OutputError: it cannot be made or written to, or a folder has the name of a result.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        for place in {path.parent for files in targets.values() for path in files.values()}:
            place.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise OutputError(f"{error.filename} is a file, and -o needs a folder") from error
    except OSError as error:
        raise output_error(folder, error) from error
    taken = next((path for files in targets.values() for path in files.values() if path.is_dir()), None)
    if taken is not None:
        raise OutputError(f"cannot write {taken}: there is a folder of this name")


def written_before(targets: Targets) -> list[str]:
    """The sources that have a file in every format that is asked for."""
    return [
        source
        for source, files in targets.items()
        if files and all(path.is_file() for path in files.values())
    ]


@dataclass(slots=True)
class _Partial:
    """What is known of a recording that is not finished."""

    duration: float
    language: str | None
    segments: list[Segment] = field(default_factory=list)
    dropped: list[Segment] = field(default_factory=list)


class FileWriter(Listener):
    """Writes the files of a recording when it is done, and after an interrupt those of what was finished."""

    def __init__(
        self,
        targets: Targets,
        blank: Transcript,
        note: Callable[[str], None],
        writers: Mapping[str, Writer] = WRITERS,
    ) -> None:
        """`blank` is a transcript without segments: language, model, backend and task of the run."""
        self.targets, self.blank, self.note, self.writers = targets, blank, note, writers
        self.written: dict[str, list[Path]] = {}
        self.resumed = False  # then what an earlier run left beside the results is taken away
        self._running: dict[str, _Partial] = {}
        self._saving = threading.Lock()  # a second Ctrl-C saves from a thread of its own

    def file_started(self, source: str, duration: float) -> None:
        self._running[source] = _Partial(duration, self.blank.language)

    def language(self, source: str, code: str, probability: float) -> None:
        if source in self._running:
            self._running[source].language = code

    def segment(self, source: str, segment: Segment) -> None:
        self._running[source].segments.append(segment)

    def dropped(self, source: str, segment: Segment) -> None:
        self._running[source].dropped.append(segment)

    def file_failed(self, source: str, error: DistilError) -> None:
        self._running.pop(source, None)

    def file_done(self, source: str, transcript: Transcript) -> None:
        """Write the files of `source`; until they are there, an interrupt keeps what is finished.

        Raises:
            OutputError: a file cannot be written.
        """
        try:
            self._write(source, transcript, "")
        except OutputError:
            del self._running[source]
            raise
        del self._running[source]

    def save_so_far(self, source: str) -> None:
        """Write the finished segments of a recording that goes on.

        Raises:
            OutputError: a file cannot be written.
        """
        self._write(source, self._so_far(self._running[source]), PARTIAL)

    def save_partials(self) -> list[str]:
        """Write the finished segments of unfinished recordings; sentences that say what is where."""
        with self._saving:
            said = self._save(dict(self._running))
            self._running.clear()
        return said

    def _save(self, running: dict[str, _Partial]) -> list[str]:
        said = []
        for source, partial in running.items():
            if not partial.segments or not self.targets.get(source):
                continue
            try:
                self._write(source, self._so_far(partial), PARTIAL)
            except OutputError as error:
                said.append(f"what was finished of {source} is lost: {error.message}")
                continue
            whole = f" of {partial.duration:.0f} s" if partial.duration else ""
            reached = f"{partial.segments[-1].span.end:.0f} s{whole}"
            said.append(f"{reached} of {source} is in {_names(self.written[source])}")
        return said

    def _so_far(self, partial: _Partial) -> Transcript:
        return replace(
            self.blank,
            segments=tuple(partial.segments),
            dropped=tuple(partial.dropped),
            language=partial.language,
            duration=partial.duration,
            complete=False,
        )

    def _write(self, source: str, transcript: Transcript, infix: str) -> None:
        files = self.targets.get(source, {})
        named = replace(transcript, model=transcript.model or self.blank.model)
        for name, path in files.items():
            target = _beside(path, name, infix)
            write_atomically(target, self.writers[name](named))
            if self.resumed and not infix:
                with contextlib.suppress(OSError):  # what they held is in the file that was just written
                    _beside(path, name, PARTIAL).unlink(missing_ok=True)
                    remove_leftovers(path)
            if target not in self.written.setdefault(source, []):
                self.written[source].append(target)
        if files and not infix:
            self.note(f"wrote {_names(self.written[source])}")


def _beside(path: Path, ending: str, infix: str) -> Path:
    """``talk.srt`` as ``talk.partial.srt``."""
    return path.with_name(f"{path.name.removesuffix('.' + ending)}{infix}.{ending}")


class DocumentPrinter(Listener):
    """Prints the transcripts to stdout in one format, in the order of the inputs."""

    def __init__(self, sources: Sequence[str], writer: Writer, model: str) -> None:
        self._writer, self._model = writer, model
        self._order = stdout.InOrder(sources, lambda _, text: stdout.write(text))

    def file_done(self, source: str, transcript: Transcript) -> None:
        self._order.say(source, self._writer(replace(transcript, model=transcript.model or self._model)))
        self._order.finish(source)

    def file_failed(self, source: str, error: DistilError) -> None:
        self._order.finish(source)


def _names(paths: Sequence[Path]) -> str:
    return ", ".join(str(path) for path in paths)
