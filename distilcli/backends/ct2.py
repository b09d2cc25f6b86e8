"""The CTranslate2 backend: fast on CPU (int8) and CUDA. Knows no retries, no long-form, no files.

Tokens equal faster-whisper's for the same features, prompt and options.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import ctranslate2
import numpy as np
from ctranslate2.models import Whisper, WhisperGenerationResult
from numpy.typing import NDArray

from distilcli.backends.base import Capabilities, check_engine
from distilcli.backends.contexts import alike, context_mel
from distilcli.backends.ct2_align import aligned, with_heads
from distilcli.backends.ct2_engine import (
    check_vocabulary,
    pick_device,
    start_typed,
    storage,
    translated,
)
from distilcli.backends.ct2_hybrid import HYBRID, Encode, load_own_encoder, wants_own_encoder
from distilcli.backends.device import cpu_threads
from distilcli.backends.encoder_cache import EncoderCache
from distilcli.backends.forced import forced
from distilcli.backends.prompts import last_initial_timestamp, new_tokens, prompt_of
from distilcli.backends.seeds import seed_of
from distilcli.config import DecodeOptions, EngineOptions
from distilcli.model_folder import alignment_heads, inspect, trained_contexts
from distilcli.stages import stage
from distilcli.tokens import Tokenizer
from distilcli.types import Hypothesis, Window, Word

_SMALL_MODEL = 400 * 2**20  # bytes of weights that may be held twice, see `Ct2Backend._workers`
_NARROW = 768
"""Widest model whose search takes one thread (up to small): threads that share such small matrices wait for
each other longer than they work. With beam 5, two threads took 2.4 times as long as one at width 256, 2.1
times at 384 and 512, 1.4 times at 768; the encoder gains from threads at every width. Tokens are the same
(`scripts/bench_threads`)."""

Features = NDArray[np.float32]


def load(folder: Path, options: EngineOptions, assistant: Path | None = None) -> Ct2Backend:
    """Load a model folder in CTranslate2 format.

    Raises:
        UsageError: an option that CTranslate2 cannot honour.
        EnvironmentProblem: the device is missing, or a library that it needs.
        ModelError: the folder is incomplete, damaged, or contradicts itself.
    """
    check_engine(options)
    device, index = pick_device(options)
    threads = cpu_threads(options.threads)
    facts = inspect(folder, "ctranslate2")
    heads, remark = alignment_heads(facts)
    wanted, why = wants_own_encoder(options.compute_type, device, facts.width)

    def start(compute_type: str, workers: int = 1) -> Whisper:
        with translated(folder):
            return Whisper(
                str(folder),
                device=device,
                device_index=index,
                compute_type=compute_type,
                inter_threads=workers,
                intra_threads=1 if workers > 1 else threads,
                files=with_heads(folder, heads),
            )

    with ThreadPoolExecutor(1) as beside:  # reading the tokenizer takes longer than loading a small model
        asked = "int8" if wanted else options.compute_type
        starting = beside.submit(start_typed, start, device, index, asked)
        tokenizer = Tokenizer.from_folder(folder)
        check_vocabulary(folder, tokenizer)
        own = load_own_encoder(folder, threads, options.compute_type) if wanted else None
        model, notes = starting.result()
    used = model.compute_type
    size = (folder / "model.bin").stat().st_size
    return Ct2Backend(
        model,
        tokenizer,
        Capabilities(
            backend="ctranslate2",
            device=device if device == "cpu" else f"{device}:{index}",
            compute_type=HYBRID if own else used,
            n_mels=facts.n_mels,
            batch_size=16 if device == "cuda" else 8,
            notes=(*(why if own else ()), *notes, *([remark] if remark else [])),
        ),
        folder=folder,
        start=partial(start, used),
        start_workers=partial(start, used, threads)
        if device == "cpu" and threads > 1 and size <= _SMALL_MODEL
        else None,
        workers=threads,
        narrow=facts.width <= _NARROW,
        contexts=trained_contexts(folder),
        own_encoder=own,
    )


class Ct2Backend:
    """A Whisper model in CTranslate2. `encoded_windows` counts the encoder's work."""

    def __init__(
        self,
        model: Whisper,
        tokenizer: Tokenizer,
        capabilities: Capabilities,
        *,
        folder: Path,
        start: Callable[[], Whisper],
        start_workers: Callable[[], Whisper] | None = None,
        workers: int = 1,
        narrow: bool = False,
        contexts: tuple[float, ...] = (),
        own_encoder: Encode | None = None,
    ) -> None:
        self.tokenizer = tokenizer
        self.capabilities = capabilities
        self._model: Whisper | None = model
        self._folder = folder
        self._contexts = contexts
        self._own_encoder = own_encoder
        self._start = start
        self._start_workers = start_workers
        self._narrow = narrow
        self._pool: Whisper | None = None
        self._sampled: tuple[frozenset[Window], float] = frozenset(), 0.0
        self._threads = ThreadPoolExecutor(workers)
        self._cache: EncoderCache[Features] = EncoderCache()

    @property
    def encoded_windows(self) -> int:
        """Windows that went through the encoder so far."""
        return self._cache.encoded_windows

    def decode(self, windows: Sequence[Window], options: DecodeOptions) -> list[Hypothesis]:
        """One hypothesis per window, in order; see `Backend.decode`."""
        prompts = [prompt_of(window, self.tokenizer.vocab, options) for window in windows]
        encoded = self._encoded(windows)
        with stage("decoder"), translated(self._folder):
            results = self._search(windows, encoded, prompts, options)
        return [
            Hypothesis(
                tokens=tuple(result.sequences_ids[0]),
                avg_logprob=_avg_logprob(result, _length_penalty(options)),
                no_speech_prob=result.no_speech_prob,
                temperature=options.temperature,
                language=window.language,
            )
            for window, result in zip(windows, results, strict=True)
        ]

    def detect_language(self, windows: Sequence[Window]) -> list[dict[str, float]]:
        """Probability of each language per window; see `Backend.detect_language`."""
        if not windows or not self.tokenizer.vocab.multilingual:
            return [{} for _ in windows]
        encoded = self._encoded(windows)
        with stage("decoder"), translated(self._folder):
            rankings: dict[int, list[tuple[str, float]]] = {}
            for group in alike([len(features) for features in encoded]):
                heard = storage(np.stack([encoded[position] for position in group]))
                rankings.update(zip(group, self._main.detect_language(heard), strict=True))
        return [
            {token.strip("<|>"): probability for token, probability in rankings[position]}
            for position in range(len(windows))
        ]

    def align(
        self, windows: Sequence[Window], hypotheses: Sequence[Hypothesis], task: str
    ) -> list[tuple[Word, ...]]:
        """When each token was spoken; see `Aligner.align`. The filter and the warping are CTranslate2's."""
        texts = [
            forced(window, hypothesis, self.tokenizer.vocab, task)
            for window, hypothesis in zip(windows, hypotheses, strict=True)
        ]
        encoded = self._encoded(windows)
        with stage("alignment"), translated(self._folder):
            pool = self._workers(len(windows) > 1 or self._narrow)
            spread = self._threads.map if pool else map
            return list(spread(partial(aligned, pool or self._main), encoded, texts))

    def close(self) -> None:
        """Release the model and the threads."""
        self._threads.shutdown()
        self._cache.clear()
        self._model = self._pool = self._own_encoder = None

    @property
    def _main(self) -> Whisper:
        assert self._model is not None, "the backend is closed"
        return self._model

    def _workers(self, wanted: bool) -> Whisper | None:
        """The model with one thread for each of several workers, when that is wanted.

        Threads that work on windows of their own never wait for each other. CTranslate2 fixes the threads
        when a model is loaded, so this is a second copy of the weights: only for small models, which gain
        most.
        """
        if wanted and self._pool is None and self._start_workers is not None:
            self._pool = self._start_workers()
        return self._pool if wanted else None

    def _encoded(self, windows: Sequence[Window]) -> list[Features]:
        with stage("encoder"):
            return self._cache.get(windows, self._encode)

    def _encode(self, windows: Sequence[Window]) -> list[Features]:
        """Encoder output of each window, shape (1500 or fewer, d_model), in main memory."""
        n_mels = self.capabilities.n_mels
        if self._own_encoder:
            return [self._own_encoder(context_mel(window, n_mels, self._contexts)) for window in windows]
        on_gpu = self.capabilities.device != "cpu"
        workers = self._workers(len(windows) > 1)

        def encode(batch: Sequence[Features]) -> Features:
            mel = np.stack(batch)
            with translated(self._folder):
                output = (workers or self._main).encode(storage(mel), to_cpu=on_gpu)
                return np.asarray(output.to(ctranslate2.DataType.float32))

        def encode_one(window: Window) -> Features:
            states: Features = encode([context_mel(window, n_mels, self._contexts)])[0]
            return states

        if not on_gpu:
            return list(self._threads.map(encode_one, windows) if workers else map(encode_one, windows))
        mels = [context_mel(window, n_mels, self._contexts) for window in windows]
        output: dict[int, Features] = {}
        for group in alike([mel.shape for mel in mels]):
            output.update(zip(group, encode([mels[position] for position in group]), strict=True))
        return [output[position] for position in range(len(windows))]

    def _sampler(self, windows: Sequence[Window], temperature: float) -> Whisper:
        """The model in a worker whose random numbers begin anew with each batch of windows.

        CTranslate2 seeds a worker's generator once, when it first draws (`src/random.cc`), so only a new
        worker honours a seed, and a new worker loads the weights. The higher temperatures of a batch, for
        those of its windows that need them, go on with its numbers: a batch is answered as a whole.
        """
        sampled, last = self._sampled
        if not (sampled.issuperset(windows) and temperature > last):
            ctranslate2.set_random_seed(seed_of(windows, temperature))
            if sampled:
                self._model = None  # not both in memory
                self._model = self._start()
            sampled = frozenset(windows)
        self._sampled = sampled, temperature
        return self._main

    def _search(
        self,
        windows: Sequence[Window],
        encoded: Sequence[Features],
        prompts: Sequence[list[int]],
        options: DecodeOptions,
    ) -> list[WhisperGenerationResult]:
        """Generate for every window; the windows of one call must have prompts of one length."""
        if options.temperature > 0:
            sampler = self._sampler(windows, options.temperature)
            # In one worker one window after the other: several would draw in an order of their own.
            return [
                self._generate(sampler, [features], [prompt], options)[0]
                for features, prompt in zip(encoded, prompts, strict=True)
            ]
        workers = self._workers(len(encoded) > 1 or self._narrow)
        groups = alike(
            range(len(prompts))
            if workers
            else [(len(prompt), len(features)) for prompt, features in zip(prompts, encoded, strict=True)]
        )
        started = [
            self._generate(
                workers or self._main,
                [encoded[position] for position in group],
                [prompts[position] for position in group],
                options,
                asynchronous=True,
            )
            for group in groups
        ]
        found = {
            position: pending.result()
            for group, batch in zip(groups, started, strict=True)
            for position, pending in zip(group, batch, strict=True)
        }
        return [found[position] for position in range(len(prompts))]

    def _generate(
        self,
        model: Whisper,
        encoded: Sequence[Features],
        prompts: Sequence[list[int]],
        options: DecodeOptions,
        asynchronous: bool = False,
    ) -> list[WhisperGenerationResult]:
        n_new = new_tokens(prompts[0], options)
        given = len(prompts[0]) - 1  # CTranslate2 counts the prompt without its last token
        if options.temperature > 0:
            search = {
                "beam_size": 1,
                "num_hypotheses": options.best_of,
                "sampling_topk": 0,
                "sampling_temperature": options.temperature,
            }
        else:
            search = {"beam_size": options.beam_size, "patience": options.patience}
        return model.generate(  # type: ignore[no-any-return]  # the library has no annotations
            storage(np.stack(encoded)),
            prompts,
            asynchronous=asynchronous,
            length_penalty=_length_penalty(options),
            repetition_penalty=options.repetition_penalty,
            no_repeat_ngram_size=options.no_repeat_ngram_size,
            # CTranslate2 stops after min(max_length / 2, max_length - given) tokens.
            max_length=max(2 * n_new, n_new + given),
            return_scores=True,
            return_no_speech_prob=True,
            suppress_blank=options.suppress_blank,
            suppress_tokens=self.tokenizer.suppressed(options.suppress_tokens),
            max_initial_timestamp_index=last_initial_timestamp(options),
            **search,
        )


def _length_penalty(options: DecodeOptions) -> float:
    """0 for greedy search, where nothing is ranked: the score of an empty text would be divided by 0."""
    return 0.0 if options.temperature == 0 and options.beam_size == 1 else options.length_penalty


def _avg_logprob(result: WhisperGenerationResult, length_penalty: float) -> float:
    """The score, which is a sum divided by ``length ** penalty`` without end-of-text, as a mean with it.

    An empty text loses its score to a division by 0, so it wins a ranking only when every candidate is empty:
    then it was as good as certain.
    """
    length = len(result.sequences_ids[0])
    if not np.isfinite(result.scores[0]):
        return 0.0
    return float(result.scores[0] * length**length_penalty / (length + 1))
