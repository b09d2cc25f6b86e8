"""Look into a model folder without loading it: format, shape, and whether its files are whole.

Reads headers only, so a damaged folder is refused before a runtime crashes on it. Knows no hub, no runtime.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from distilcli.errors import ModelError

CTRANSLATE2 = "ctranslate2"
TRANSFORMERS = "transformers"

WEIGHTS = {
    CTRANSLATE2: ("model.bin",),
    TRANSFORMERS: ("model.safetensors", "model.safetensors.index.json"),
}
"""Format -> the files of which a folder of that format has at least one, beside ``config.json``."""

TOKEN_NAMES = dict.fromkeys(("bos_token", "eos_token", "pad_token", "unk_token"), "<|endoftext|>")
"""What ``tokenizer_config.json`` of released models says; without ``pad_token`` Transformers cannot batch."""

CONTEXTS = "audio_contexts"
"""Key of ``config.json``: lengths of sound in seconds that the model was trained for, beside 30 s."""

Shapes = dict[str, tuple[int, ...]]
"""Tensor name -> shape."""

Heads = tuple[tuple[int, int], ...]
"""Attention heads of the decoder: (layer, head)."""

_HEADS_IN = {CTRANSLATE2: "config.json", TRANSFORMERS: "generation_config.json"}

_LAYER = re.compile(r"(encoder|decoder)[./]layers?[._](\d+)[./]")
_MEL_BANDS = ("conv1.weight", "conv1/weight")
_LARGEST_HEADER = 100_000_000
_WINDOW_SECONDS = 30.0
_NEWEST_CTRANSLATE2 = 15  # CTranslate2 4.8 writes 6; a number far above is no version at all
_HEAD_WIDTH = 64  # of every released Whisper
_DTYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """Facts of a Whisper model on disk. `dtype` is that of most weights (Hugging Face folders only)."""

    path: Path
    format: str
    n_mels: int
    encoder_layers: int
    decoder_layers: int
    width: int
    """Size of the states of every layer (d_model)."""
    decoder_heads: int
    """Attention heads of every decoder layer."""
    dtype: str | None = None

    @property
    def distil(self) -> bool:
        """Whether the decoder is shallower than the encoder, as in every distilled Whisper."""
        return self.decoder_layers < self.encoder_layers


def format_of(folder: Path, prefer: str | None = None) -> str | None:
    """The format that a folder's files speak of, or None; `prefer` decides between two. Reads no file."""
    if not (folder / "config.json").is_file():
        return None
    found = [kind for kind, names in WEIGHTS.items() if any((folder / name).is_file() for name in names)]
    return prefer if prefer in found else next(iter(found), None)


def inspect(folder: Path, prefer: str | None = None) -> ModelFolder:
    """Check a model folder and say what it holds; `prefer` decides where it holds two formats.

    Raises:
        ModelError: not a model folder, not a Whisper model, or a file is missing, cut off or at odds.
    """
    found = format_of(folder, prefer)
    if found is None:
        raise ModelError(f"{folder} is not a model folder: {_what_is_missing(folder)}")
    _need(folder, "tokenizer.json")
    facts = _READERS[found](folder)
    for name, bands in _declared_mels(folder):
        if bands != facts.n_mels:
            raise ModelError(
                f"{folder / name} says {bands} mel bands, but the weights in {folder} expect {facts.n_mels}"
            )
    return facts


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        ModelError: the file is missing, not JSON, or not an object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelError(f"the model folder {path.parent} has no {path.name}") from error
    except (ValueError, OSError) as error:
        raise ModelError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path} must hold a JSON object, not a {type(content).__name__}")
    return content


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write an object as the JSON file `path`, readable for people."""
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def trained_contexts(folder: Path) -> tuple[float, ...]:
    """Lengths of sound in seconds that the model was trained for, ascending; none: windows of 30 s only.

    A model that has heard nothing but such windows loses its way in shorter ones.

    Raises:
        ModelError: config.json is damaged, or lists something else.
    """
    found = read_json(folder / "config.json").get(CONTEXTS) or []
    numbers = isinstance(found, list) and all(type(seconds) in (int, float) for seconds in found)
    if not numbers or not all(0.0 < seconds <= _WINDOW_SECONDS for seconds in found):
        raise ModelError(
            f"{folder / 'config.json'}: expected {CONTEXTS} to list seconds up to 30, found {found}"
        )
    return tuple(sorted(map(float, found)))


def existing_heads(listed: object, layers: int, heads: int) -> Heads:
    """Those of a list of alignment heads that a decoder has: a student often inherits its teacher's list."""
    pairs = listed if isinstance(listed, list | tuple) else ()
    return tuple(
        (int(pair[0]), int(pair[1]))
        for pair in pairs
        if isinstance(pair, list | tuple)
        and [type(number) for number in pair] == [int, int]
        and 0 <= pair[0] < layers
        and 0 <= pair[1] < heads
    )


