"""The Transformers backend: every PyTorch device, half precision, 8 and 4 bits, and speculative decoding.

Knows no retries, no long-form and no files but its folders. In float32 its greedy and beam searches write the
same tokens as the CTranslate2 backend.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from distilcli.backends.base import Capabilities
from distilcli.backends.contexts import alike, context_mel
from distilcli.backends.device import cpu_threads
from distilcli.backends.encoder_cache import EncoderCache
from distilcli.backends.forced import forced
from distilcli.backends.hf_align import aligned
from distilcli.backends.hf_engine import (
    check_attention,
    pick_compute_type,
    pick_device,
    pretrained,
    translated,
)
from distilcli.backends.hf_network import Network
from distilcli.backends.hf_rules import Rules, rules_for
from distilcli.backends.hf_search import (
    Drafts,
    Found,
    Speaker,
    beam_search,
    best,
    greedy,
    sample,
    speculative,
)
from distilcli.backends.prompts import new_tokens, prompt_of
from distilcli.backends.seeds import seed_of
from distilcli.config import DecodeOptions, EngineOptions
from distilcli.errors import ModelError
from distilcli.model_folder import alignment_heads, inspect, trained_contexts
from distilcli.stages import measuring, stage
from distilcli.tokens import Tokenizer
from distilcli.types import Hypothesis, Window, Word


def load(folder: Path, options: EngineOptions, assistant: Path | None = None) -> HfBackend:
    """Load a model folder in Hugging Face format, and the draft model for speculative decoding.

    Raises:
        UsageError: an option that Transformers cannot honour on this device.
        EnvironmentProblem: the device is missing, or a library that an option needs.
        ModelError: a folder is incomplete or damaged, or the two models do not fit together.
    """
    device = pick_device(options.device)
    compute_type = pick_compute_type(options.compute_type, device)
    check_attention(options.attention, device, compute_type)
    threads = cpu_threads(options.threads)
    main = _Model(folder, options, device, compute_type)
    draft = None
    if assistant is not None:
        draft = _Model(assistant, options, device, compute_type)
        if draft.tokenizer.vocab.size != main.tokenizer.vocab.size:
            raise ModelError(
                f"--assistant-model has {draft.tokenizer.vocab.size} tokens and --model has "
                f"{main.tokenizer.vocab.size}: they need the same vocabulary"
            )
    return HfBackend(
        main,
        draft,
        Capabilities(
            backend="transformers",
            device=str(device),
            compute_type=compute_type,
            n_mels=main.n_mels,
            batch_size=4 if device.type == "cpu" else 16,
            greedy_only=draft is not None,
            notes=main.notes,
        ),
        threads=threads,
    )


class HfBackend:
    """A Whisper model in Transformers. `encoded_windows` counts the encoder's work, `drafts` the guesses."""

    def __init__(
        self, main: _Model, draft: _Model | None, capabilities: Capabilities, *, threads: int = 1
    ) -> None:
        self.tokenizer = main.tokenizer
        self.capabilities = capabilities
        self.drafts = Drafts()
        self._main: _Model | None = main
        self._draft = draft
        self._shared = draft is not None and main.network.same_encoder(draft.network)
        self._threads = threads
        self._encoded_before_close = 0

    @property
    def encoded_windows(self) -> int:
        """Windows that went through the main model's encoder so far."""
        return self._main.cache.encoded_windows if self._main else self._encoded_before_close

    def decode(self, windows: Sequence[Window], options: DecodeOptions) -> list[Hypothesis]:
        """One hypothesis per window, in order; see `Backend.decode`."""
        if not windows:
            return []
        main = self._open()
        vocab = self.tokenizer.vocab
        prompts = [prompt_of(window, vocab, options) for window in windows]
        answers: dict[int, Hypothesis] = {}
        with _running(main.folder, self._threads):
            encoded = main.encode(windows)
            drafted = self._draft_input(windows, encoded, options)
            rules = rules_for(self.tokenizer, options, main.network.device)
            for group in alike([(len(prompts[i]), len(encoded[i])) for i in range(len(windows))]):
                with stage("decoder"):
                    found = self._search(
                        [windows[position] for position in group],
                        torch.stack([encoded[position] for position in group]),
                        [drafted[position] for position in group] if drafted else None,
                        [prompts[position] for position in group],
                        rules,
                    )
                answers.update(zip(group, found, strict=True))
        return [answers[position] for position in range(len(windows))]

    def detect_language(self, windows: Sequence[Window]) -> list[dict[str, float]]:
        """Probability of each language per window; see `Backend.detect_language`."""
        vocab = self.tokenizer.vocab
        if not windows or not vocab.multilingual:
            return [{} for _ in windows]
        main = self._open()
        first = vocab.language(vocab.languages[0])
        with _running(main.folder, self._threads):
            encoded = main.encode(windows)
            rows: dict[int, list[float]] = {}
            for group in alike([len(states) for states in encoded]):
                heard = torch.stack([encoded[position] for position in group])
                with stage("decoder"):
                    _, logits = main.network.start(heard, [[vocab.sot]] * len(group))
                    scores = logits[:, 0, first : first + len(vocab.languages)].float()
                    weights = scores.softmax(dim=-1).tolist()
                rows.update(zip(group, weights, strict=True))
        return [
            dict(sorted(zip(vocab.languages, rows[position], strict=True), key=lambda item: -item[1]))
            for position in range(len(windows))
        ]

    def align(
        self, windows: Sequence[Window], hypotheses: Sequence[Hypothesis], task: str
    ) -> list[tuple[Word, ...]]:
        """When each token was spoken; see `Aligner.align`. Always by the main model."""
        main, vocab = self._open(), self.tokenizer.vocab
        texts = [
            forced(window, hypothesis, vocab, task)
            for window, hypothesis in zip(windows, hypotheses, strict=True)
        ]
        with _running(main.folder, self._threads):
            encoded = main.encode(windows) if windows else []
            with stage("alignment"):
                return [
                    aligned(main.network, states, text, main.heads, vocab)
                    for states, text in zip(encoded, texts, strict=True)
                ]

    def close(self) -> None:
        """Release the models."""
        self._encoded_before_close = self.encoded_windows
        self._main = self._draft = None
        if self.capabilities.device.startswith("cuda"):
            torch.cuda.empty_cache()

    def _open(self) -> _Model:
        assert self._main is not None, "the backend is closed"
        return self._main

    def _draft_input(
        self, windows: Sequence[Window], encoded: list[torch.Tensor], options: DecodeOptions
    ) -> list[torch.Tensor] | None:
        """The encoder output that the draft model listens to; None where there is nothing to draft."""
        if self._draft is None or options.temperature > 0 or options.beam_size > 1:
            return None
        return encoded if self._shared else self._draft.encode(windows)

    def _search(
        self,
        windows: Sequence[Window],
        encoded: torch.Tensor,
        drafted: Sequence[torch.Tensor] | None,
        prompts: Sequence[list[int]],
        rules: Rules,
    ) -> list[Hypothesis]:
        """Decode windows whose prompts have one length, and whose encoder output has one as well."""
        options, vocab = rules.options, self.tokenizer.vocab
        network = self._open().network
        limit = new_tokens(prompts[0], options)
        state, logits = network.start(encoded, prompts)
        silence = logits[:, prompts[0].index(vocab.sot)].float().softmax(dim=-1)[:, vocab.no_speech].tolist()
        if options.temperature > 0:
            generators = [
                torch.Generator(network.device).manual_seed(seed_of([window], options.temperature))
                for window in windows
            ]
            found = [
                best(texts, options.length_penalty)
                for texts in sample(network, state, rules, limit, generators)
            ]
        elif options.beam_size > 1:
            found = [
                best(texts, options.length_penalty) for texts in beam_search(network, state, rules, limit)
            ]
        elif drafted is not None:
            found = self._speculate(encoded, drafted, prompts, rules, limit)
        else:
            found = greedy(network, state, rules, limit)
        return [
            Hypothesis(text.tokens, text.avg_logprob, probability, options.temperature, window.language)
            for window, text, probability in zip(windows, found, silence, strict=True)
        ]

    def _speculate(
        self,
        encoded: torch.Tensor,
        drafted: Sequence[torch.Tensor],
        prompts: Sequence[list[int]],
        rules: Rules,
        limit: int,
    ) -> list[Found]:
        """One window at a time: windows of a batch would accept different numbers of guesses."""
        assert self._draft is not None
        network, draft = self._open().network, self._draft.network
        found = []
        for mine, theirs, prompt in zip(encoded, drafted, prompts, strict=True):
            main, guesser = (
                Speaker(speaker, speaker.start(heard[None], [prompt])[0])
                for speaker, heard in ((network, mine), (draft, theirs))
            )
            found.append(speculative(main, guesser, rules, limit, self.drafts))
        return found


