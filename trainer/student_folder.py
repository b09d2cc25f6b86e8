"""Loads a model folder for training, and writes the trained student as one: the same files, new weights.

It knows files and tensors; it does not know how the student was trained.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import WhisperForConditionalGeneration

from distilcli.folders import new_folder
from distilcli.model_folder import TRANSFORMERS, inspect, read_json
from distilcli.quiet import without_progress_bars
from distilcli.trainer.student import write_contexts
from distilcli.trainer.weights import OUTPUT, tensors


def load_student(folder: Path, device: torch.device) -> WhisperForConditionalGeneration:
    """Loads a Hugging Face folder in float32, for training.

    Raises:
        ModelError: the folder is not a whole Whisper model.
    """
    inspect(folder, prefer=TRANSFORMERS)
    with without_progress_bars():
        model = WhisperForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
    model.to(device)  # type: ignore[arg-type]  # wrapped by the library without its signature
    return model


def write_student(
    start: Path, weights: Mapping[str, Tensor], target: Path, elastic: Sequence[float] = ()
) -> None:
    """Writes the folder `target`, whole or not at all; one that is there is replaced.

    Args:
        start: folder that training began with; all its other files are copied.
        weights: what training changed, by parameter name; they get the number format that `start` has.
        target: folder to make.
        elastic: window lengths in seconds that the student was trained for; empty: 30 s only.

    Raises:
        EnvironmentProblem: the folder cannot be written.
    """
    tied = read_json(start / "config.json").get("tie_word_embeddings", True)
    chosen: dict[str, Tensor] = {}
    for name, tensor in tensors(start, ""):
        if tied and name == OUTPUT:
            continue
        changed = weights.get(name)
        chosen[name] = tensor if changed is None else changed.detach().to("cpu", tensor.dtype).contiguous()
    assert weights.keys() <= chosen.keys(), "trained parameters that the starting folder does not have"
    with new_folder(target) as folder:
        ignored = shutil.ignore_patterns("*.safetensors", "*.safetensors.index.json")
        shutil.copytree(start, folder, dirs_exist_ok=True, ignore=ignored)
        save_file(chosen, folder / "model.safetensors", metadata={"format": "pt"})
        (folder / "model.safetensors").chmod(0o644)  # the library makes files that only their owner can read
        if elastic:
            write_contexts(folder, elastic)
        if target.exists():  # only now: a student that is there stays until the new one is complete
            shutil.rmtree(target)
