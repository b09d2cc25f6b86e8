"""Where distilcli keeps its files. Knows no file inside those folders and creates none."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def cache_dir() -> Path:
    """The cache folder: ``DISTILCLI_CACHE`` where set and not empty, else the platform's place for caches."""
    override = os.environ.get("DISTILCLI_CACHE")
    return Path(override).expanduser() if override else platformdirs.user_cache_path("distilcli")
