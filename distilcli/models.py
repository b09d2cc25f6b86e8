"""Model names, hub repositories and folders -> a folder that a backend can load.

Downloads, unpacks and converts on first use, and only then. Knows no runtime and never prints.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from distilcli import bundled, hub
from distilcli.errors import EnvironmentProblem, ModelError, UsageError, closest
from distilcli.model_folder import (
    CTRANSLATE2,
    TRANSFORMERS,
    WEIGHTS,
    ModelFolder,
    format_of,
    inspect,
    weight_files,
)
from distilcli.model_names import NANO, Published, is_published_name, published, refuse_what_is_no_model
from distilcli.paths import cache_dir

FORMATS = (CTRANSLATE2, TRANSFORMERS)

PATTERNS = {
    CTRANSLATE2: ("config.json", "preprocessor_config.json", "model.bin", "tokenizer.json", "vocabulary.*"),
    TRANSFORMERS: (
        "config.json",
        "generation_config.json",
        "preprocessor_config.json",
        "processor_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "normalizer.json",
        "model.safetensors",
        "model-*.safetensors",
        "model.safetensors.index.json",
    ),
}
"""Format -> the files of a repository that are downloaded."""


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model on disk, in the format that was asked for, with its long-form defaults (seconds; on or off)."""

    name: str
    folder: Path
    repo: str | None
    distil: bool
    chunk_length: float
    condition_on_previous_text: bool
    n_mels: int


@dataclass(frozen=True, slots=True)
class ModelEvent:
    """Progress of a first use: `step` is ``download`` (bytes) or ``convert`` (0 of 1, 1 of 1)."""

    step: str
    name: str
    done: int
    total: int


OnEvent = Callable[[ModelEvent], None]


@dataclass(frozen=True, slots=True)
class _Source:
    """A folder as it was published or given. `slug` names its conversions; `repair` mends it when damaged."""

    folder: Path
    slug: str
    repo: str | None = None
    published: Published | None = None
    repair: str | None = None


def resolve(
    name: str,
    fmt: str,
    *,
    kept_as: str | None = None,
    offline: bool | None = None,
    on_event: OnEvent | None = None,
) -> ModelInfo:
    """Find a model by name, ``owner/name`` or folder; download and convert it on first use.

    What is on this machine is used without asking the hub. `offline` None follows ``HF_HUB_OFFLINE``. A
    conversion keeps the numbers of its checkpoint, or is `kept_as` ``int8``; see
    `distilcli.backends.base.kept_as`.

    Raises:
        UsageError: no such model or format, or a CTranslate2 folder where a Hugging Face one is needed.
        EnvironmentProblem: the model is not here and the hub cannot be reached, or the disk is full.
        ModelError: the folder is incomplete or damaged; the hint mends it.
    """
    if fmt not in FORMATS:
        raise UsageError(f"a model format is one of {', '.join(FORMATS)}, not '{fmt}'{closest(fmt, FORMATS)}")
    source = _locate(name, fmt, offline, on_event)
    with _repairable(source.repair):
        facts = inspect(source.folder, prefer=fmt)
    folder = source.folder
    if facts.format != fmt:
        if fmt != CTRANSLATE2:
            raise UsageError(
                f"{source.folder} is a CTranslate2 model, which the transformers backend cannot read",
                hint="leave --backend transformers out, or give the Hugging Face checkpoint it was made from",
            )
        with _repairable(source.repair):
            folder = _converted(name, source, kept_as, on_event)
    elif fmt == CTRANSLATE2 and kept_as == "int8":
        folder = _rounded(name, source, on_event)
    return _info(name, folder, source, facts)


def _info(name: str, folder: Path, source: _Source, facts: ModelFolder) -> ModelInfo:
    known = source.published
    distil = known.distil if known else facts.distil
    if known:
        chunk_length = known.chunk_length
    elif distil and name != NANO:
        chunk_length = 25.0 if facts.n_mels == 128 else 15.0
    else:
        chunk_length = 30.0
    prompted = not distil and name != NANO
    return ModelInfo(name, folder, source.repo, distil, chunk_length, prompted, facts.n_mels)