class _Model:
    """A model folder and what was loaded from it."""

    def __init__(self, folder: Path, options: EngineOptions, device: torch.device, compute_type: str) -> None:
        self.folder = folder
        facts = inspect(folder, "transformers")
        self.n_mels = facts.n_mels
        self.heads, remark = alignment_heads(facts)
        self.notes = (remark,) if remark else ()
        self.contexts = trained_contexts(folder)
        self.tokenizer = Tokenizer.from_folder(folder)
        self.cache: EncoderCache[torch.Tensor] = EncoderCache()
        model = pretrained(folder, options, device, compute_type)
        for what, found, expected in (
            ("mel bands", model.config.num_mel_bins, self.n_mels),
            ("tokens", model.config.vocab_size, self.tokenizer.vocab.size),
        ):
            if found != expected:
                raise ModelError(
                    f"the model in {folder} was made for {found} {what}, but its other files ask for "
                    f"{expected}"
                )
        self.network = Network(model, compiled=options.compile)

    def encode(self, windows: Sequence[Window]) -> list[torch.Tensor]:
        """Encoder output of each window, shape (1500 or fewer, d_model), on the device."""
        with stage("encoder"):
            encoded = self.cache.get(windows, self._encode)
            if measuring() and self.network.device.type == "cuda":
                torch.cuda.synchronize(self.network.device)  # or the decoder would be charged for it
            return encoded

    def _encode(self, windows: Sequence[Window]) -> list[torch.Tensor]:
        mels = [context_mel(window, self.n_mels, self.contexts) for window in windows]
        # On a CPU the encoder gains nothing from a batch.
        on_cpu = self.network.device.type == "cpu"
        output: dict[int, torch.Tensor] = {}
        for group in alike(range(len(windows)) if on_cpu else [mel.shape for mel in mels]):
            batch = np.stack([mels[position] for position in group])
            output.update(zip(group, self.network.encode(torch.from_numpy(batch)), strict=True))
        return [output[position] for position in range(len(windows))]


@contextmanager
def _running(folder: Path, threads: int) -> Iterator[None]:
    """Inference with our number of threads; the process gets its own number back."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.inference_mode(), translated(folder, RuntimeError):
            yield
    finally:
        torch.set_num_threads(before)