def alignment_heads(facts: ModelFolder) -> tuple[Heads, str | None]:
    """The heads whose attention follows the sound, and what to say where the folder lists others.

    A folder that lists none the decoder has gets what every runtime takes without a list: all heads of the
    last half of the layers.

    Raises:
        ModelError: the file with the list is damaged.
    """
    path = facts.path / _HEADS_IN[facts.format]
    listed = read_json(path).get("alignment_heads") if path.is_file() else None
    layers, heads = facts.decoder_layers, facts.decoder_heads
    kept = existing_heads(listed, layers, heads)
    used = kept or tuple((layer, head) for layer in range(layers // 2, layers) for head in range(heads))
    wanted = len(listed) if isinstance(listed, list) else 0
    if len(kept) == wanted:
        return used, None
    instead = "the others" if kept else "all heads of the last half of its layers"
    return used, (
        f"{wanted - len(kept)} of {wanted} alignment heads in {path} are not in this decoder "
        f"({layers} layers of {heads} heads): word times come from {instead}"
    )


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a Hugging Face folder, in the order of their names.

    Raises:
        ModelError: the index is damaged, names a file outside the folder, or a file is missing.
    """
    single, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if single.is_file():
        return [single]
    shards = read_json(index).get("weight_map")
    if not isinstance(shards, dict) or not shards:
        raise ModelError(f"{index} has no weight_map")
    names = sorted({str(name) for name in shards.values()})
    for name in names:
        if Path(name).name != name or "\\" in name:
            raise ModelError(f"{index} names a file outside its folder: {name}")
        _need(folder, name)
    return [folder / name for name in names]


def _what_is_missing(folder: Path) -> str:
    if not (folder / "config.json").is_file():
        return "config.json is missing"
    if (folder / "pytorch_model.bin").is_file():
        return "it has pytorch_model.bin only; save the model again with safetensors (pickles are not read)"
    return "neither model.safetensors (Hugging Face) nor model.bin (CTranslate2) is there"


def _need(folder: Path, name: str) -> None:
    if not (folder / name).is_file():
        raise ModelError(f"the model folder {folder} has no {name}")


def _declared_mels(folder: Path) -> Iterator[tuple[str, int]]:
    """Mel bands that the JSON files promise, with the name of the file."""
    for name, keys in (
        ("config.json", ("num_mel_bins",)),
        ("preprocessor_config.json", ("feature_size",)),
        ("processor_config.json", ("feature_extractor", "feature_size")),
    ):
        if (folder / name).is_file():
            value: Any = read_json(folder / name)
            for key in keys:
                value = value.get(key) if isinstance(value, dict) else None
            if isinstance(value, int):
                yield name, value


def _facts(
    folder: Path, kind: str, shapes: Shapes, heads: int | None, dtype: str | None = None
) -> ModelFolder:
    layers = {"encoder": -1, "decoder": -1}
    for name in shapes:
        if match := _LAYER.search(name):
            layers[match[1]] = max(layers[match[1]], int(match[2]))
    first = next((shape for name, shape in shapes.items() if name.endswith(_MEL_BANDS)), None)
    if first is None or min(layers.values()) < 0:
        raise ModelError(f"the weights in {folder} are not a Whisper model's: encoder or decoder is missing")
    width, bands = first[:2]  # of the first convolution
    return ModelFolder(
        path=folder,
        format=kind,
        n_mels=bands,
        encoder_layers=layers["encoder"] + 1,
        decoder_layers=layers["decoder"] + 1,
        width=width,
        decoder_heads=heads or max(1, width // _HEAD_WIDTH),
        dtype=dtype,
    )


def _read_transformers(folder: Path) -> ModelFolder:
    config = read_json(folder / "config.json")
    if config.get("model_type") != "whisper":
        raise ModelError(
            f"{folder / 'config.json'} describes a '{config.get('model_type')}' model; expected 'whisper'"
        )
    shapes: Shapes = {}
    sizes: dict[str, int] = {}
    for path in weight_files(folder):
        for name, (dtype, shape) in _safetensors_header(path).items():
            shapes[name] = shape
            sizes[dtype] = sizes.get(dtype, 0) + _count(shape)
    widest = max(sizes, key=lambda name: sizes[name], default="")
    heads = config.get("decoder_attention_heads")
    facts = _facts(
        folder, TRANSFORMERS, shapes, heads if isinstance(heads, int) else None, _DTYPES.get(widest)
    )
    for side, layers in (("encoder", facts.encoder_layers), ("decoder", facts.decoder_layers)):
        if config.get(f"{side}_layers") != layers:
            raise ModelError(
                f"{folder / 'config.json'} says {config.get(f'{side}_layers')} {side} layers, "
                f"but the weights have {layers}"
            )
    return facts


def _safetensors_header(path: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Name -> (dtype, shape) of a safetensors file whose size agrees with its header."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 2 <= length <= min(_LARGEST_HEADER, size - 8):
            raise ModelError(f"{path} is damaged: its header is cut off or is not that of a safetensors file")
        raw = file.read(length)
    try:
        header = json.loads(raw)
        header.pop("__metadata__", None)
        end = max((entry["data_offsets"][1] for entry in header.values()), default=0)
        tensors = {name: (entry["dtype"], tuple(entry["shape"])) for name, entry in header.items()}
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise ModelError(f"{path} is damaged: its header is not that of a safetensors file") from error
    _same_size(path, expected=8 + length + end, found=size)
    return tensors


def _read_ctranslate2(folder: Path) -> ModelFolder:
    read_json(folder / "config.json")
    if not any((folder / f"vocabulary.{ending}").is_file() for ending in ("json", "txt")):
        raise ModelError(f"the model folder {folder} has no vocabulary.json")
    path = folder / "model.bin"
    with path.open("rb") as file:
        try:
            name, shapes, heads = _ctranslate2_header(file, path)
        except (struct.error, UnicodeDecodeError) as error:
            raise ModelError(f"{path} is damaged: it ends too early or is not a CTranslate2 model") from error
    if name != "WhisperSpec":
        raise ModelError(f"{path} holds a '{name}' of CTranslate2; expected a Whisper model")
    return _facts(folder, CTRANSLATE2, shapes, heads)


def _ctranslate2_header(file: BinaryIO, path: Path) -> tuple[str, Shapes, int | None]:
    """Name of the specification, all shapes, and the heads of a decoder layer.

    Upstream: `model_spec.py`, `_serialize`, version 4 on.
    """

    def number(kind: str) -> int:
        return int(struct.unpack(f"<{kind}", file.read(struct.calcsize(kind)))[0])

    def text() -> str:
        length = number("H")
        (raw,) = struct.unpack(f"<{length}s", file.read(length))
        return str(raw.rstrip(b"\0"), "utf-8")

    size = path.stat().st_size
    version = number("I")
    if not 4 <= version <= _NEWEST_CTRANSLATE2:
        raise ModelError(f"{path} is damaged, or not a CTranslate2 model (its version reads {version})")
    name = text()
    number("I")  # revision of the specification
    shapes: Shapes = {}
    heads = None
    for _ in range(number("I")):
        variable = text()
        shapes[variable] = tuple(number("I") for _ in range(number("B")))
        number("B")  # number format
        length = number("I")
        if variable == "decoder/num_heads":
            heads = int.from_bytes(file.read(length), "little")
        else:
            file.seek(length, 1)
        if file.tell() > size:
            _same_size(path, expected=file.tell(), found=size)
    for _ in range(number("I")):
        text()  # an alias ...
        text()  # ... and the variable that it stands for
    _same_size(path, expected=file.tell(), found=size)
    return name, shapes, heads


def _same_size(path: Path, *, expected: int, found: int) -> None:
    if expected != found:
        raise ModelError(f"{path} is damaged: expected {expected} bytes, found {found}")


def _count(shape: Iterable[int]) -> int:
    product = 1
    for length in shape:
        product *= length
    return product


_READERS = {TRANSFORMERS: _read_transformers, CTRANSLATE2: _read_ctranslate2}
