"""The section of a model card that says how to run each export, with exact commands. Writes one file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from distilcli.converters.checkpoint import Checkpoint
from distilcli.converters.targets import Wanted
from distilcli.converters.verify import Verification

CARD = "README.md"

_BEGIN = "<!-- distilcli exports -->"
_END = "<!-- end of distilcli exports -->"


@dataclass(frozen=True, slots=True)
class Export:
    """An export that was made: file or folder, bytes, seconds of writing, and how its check ended."""

    wanted: Wanted
    path: Path
    bytes: int
    seconds: float
    verification: Verification | None


def usage(export: Export, path: Path, checkpoint: Checkpoint) -> str:
    """The commands that run an export of `checkpoint` lying at `path`."""
    target, kind = export.wanted.target, export.wanted.kind
    distil = checkpoint.dims.n_text_layer < checkpoint.dims.n_audio_layer
    multilingual = checkpoint.vocab.multilingual
    text = dict(target.other_usage).get(kind, target.usage)
    for word, value in {
        "{path}": path.as_posix(),
        "{parent}": path.parent.as_posix(),
        "{name}": path.name,
        "{kind}": kind,
        "{alone}": target.alone if distil else "",
        "{like}": "distil-large-v3" if multilingual else "distil-medium.en",
        "{tiny}": "tiny" if multilingual else "tiny.en",
        "{tiny-}": "tiny" if multilingual else "tiny-en",
    }.items():
        text = text.replace(word, value)
    return text


def section(exports: Sequence[Export], checkpoint: Checkpoint) -> str:
    """Markdown: a table of the exports, then the commands of each."""
    lines = [_BEGIN, "## Exports", "", "| export | for | size | check |", "|---|---|---:|---|"]
    for one in exports:
        check = one.verification.summary if one.verification else "not verified"
        lines.append(
            f"| `{one.path.name}` ({one.wanted.label}) | {one.wanted.target.purpose} "
            f"| {one.bytes / 1e6:,.1f} MB | {check} |"
        )
    for one in exports:
        lines += ["", f"### {one.wanted.label}", ""]
        lines += [f"```{one.wanted.target.language}", usage(one, one.path, checkpoint), "```"]
        if one.wanted.target.name == "openai" and checkpoint.heads:
            lines += [
                "",
                "Word times are closer with the model's own alignment heads:",
                "",
            ]
            lines += ["```python", _set_heads(one, checkpoint), "```"]
    return "\n".join([*lines, "", _END, ""])


def merged(card: str, new: str) -> str:
    """A model card with the section `new` in place of an earlier one, or behind everything else."""
    before, found, rest = card.partition(_BEGIN)
    if found:
        after = rest.partition(_END)[2].lstrip("\n")
        return before + new + ("\n" + after if after else "")
    return f"{card.rstrip()}\n\n{new}" if card.strip() else new


def write_card(folder: Path, exports: Sequence[Export], checkpoint: Checkpoint) -> None:
    """Put the section into the card of `folder`: its own, else the checkpoint's, else a new one.

    Paths in the commands are relative to where the reader stands: the folder that holds `folder`'s exports.
    """
    texts = [path.read_text(encoding="utf-8") for path in _cards(folder, checkpoint) if path.is_file()]
    named = [replace(one, path=Path(one.path.name)) for one in exports]
    scratch = folder / f".{CARD}.part"
    scratch.write_text(merged(texts[0] if texts else "", section(named, checkpoint)), encoding="utf-8")
    os.replace(scratch, folder / CARD)


def _cards(folder: Path, checkpoint: Checkpoint) -> tuple[Path, Path]:
    return folder / CARD, checkpoint.folder / CARD


def _set_heads(export: Export, checkpoint: Checkpoint) -> str:
    dims = checkpoint.dims
    layers, heads = zip(*checkpoint.heads, strict=True)
    return "\n".join(
        [
            "import torch, whisper",
            "",
            f'model = whisper.load_model("{export.path.as_posix()}")',
            f"heads = torch.zeros({dims.n_text_layer}, {dims.n_text_head}, dtype=torch.bool)",
            f"heads[{list(layers)}, {list(heads)}] = True",
            'model.register_buffer("alignment_heads", heads.to_sparse(), persistent=False)',
        ]
    )
