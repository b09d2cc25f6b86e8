"""Recordings of known words and the toy model that knows them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from distilcli.paths import cache_dir
from tests.support.speech import write_wav
from tests.support.toy import toy_clip, toy_ct2_folder

WINDOW = 30 * 16_000


@pytest.fixture(scope="session")
def toy() -> Path:
    """The English-only toy model in CTranslate2 format."""
    return toy_ct2_folder("en")


@pytest.fixture(scope="session")
def multi() -> Path:
    """The multilingual toy model in CTranslate2 format."""
    return toy_ct2_folder("multi")


@pytest.fixture(scope="session")
def rise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eleven seconds that the toy models know: `RISE`."""
    return write_wav(tmp_path_factory.mktemp("clips") / "rise.wav", toy_clip("rise"))


@pytest.fixture(scope="session")
def fall(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven seconds that the toy models know: `FALL`."""
    return write_wav(tmp_path_factory.mktemp("clips") / "fall.wav", toy_clip("fall"))


@pytest.fixture(scope="session")
def twenty_minutes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same sentences at the beginning of each of forty windows."""
    window = np.zeros(WINDOW, dtype=np.float32)
    clip = toy_clip("rise")
    window[: len(clip)] = clip
    return write_wav(tmp_path_factory.mktemp("clips") / "long.wav", np.tile(window, 40))


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with the models of all tests, and the journals of this one alone."""
    folder = tmp_path_factory.mktemp("cache")
    for name in ("bundled", "converted", "digests"):
        shared = cache_dir() / name
        shared.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(shared)
    monkeypatch.setenv("DISTILCLI_CACHE", str(folder))
    return folder


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
