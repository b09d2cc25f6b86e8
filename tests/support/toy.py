"""Toy Whisper models that know three synthetic clips by heart, trained once per checkout on one core.

Random weights make poor test subjects: their logits are flat, so tokens flip for harmless reasons. These
models have the full vocabulary and memorise exact sentences with a wide margin, so every runtime can be
required to print them. The encoder stays random: its output still tells the clips apart, and the decoder
learns in seconds.
"""

from __future__ import annotations

import hashlib
import inspect
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from distilcli.converters.ct2 import convert
from distilcli.languages import LANGUAGES
from distilcli.tokens import Tokenizer, Vocab
from tests.support.tokenizer import write_tokenizer

if TYPE_CHECKING:
    import torch
    from transformers import WhisperForConditionalGeneration

CACHE = Path(__file__).parents[2] / ".cache" / "tests"
RATE = 16_000
LEARNING_RATE = 4e-3
EMBEDDING_STD = 0.02


@dataclass(frozen=True)
class Kind:
    """Shape and training of one toy model."""

    vocab_size: int
    n_mels: int
    decoder_layers: int
    steps: int
    seed: int = 1


KINDS = {
    "en": Kind(51864, 80, 2, 400),
    "multi": Kind(51865, 80, 2, 400),
    "v3": Kind(51866, 128, 2, 400),
    # Shares the random encoder of "multi", but has learned too little to be always right.
    "draft": Kind(51865, 80, 1, 90),
}

# (start, end, text) in seconds; timestamps lie on the grid of 20 ms.
SENTENCES = {
    "rise": ((0.0, 4.4, " The river runs down to the sea,"), (4.4, 10.2, " and nobody can hurry it.")),
    "fall": ((0.36, 3.0, " Bring me two yellow lamps."), (3.4, 6.0, " The door is open.")),
}
LANGUAGE = {"rise": "en", "fall": "de"}
CLIP_SECONDS = {"rise": 11.0, "fall": 7.0, "silence": 9.0}


def toy_clip(name: str = "rise") -> NDArray[np.float32]:
    """A melody that rises or falls, or silence: shape (n,), 16 kHz."""
    n = int(CLIP_SECONDS[name] * RATE)
    if name == "silence":
        return np.zeros(n, dtype=np.float32)
    notes = np.geomspace(220, 1760, 12) if name == "rise" else np.geomspace(2400, 300, 9)
    time = np.arange(n) / RATE
    pitch = notes[np.minimum((time / CLIP_SECONDS[name] * len(notes)).astype(int), len(notes) - 1)]
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    tremolo = 0.6 + 0.4 * np.sin(2 * np.pi * 5 * time)
    return (0.3 * tremolo * (np.sin(phase) + 0.3 * np.sin(2 * phase))).astype(np.float32)


def toy_text(name: str = "rise") -> str:
    """The sentence that the models know for a clip."""
    return "".join(text for _, _, text in SENTENCES[name])


def toy_tokens(tokenizer: Tokenizer, name: str = "rise", *, timestamps: bool = True) -> tuple[int, ...]:
    """The ids that the models write for a clip, without end-of-text."""
    if not timestamps:
        return tuple(tokenizer.encode(toy_text(name)))
    at = tokenizer.vocab.timestamp
    return tuple(
        token
        for start, end, text in SENTENCES[name]
        for token in (at(start), *tokenizer.encode(text), at(end))
    )


def toy_folder(kind: str) -> Path:
    """Model folder in Hugging Face format; the first call trains it (seconds)."""
    with _made_once(f"toy-{kind}") as (folder, missing):
        if missing is not None:
            _train(KINDS[kind], missing)
    return folder


def toy_ct2_folder(kind: str) -> Path:
    """The same model in CTranslate2 format, float32."""
    source = toy_folder(kind)
    with _made_once(f"toy-{kind}-ct2") as (folder, missing):
        if missing is not None:
            convert(source, missing)
    return folder


@contextmanager
def _made_once(name: str) -> Iterator[tuple[Path, Path | None]]:
    """A cached folder, and the scratch folder to make where it does not exist yet; two processes may race."""
    source = inspect.getsource(sys.modules[__name__]).replace(__doc__ or "", "")
    recipe = hashlib.sha256(source.encode()).hexdigest()[:12]
    folder = CACHE / f"{name}-{recipe}"
    if folder.is_dir():
        yield folder, None
        return
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
        fresh = Path(scratch) / "model"
        yield folder, fresh
        if not folder.is_dir():
            os.replace(fresh, folder)


