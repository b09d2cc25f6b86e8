"""Fixtures of the long-form tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from distilcli.tokens import Tokenizer
from tests.support.tokenizer import write_tokenizer


@pytest.fixture(scope="session")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files of large-v3's tokenizer."""
    folder = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(folder, 51866)
    return folder


@pytest.fixture(scope="session")
def tokenizer(tokenizer_folder: Path) -> Tokenizer:
    return Tokenizer.from_folder(tokenizer_folder)
