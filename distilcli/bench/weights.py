"""The same weights in the form that each system reads: converted once, kept in the cache. Knows no system."""

from __future__ import annotations

from pathlib import Path

from distilcli.config import EngineOptions
from distilcli.paths import cache_dir


def exported(model: str, target: str, kind: str) -> Path:
    """The weights of a model in a format of ``distilcli convert``, verified when they were made.

    Args:
        model: a name, a folder or a repository.
        target: name in `distilcli.converters.targets.TARGETS`.
        kind: number format.

    Raises:
        UsageError: the model is a CTranslate2 folder, from which nothing can be converted.
        EnvironmentProblem: a library or disk space is missing.
        QualityGateError: the conversion does not say what the checkpoint says.
    """
    import filelock

    from distilcli.converters.checkpoint import open_checkpoint
    from distilcli.converters.convert import ConvertOptions, convert_to
    from distilcli.converters.source import hugging_face_folder
    from distilcli.converters.targets import TARGETS, Wanted

    wanted = Wanted(TARGETS[target], kind)
    cache = cache_dir() / "bench"
    cache.mkdir(parents=True, exist_ok=True)
    with hugging_face_folder(model, cache) as folder:
        digest = open_checkpoint(folder, values=False).digest
        path = cache / f"{digest[:16]}-{target}-{kind}{wanted.target.single_file}"
        with filelock.FileLock(cache / f".{path.name}.lock"):
            if not path.exists():
                convert_to(open_checkpoint(folder), [wanted], path, ConvertOptions(origin=model))
    return path


def in_format(model: str, fmt: str) -> Path:
    """The folder of a model in one of the two formats of distilcli's own backends.

    Raises:
        DistilError: see `distilcli.models.resolve`.
    """
    from distilcli import models

    return models.resolve(model, fmt).folder


def for_engine(model: str, engine: EngineOptions) -> Path:
    """The folder of a model that distilcli loads with these options.

    Raises:
        DistilError: see `distilcli.models.resolve` and `distilcli.backends.base.kept_as`.
    """
    from distilcli import models
    from distilcli.backends.base import kept_as

    return models.resolve(model, engine.backend, kept_as=kept_as(engine)).folder


def chunk_length(model: str, fmt: str) -> float:
    """Seconds of the windows that suit a model where a recording is cut into chunks.

    Raises:
        DistilError: see `distilcli.models.resolve`.
    """
    from distilcli import models

    return models.resolve(model, fmt).chunk_length
