"""What ``distilcli convert`` does once its flags are read. Imports the converters, which costs seconds.

It knows flags; it does not know formats.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from distilcli.cli.progress import reporter
from distilcli.converters.checkpoint import Checkpoint, open_checkpoint
from distilcli.converters.convert import ConvertOptions, Planned, Stage, convert_to, plan
from distilcli.converters.export_card import CARD, Export, merged, section, usage
from distilcli.converters.source import hugging_face_folder
from distilcli.converters.targets import Wanted, parse
from distilcli.converters.upload import card_of, upload

_STEPS = {"probe": "asking the checkpoint", "write": "writing {}", "verify": "verifying {}"}
_OPTION = "--push-to-hub"


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """The flags."""

    model: str
    to: str
    quantization: str | None
    output: Path
    dry_run: bool
    verify: bool
    overwrite: bool
    push_to_hub: str | None
    quiet: bool


def convert(asked: Asked) -> Iterator[str]:
    """Does what the flags say; yields lines for stdout: the plan, or the paths that were made.

    Raises:
        DistilError: see `convert_to`.
    """
    wanted = parse(asked.to, asked.quantization)
    for one in wanted:
        one.target.load()  # a library that is missing is said before anything is downloaded
    scratch = asked.output.expanduser().resolve().parent
    while not scratch.is_dir():
        scratch = scratch.parent
    with (
        reporter("auto", quiet=asked.quiet, alone=True, durations=dict) as progress,
        hugging_face_folder(asked.model, scratch, progress.fetched) as folder,
    ):
        checkpoint = open_checkpoint(folder, values=not asked.dry_run)
        planned = plan(checkpoint, wanted, asked.output)
        for line in _warnings(checkpoint, planned):
            print(f"warning: {line}", file=sys.stderr, flush=True)
        if asked.dry_run:
            yield from (f"{one.bytes / 1e6:>9,.1f} MB  {one.wanted.label:26}{one.path}" for one in planned)
            return
        exports = _convert(asked, checkpoint, wanted, progress.note)
        if asked.push_to_hub:
            progress.note(f"uploaded: {_push(asked.push_to_hub, exports, checkpoint)}")
        yield from (str(one.path) for one in exports)


def _convert(
    asked: Asked, checkpoint: Checkpoint, wanted: Sequence[Wanted], say: Callable[[str], None]
) -> list[Export]:
    def tell(stage: Stage) -> None:
        say(_STEPS[stage.step].format(stage.label))

    options = ConvertOptions(verify=asked.verify, overwrite=asked.overwrite, origin=asked.model)
    exports = convert_to(checkpoint, wanted, asked.output, options, tell)
    for one in exports:
        check = one.verification.summary if one.verification else "not verified"
        say(f"{one.wanted.label}: {one.bytes / 1e6:,.1f} MB in {one.seconds:.1f} s; {check}")
        commands = usage(one, one.path, checkpoint)
        if one.wanted.target.language == "sh" and not commands.startswith("#"):  # one needs no explanation
            say(f"run it: {commands.splitlines()[0]}")
        elif one.path.is_dir():
            say(f"how to run it: {one.path / CARD}")
    return exports


def _warnings(checkpoint: Checkpoint, planned: Sequence[Planned]) -> Iterator[str]:
    yield from checkpoint.warnings
    for one in planned:
        yield from (f"{one.wanted.label}: {line}" for line in one.warnings)


def _push(repo: str, exports: Sequence[Export], checkpoint: Checkpoint) -> str:
    """Uploads exports; a single folder becomes the repository, anything else lies in it."""
    files: dict[str, Path | bytes] = {}
    for one in exports:
        if one.path.is_file():
            files[one.path.name] = one.path
            continue
        prefix = f"{one.path.name}/" if len(exports) > 1 else ""
        for path in sorted(one.path.rglob("*")):
            if path.is_file():
                files[prefix + path.relative_to(one.path).as_posix()] = path
    card = card_of(repo, _OPTION)
    named = [replace(one, path=Path(one.path.name)) for one in exports]
    own = files.get(CARD)
    text = card or (own.read_text(encoding="utf-8") if isinstance(own, Path) else "")
    files[CARD] = merged(text, section(named, checkpoint)).encode()
    return upload(files, repo, "the exports", _OPTION)