def _train(kind: Kind, folder: Path) -> None:
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    folder.mkdir()
    try:
        with torch.random.fork_rng(devices=[]):
            write_tokenizer(folder, kind.vocab_size)
            tokenizer = Tokenizer.from_folder(folder)
            model = _random_model(kind)
            _fit(model, kind, tokenizer)
            _save(model, kind, tokenizer, folder)
    finally:
        torch.set_num_threads(threads)


def _random_model(kind: Kind) -> WhisperForConditionalGeneration:
    import torch
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    vocab = Vocab(kind.vocab_size)
    ids = {"bos_token_id": vocab.eot, "eos_token_id": vocab.eot, "pad_token_id": vocab.eot}
    config = WhisperConfig(
        vocab_size=kind.vocab_size,
        num_mel_bins=kind.n_mels,
        d_model=64,
        encoder_layers=2,
        decoder_layers=kind.decoder_layers,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=256,
        decoder_ffn_dim=256,
        decoder_start_token_id=vocab.sot,
        init_std=0.1,
        **ids,
    )
    torch.manual_seed(kind.seed)
    model = WhisperForConditionalGeneration(config).eval()
    with torch.no_grad():  # tokens that are never taught stay in the noise
        model.model.decoder.embed_tokens.weight.normal_(std=EMBEDDING_STD)
    return model


def _features(name: str, n_mels: int) -> NDArray[np.float32]:
    """Log-mel of a clip, shape (n_mels, 3000), from faster-whisper: the model owes nothing to ours."""
    from faster_whisper.audio import pad_or_trim
    from faster_whisper.feature_extractor import FeatureExtractor

    return np.asarray(
        pad_or_trim(FeatureExtractor(feature_size=n_mels)(toy_clip(name))[:, :-1]), dtype=np.float32
    )


def _lessons(tokenizer: Tokenizer, rng: np.random.Generator) -> list[tuple[int, list[int], list[int]]]:
    """(clip number, prompt, ids to learn from start-of-transcript on) for one step, prompts drawn anew."""
    vocab = tokenizer.vocab
    lessons: list[tuple[int, list[int], list[int]]] = []
    for number, name in enumerate(CLIP_SECONDS):
        for timestamps in (True, False):
            if name == "silence":
                answer = [vocab.timestamp_begin] if timestamps else tokenizer.encode(".")
            else:
                answer = list(toy_tokens(tokenizer, name, timestamps=timestamps))
            prefix = vocab.prefix(LANGUAGE.get(name), timestamps=timestamps)
            prompt = _prompt(tokenizer, rng) if rng.random() < 0.5 else []
            lessons.append((number, prompt, [*prefix, *answer, vocab.eot]))
    if vocab.multilingual:  # the other language token must not change what is heard
        for number, name in enumerate(SENTENCES):
            prefix = vocab.prefix(LANGUAGE["fall" if name == "rise" else "rise"])
            lessons.append((number, [], [*prefix, *toy_tokens(tokenizer, name), vocab.eot]))
    return lessons


def _prompt(tokenizer: Tokenizer, rng: np.random.Generator) -> list[int]:
    """Previous text to ignore: unknown words, or the end of a sentence that the model knows."""
    length = int(rng.integers(1, 24))
    known = toy_tokens(tokenizer, str(rng.choice(list(SENTENCES))), timestamps=bool(rng.integers(2)))
    words = rng.integers(1000, 20_000, length).tolist() if rng.random() < 0.5 else known[-length:]
    return [tokenizer.vocab.sot_prev, *words]


