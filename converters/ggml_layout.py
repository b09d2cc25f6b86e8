"""What stands where in a GGML file of whisper.cpp, and which number format a tensor has. Opens no file.

One little-endian stream without padding: magic, eleven numbers, mel filters, vocabulary, tensors to the end
(whisper.cpp `whisper_model_load`).
"""

from __future__ import annotations

from distilcli.converters.ggml_types import F16, F32, FORMATS, NumberFormat

MAGIC = 0x67676D6C

HEADER = (
    "n_vocab",
    "n_audio_ctx",
    "n_audio_state",
    "n_audio_head",
    "n_audio_layer",
    "n_text_ctx",
    "n_text_state",
    "n_text_head",
    "n_text_layer",
    "n_mels",
)
"""The numbers behind the magic, each an int32; the number format of the file follows."""

FREQUENCIES = 201
"""Columns of the mel filters."""

LONGEST_TOKEN = 128
"""Bytes: whisper.cpp's quantising tool reads tokens into a buffer of this size."""

LONGEST_NAME = 128
"""Bytes of a tensor's name; Whisper's longest has 41."""

_QUANTIZATION_VERSION = 2
_VERSION_FACTOR = 1000

FILE_TYPES = {
    one.file_type + (_QUANTIZATION_VERSION * _VERSION_FACTOR if one.quantized else 0): one
    for one in FORMATS.values()
}
"""Last number of the header -> format of the matrices."""

FILE_TYPE_OF = {one: number for number, one in FILE_TYPES.items()}
"""The way back."""

_ALWAYS_F32 = ("encoder.positional_embedding", "decoder.positional_embedding")
_COLUMNS = ("encoder.conv1.bias", "encoder.conv2.bias")


def tensor_format(name: str, shape: tuple[int, ...], matrices: NumberFormat) -> NumberFormat:
    """The number format of a tensor in a file whose matrices have the format `matrices`.

    The loader refuses any other: vectors and positions are f32, convolutions are never quantised.
    """
    if len(shape) == 1 or name in _ALWAYS_F32:
        return F32
    if len(shape) == 3:
        return F32 if matrices == F32 else F16
    return matrices


def stored_shape(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape under which a tensor of openai/whisper is stored: biases of convolutions are columns."""
    return (*shape, 1) if name in _COLUMNS else shape