def _locate(name: str, fmt: str, offline: bool | None, on_event: OnEvent | None) -> _Source:
    repair = f"distilcli models remove {name} && distilcli models download {name}"
    known = published(name)
    if name == NANO:
        return _Source(bundled.folder_of_nano(), name, repair=f"distilcli models remove {name}")
    if known and is_published_name(name):
        repo = known.repo(fmt)
        return _Source(_from_hub(repo, name, (fmt,), offline, on_event), slug_of(repo), repo, known, repair)
    path = Path(name).expanduser()
    if path.is_dir():
        return _Source(path.resolve(), path.resolve().name)
    refuse_what_is_no_model(name, path)
    kinds = (CTRANSLATE2, TRANSFORMERS) if fmt == CTRANSLATE2 else (TRANSFORMERS,)
    return _Source(_from_hub(name, name, kinds, offline, on_event), slug_of(name), name, known, repair)


def _from_hub(
    repo: str, name: str, kinds: tuple[str, ...], offline: bool | None, on_event: OnEvent | None
) -> Path:
    """Folder of the first of `kinds` that the repository has: from the local cache, else downloaded."""
    for kind in kinds:
        folder = hub.find(repo, PATTERNS[kind])
        if folder and format_of(folder, kind) == kind:
            return folder
    if hub.is_offline() if offline is None else offline:
        raise EnvironmentProblem(
            f"the model {name} is not (completely) on this machine, and the hub may not be asked",
            hint=hub.unreachable_hint(name),
        )
    files = hub.files_of(repo, name)
    paths = {one.path for one in files}
    for kind in kinds:
        if not paths.isdisjoint(WEIGHTS[kind]):
            return hub.download(repo, name, files, PATTERNS[kind], _bytes_of(name, on_event))
    wanted = " or ".join(names[0] for kind, names in WEIGHTS.items() if kind in kinds)
    also = "; it has pytorch_model.bin, and pickles are not read" if "pytorch_model.bin" in paths else ""
    raise ModelError(f"the repository {repo} on {hub.endpoint()} has no {wanted}{also}")


def _bytes_of(name: str, on_event: OnEvent | None) -> hub.OnBytes | None:
    if on_event is None:
        return None
    return lambda done, total: on_event(ModelEvent("download", name, done, total))


def _converted(name: str, source: _Source, kept_as: str | None, on_event: OnEvent | None) -> Path:
    """The CTranslate2 conversion of a Hugging Face folder in the cache, made when it is not there."""
    target = _conversion(source, kept_as)
    if not target.is_dir():
        from distilcli.converters import ct2

        with _told(name, on_event):
            ct2.convert(source.folder, target, kept_as)
    inspect(target)
    return target


def _rounded(name: str, source: _Source, on_event: OnEvent | None) -> Path:
    """The edition of a CTranslate2 folder in 8 bits in the cache, made when it is not there, if it can be."""
    from distilcli.converters import ct2_rounded

    if not ct2_rounded.can_be_rounded(source.folder):
        return source.folder
    target = _conversion(source, "int8")
    if not target.is_dir():
        try:
            with _told(name, on_event):
                ct2_rounded.round_once(source.folder, target)
        except EnvironmentProblem:
            return source.folder  # no space: CTranslate2 rounds it whenever it is loaded
    inspect(target)
    return target


def _conversion(source: _Source, kept_as: str | None) -> Path:
    return conversions() / "-".join([source.slug, _fingerprint(source.folder), *filter(None, [kept_as])])


@contextmanager
def _told(name: str, on_event: OnEvent | None) -> Iterator[None]:
    """Say that a conversion begins and ends."""
    tell = on_event or (lambda event: None)
    tell(ModelEvent("convert", name, 0, 1))
    yield
    tell(ModelEvent("convert", name, 1, 1))


def _fingerprint(folder: Path) -> str:
    """Changes whenever the checkpoint does: its JSON files, and size, time and first block of its weights."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.json")):
        digest.update(f"{path.name}\0".encode() + path.read_bytes())
    whole = folder / WEIGHTS[CTRANSLATE2][0]
    for path in [whole] if whole.is_file() else weight_files(folder):
        state = path.stat()
        digest.update(f"{path.name}\0{state.st_size}\0{state.st_mtime_ns}\0".encode())
        with path.open("rb") as file:
            digest.update(file.read(1 << 20))
    return digest.hexdigest()[:12]


def conversions() -> Path:
    """The cache folder of converted checkpoints."""
    return cache_dir() / "converted"


def slug_of(repo: str) -> str:
    """A repository's name as the beginning of a folder name."""
    return repo.replace("/", "--")


@contextmanager
def _repairable(hint: str | None) -> Iterator[None]:
    """Add the command that mends a damaged model."""
    try:
        yield
    except ModelError as error:
        raise ModelError(error.message, hint=error.hint or hint) from error