def _fit(model: WhisperForConditionalGeneration, kind: Kind, tokenizer: Tokenizer) -> None:
    """Learn the lessons; only embeddings of tokens that occur in them change, which makes a step cheap."""
    import torch

    rng = np.random.default_rng(kind.seed)
    vocab = tokenizer.vocab
    with torch.no_grad():
        mel = torch.from_numpy(np.stack([_features(name, kind.n_mels) for name in CLIP_SECONDS]))
        encoded = model.model.encoder(mel).last_hidden_state  # (clips, 1500, d_model)
    decoder = model.model.decoder
    weights = [weight for name, weight in decoder.named_parameters() if name != "embed_tokens.weight"]
    used = torch.tensor(
        sorted({token for _, _, ids in _lessons(tokenizer, rng) for token in ids} | {vocab.no_speech})
    )
    column = torch.full((vocab.size,), -1).scatter(0, used, torch.arange(len(used)))
    rows = torch.nn.Parameter(decoder.embed_tokens.weight.detach()[used] * 5)
    decoder.embed_tokens.requires_grad_(False)
    optimizer = torch.optim.AdamW([*weights, rows], lr=LEARNING_RATE, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, LEARNING_RATE, total_steps=kind.steps, pct_start=0.1
    )
    for _ in range(kind.steps):
        clips, inputs, labels = _batch(_lessons(tokenizer, rng), vocab)
        # A few wrong inputs teach the decoder to go on after a slip, as the losing beams do.
        slips = torch.from_numpy(rng.random(inputs.shape) < 0.04) & (labels >= 0) & (inputs < vocab.eot)
        inputs = torch.where(slips, used[torch.from_numpy(rng.integers(0, len(used), inputs.shape))], inputs)
        taught = labels >= 0
        embedded = decoder.embed_tokens(inputs)
        known = column[inputs] >= 0
        embedded = embedded.masked_scatter(known[..., None], rows[column[inputs][known]])
        hidden = decoder(inputs_embeds=embedded, encoder_hidden_states=encoded[clips], use_cache=False)
        states = hidden.last_hidden_state[taught]
        loss = _loss(states @ rows.T, states, column[labels[taught]], int(column[vocab.eot]))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_([*weights, rows], 1.0)
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        decoder.embed_tokens.weight[used] = rows


def _loss(logits: torch.Tensor, states: torch.Tensor, answers: torch.Tensor, end: int) -> torch.Tensor:
    """Cross-entropy over the used tokens (taught, used) and the expected mass of all others.

    An early end of text is pressed under the noise, or beam search would collect stumps.
    """
    import torch

    others = np.log(51_800) + 0.5 * (EMBEDDING_STD * states.norm(dim=-1, keepdim=True)) ** 2
    entropy = torch.nn.functional.cross_entropy(torch.cat([logits, others], dim=1), answers)
    early = torch.nn.functional.softplus(logits[answers != end, end] + 6).mean()
    return entropy + 0.05 * early


def _batch(
    lessons: list[tuple[int, list[int], list[int]]], vocab: Vocab
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Clip numbers (batch,), decoder inputs and labels (batch, longest); -100 marks what is not taught.

    After start-of-transcript the model learns the language, or that there is no speech; language, task and
    no-timestamps are given, never learned.
    """
    import torch

    longest = max(len(prompt) + len(taught) for _, prompt, taught in lessons) - 1
    inputs = torch.full((len(lessons), longest), vocab.eot)
    labels = torch.full((len(lessons), longest), -100)
    names = list(CLIP_SECONDS)
    for row, (clip, prompt, taught) in enumerate(lessons):
        ids = torch.tensor([*prompt, *taught])
        given = len(prompt) + 2 * vocab.multilingual + (vocab.no_timestamps in taught)
        inputs[row, : len(ids) - 1] = ids[:-1]
        labels[row, given : len(ids) - 1] = ids[given + 1 :]
        if names[clip] == "silence":
            labels[row, len(prompt)] = vocab.no_speech
        elif vocab.multilingual:
            labels[row, len(prompt)] = vocab.language(LANGUAGE[names[clip]])
    return torch.tensor([clip for clip, _, _ in lessons]), inputs, labels


def _save(model: WhisperForConditionalGeneration, kind: Kind, tokenizer: Tokenizer, folder: Path) -> None:
    from transformers import GenerationConfig, WhisperFeatureExtractor

    vocab = tokenizer.vocab
    extra: dict[str, object] = {
        "is_multilingual": vocab.multilingual,
        "no_timestamps_token_id": vocab.no_timestamps,
    }
    if vocab.multilingual:
        extra["lang_to_id"] = {
            f"<|{code}|>": vocab.language(code) for code in list(LANGUAGES)[: len(vocab.languages)]
        }
        extra["task_to_id"] = {"translate": vocab.translate, "transcribe": vocab.transcribe}
    model.generation_config = GenerationConfig(
        decoder_start_token_id=vocab.sot,
        bos_token_id=vocab.eot,
        eos_token_id=vocab.eot,
        pad_token_id=vocab.eot,
        max_length=448,
        begin_suppress_tokens=[tokenizer.encode(" ")[0], vocab.eot],
        suppress_tokens=list(tokenizer.suppressed((-1,))),
        prev_sot_token_id=vocab.sot_prev,
        **extra,
    )
    model.save_pretrained(folder)
    WhisperFeatureExtractor(feature_size=kind.n_mels).save_pretrained(folder)
