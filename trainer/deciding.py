"""The options that decide a student's weights, and the refusal to go on from checkpoints with other ones.

It knows options and one file beside the checkpoints; it does not know what the options do.
"""

from __future__ import annotations

import dataclasses
import json

from distilcli.errors import InputError, UsageError
from distilcli.trainer import checkpoint
from distilcli.trainer.durable import writing
from distilcli.trainer.recipe import DistilRecipe
from distilcli.writers.atomic import write_atomically

FREE = frozenset(
    (
        *("device", "threads", "chunk_tokens", "cache_encoder", "cache_teacher", "store_ahead"),
        "gradient_checkpointing",
        *("checkpoint_every", "validate_every", "log_every", "keep_last", "keep_best"),
        "steps",
    )
)
"""Options of `distil` that may change while a run goes on: speed, memory, what is kept, how long it is."""


def deciding_options(recipe: DistilRecipe) -> dict[str, object]:
    """Returns the options that a step depends on, by dotted name, as plain JSON values."""
    found: dict[str, object] = {
        f"distil.{name}": value
        for name, value in dataclasses.asdict(recipe.distil).items()
        if name not in FREE
    }
    found |= {f"augment.{name}": value for name, value in dataclasses.asdict(recipe.augment).items()}
    for name in ("timestamp_probability", "prompt_probability"):
        found[f"pack.{name}"] = getattr(recipe.pack, name)
    found["data.sources.weight"] = [source.weight for source in recipe.data.sources]
    plain: dict[str, object] = json.loads(json.dumps(found))
    return plain


def refuse_changed_options(recipe: DistilRecipe) -> None:
    """Notes the options that a training begins with; the first checkpoint binds it to them.

    Raises:
        UsageError: there are checkpoints that were made with other options.
        InputError: the note is damaged.
    """
    folder = recipe.folder / "distil"
    path, now = folder / "options.json", deciding_options(recipe)
    if path.is_file() and checkpoint.listed(folder):
        try:
            before = dict(json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise InputError(f"{path} cannot be read: {error}", hint=f"rm -r {folder}") from error
        changed = [name for name in sorted(before.keys() | now) if before.get(name) != now.get(name)]
        if changed:
            listing = "; ".join(f"{name} was {before.get(name)}, is {now.get(name)}" for name in changed)
            raise UsageError(
                f"the checkpoints in {folder} were made with other options: {listing}",
                hint=f"rm -r {folder} to begin anew, or set another run folder: --set run=FOLDER",
            )
    with writing(path):
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(now, indent=1) + "\n")
