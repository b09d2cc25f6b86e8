"""What a model is and costs: its shape, parameters, and arithmetic per window and per token.

It reads configs; it does not load weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from distilcli.errors import ModelError
from distilcli.model_folder import read_json

FRAMES = 1500
"""Positions of the encoder's output for a window of 30 s."""

POSITIONS = 448
"""Positions of the decoder."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelFacts:
    """Shape of a Whisper model."""

    width: int
    encoder_layers: int
    decoder_layers: int
    encoder_hidden: int
    """Width of the encoder's feed-forward layers."""
    decoder_hidden: int
    vocabulary: int
    mels: int

    @property
    def parameters(self) -> int:
        """Numbers in the model, tied ones once and the encoder's fixed positions included."""
        d = self.width
        attention, norm = 4 * d * d + 3 * d, 2 * d  # keys have no bias

        def feed(hidden: int) -> int:
            return 2 * d * hidden + hidden + d

        encoder = 3 * d * (self.mels + d) + 2 * d + FRAMES * d + norm
        encoder += self.encoder_layers * (attention + feed(self.encoder_hidden) + 2 * norm)
        decoder = (self.vocabulary + POSITIONS) * d + norm
        decoder += self.decoder_layers * (2 * attention + feed(self.decoder_hidden) + 3 * norm)
        return encoder + decoder

    def encoder_flops(self) -> float:
        """Floating-point operations of the encoder for one window of 30 s, one way."""
        d = self.width
        stem = 2 * 3 * d * (2 * FRAMES * self.mels + FRAMES * d)
        layer = FRAMES * (8 * d * d + 4 * d * self.encoder_hidden) + 4 * FRAMES * FRAMES * d
        return float(stem + self.encoder_layers * layer)

    def decoder_flops(self, tokens: float, windows: float = 1.0) -> float:
        """The same of the decoder, output layer included, for `tokens` in all of `windows` windows."""
        d = self.width
        token = 12 * d * d + 4 * d * self.decoder_hidden + 4 * FRAMES * d
        keys = windows * FRAMES * 4 * d * d
        return self.decoder_layers * (tokens * token + keys) + tokens * 2 * d * self.vocabulary


def model_facts(folder: Path) -> ModelFacts:
    """Reads the shape of the model in a Hugging Face folder.

    Raises:
        ModelError: its config.json is missing, damaged or not a Whisper model's.
    """
    config = read_json(folder / "config.json")
    try:
        return ModelFacts(
            width=config["d_model"],
            encoder_layers=config["encoder_layers"],
            decoder_layers=config["decoder_layers"],
            encoder_hidden=config["encoder_ffn_dim"],
            decoder_hidden=config["decoder_ffn_dim"],
            vocabulary=config["vocab_size"],
            mels=config["num_mel_bins"],
        )
    except KeyError as error:
        raise ModelError(f"{folder / 'config.json'} has no {error}: it is no Whisper model's") from error
