"""Transcribe recordings of any length with (Distil-)Whisper."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from distilcli.pipeline import load_model, transcribe

__version__ = "0.1.0"
__all__ = ["__version__", "load_model", "transcribe"]


def __getattr__(name: str) -> object:
    """Import the public functions on first use: ``import distilcli`` stays free of heavy libraries."""
    if name in {"load_model", "transcribe"}:
        from distilcli import pipeline

        return getattr(pipeline, name)
    raise AttributeError(f"module 'distilcli' has no attribute {name!r}")
