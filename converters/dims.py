"""The ten numbers that describe a Whisper, in openai/whisper's names. Knows no file and no tensor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from distilcli.errors import ModelError
from distilcli.tokens import Vocab

_MOST_LAYERS = 64
_WIDEST = 4096
_MEL_BANDS = (80, 128)
_AUDIO_POSITIONS = 1500
_TEXT_POSITIONS = 448

_CONFIG_KEYS = {
    "n_mels": "num_mel_bins",
    "n_audio_ctx": "max_source_positions",
    "n_audio_state": "d_model",
    "n_audio_head": "encoder_attention_heads",
    "n_audio_layer": "encoder_layers",
    "n_vocab": "vocab_size",
    "n_text_ctx": "max_target_positions",
    "n_text_state": "d_model",
    "n_text_head": "decoder_attention_heads",
    "n_text_layer": "decoder_layers",
    "ffn": "encoder_ffn_dim",
}
"""Field -> key of Hugging Face's config.json."""

OPENAI_KEYS = tuple(name for name in _CONFIG_KEYS if name != "ffn")
"""The ten of openai/whisper `ModelDimensions`, in its order."""


@dataclass(frozen=True, slots=True)
class Dims:
    """Shape of a Whisper: openai/whisper `ModelDimensions`, and the width of the feed-forward layers."""

    n_mels: int
    n_audio_ctx: int
    n_audio_state: int
    n_audio_head: int
    n_audio_layer: int
    n_vocab: int
    n_text_ctx: int
    n_text_state: int
    n_text_head: int
    n_text_layer: int
    ffn: int

    @classmethod
    def from_openai(cls, found: Mapping[str, Any], place: str) -> Dims:
        """From the ten numbers of a file of openai/whisper or whisper.cpp, whose feed-forward width is 4 d.

        Args:
            found: value by name; any type, nothing is trusted.
            place: the file, for messages.

        Raises:
            ModelError: a number is missing, unknown, or out of bounds.
        """
        if set(found) != set(OPENAI_KEYS):
            wrong = sorted(set(found) ^ set(OPENAI_KEYS), key=str)
            raise ModelError(
                f"{place}: expected the dims {', '.join(OPENAI_KEYS)}; missing or unknown: {wrong[0]}"
            )
        width = found["n_audio_state"]
        dims = cls(**found, ffn=4 * width if type(width) is int else 0)
        dims.check(place)
        return dims

    @classmethod
    def from_config(cls, config: Mapping[str, Any], place: str) -> Dims:
        """From the content of a Hugging Face config.json.

        Raises:
            ModelError: a number is missing or out of bounds.
        """
        missing = [key for key in dict.fromkeys(_CONFIG_KEYS.values()) if key not in config]
        if missing:
            raise ModelError(f"{place} lacks {missing[0]}")
        if config.get("decoder_ffn_dim") != config["encoder_ffn_dim"]:
            raise ModelError(
                f"{place}: expected encoder_ffn_dim and decoder_ffn_dim to be equal, found "
                f"{config['encoder_ffn_dim']} and {config.get('decoder_ffn_dim')}"
            )
        dims = cls(**{name: config[key] for name, key in _CONFIG_KEYS.items()})
        dims.check(place)
        return dims

    def check(self, place: str) -> None:
        """Refuse what no Whisper has, before anything of that size is allocated.

        Raises:
            ModelError: names the number and what was expected.
        """
        values = asdict(self)
        for name, value in values.items():
            if type(value) is not int or value < 1:
                raise ModelError(f"{place}: expected {name} to be a positive whole number, found {value!r}")
        rules = (
            ("n_mels", self.n_mels in _MEL_BANDS, "80 or 128"),
            ("n_audio_ctx", self.n_audio_ctx == _AUDIO_POSITIONS, str(_AUDIO_POSITIONS)),
            ("n_text_ctx", self.n_text_ctx <= _TEXT_POSITIONS, f"at most {_TEXT_POSITIONS}"),
            ("n_audio_layer", self.n_audio_layer <= _MOST_LAYERS, f"at most {_MOST_LAYERS}"),
            ("n_text_layer", self.n_text_layer <= _MOST_LAYERS, f"at most {_MOST_LAYERS}"),
            ("n_audio_state", self.n_audio_state <= _WIDEST, f"at most {_WIDEST}"),
            (
                "n_text_state",
                self.n_text_state == self.n_audio_state,
                f"{self.n_audio_state}, as the encoder",
            ),
            ("ffn", self.ffn <= 4 * _WIDEST, f"at most {4 * _WIDEST}"),
            ("n_audio_head", self.n_audio_state % self.n_audio_head == 0, "a divisor of n_audio_state"),
            ("n_text_head", self.n_text_state % self.n_text_head == 0, "a divisor of n_text_state"),
        )
        for name, holds, expected in rules:
            if not holds:
                raise ModelError(f"{place}: expected {name} to be {expected}, found {values[name]}")
        try:
            Vocab(self.n_vocab)
        except ModelError as error:
            raise ModelError(f"{place}: {error.message}") from error

    def last_half(self) -> tuple[tuple[int, int], ...]:
        """(decoder layer, head) of the alignment heads that runtimes take when a model names none."""
        layers = range(self.n_text_layer // 2, self.n_text_layer)
        return tuple((layer, head) for layer in layers for head in range(self.n_text_head))

    def openai(self) -> dict[str, int]:
        """The ten numbers by name, in openai/whisper's order."""
        return {name: getattr(self, name) for name in OPENAI_KEYS}

    def config(self) -> dict[str, int]:
        """The keys of Hugging Face's config.json."""
        found = {key: int(getattr(self, name)) for name, key in _CONFIG_KEYS.items()}
        return {**found, "decoder_ffn_dim": self.ffn}
