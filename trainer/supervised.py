"""The supervised loop: a recipe, recordings with text, and a network trained from scratch.

`python -m distilcli.trainer.supervised --config recipe.toml [--set train.lr=1e-3]`. It composes the other
modules; it does not know how windows are planned or files are written.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from distilcli.converters.tokenizer_files import whisper_tokenizer
from distilcli.errors import DistilError
from distilcli.tokens import SECONDS_PER_TIMESTAMP, Tokenizer
from distilcli.trainer import checkpoint, losses
from distilcli.trainer.batches import Batch, make_batch
from distilcli.trainer.config import PhaseOptions, Recipe, TrainOptions, load_recipe
from distilcli.trainer.data import Bank, open_bank
from distilcli.trainer.network import EMBEDDINGS, Network, watched_attention
from distilcli.trainer.only_writer import only_writer
from distilcli.trainer.schedule import scale
from distilcli.trainer.vocabulary import CompactVocabulary
from distilcli.trainer.warm_start import begin, open_start
from distilcli.trainer.windows import Sampler, WindowPlan

VALIDATION_SEED = 0
VALIDATION_BATCHES = 4


@dataclass(kw_only=True, slots=True)
class Sums:
    """Running sums of one step's micro-batches, for the log."""

    tokens: int = 0
    cross_entropy: float = 0.0
    ctc: float = 0.0
    guide: float = 0.0
    seconds: float = 0.0
    gradient_norm: float = 0.0

    def row(self) -> dict[str, object]:
        """Returns the values of one line of `metrics.jsonl`; losses as they enter the sum."""
        names = ("cross_entropy", "ctc", "guide", "gradient_norm")
        return {name: round(getattr(self, name), 4) for name in names}


@dataclass(kw_only=True, slots=True)
class Trainer:
    """A network with its data, optimisers and place in the recipe; all of it is saved in a checkpoint."""

    recipe: Recipe
    bank: Bank
    validation: Bank | None
    tokenizer: Tokenizer
    sampler: Sampler
    vocabulary: CompactVocabulary
    network: Network
    optimizers: list[torch.optim.Optimizer]
    step: int = 0
    batches: list[list[WindowPlan]] = field(default_factory=list)
    """Planned batches of the current bucket that are left."""
    bucket_state: dict[str, object] = field(default_factory=dict)
    """The sampler's state before the current bucket was planned."""
    bucket_phase: int = 0
    """Phase that the current bucket was planned for."""

    def phase(self) -> tuple[int, PhaseOptions, float]:
        """Returns number, options and progress (0 to 1) of the phase that the current step belongs to."""
        start = 0
        for number, phase in enumerate(self.recipe.phases):
            if self.step < start + phase.steps or number == len(self.recipe.phases) - 1:
                return number, phase, (self.step - start) / max(phase.steps - 1, 1)
            start += phase.steps
        raise AssertionError("a recipe has at least one phase")

    def next_plans(self) -> list[WindowPlan]:
        """Returns the next batch's windows; a new phase discards what was planned for the old one."""
        number, phase, _ = self.phase()
        if not self.batches or number != self.bucket_phase:
            self.bucket_state = self.sampler.state()
            self.batches, self.bucket_phase = self.sampler.next_bucket(phase), number
        return self.batches.pop(0)

    def losses(
        self, batch: Batch, phase: PhaseOptions, progress: float
    ) -> tuple[Tensor, Tensor, Tensor, int]:
        """Returns the summed cross-entropy, the weighted guide and CTC losses, and the number of tokens."""
        ctc_weight, guide_weight = _between(phase.ctc, progress), _between(phase.guide, progress)
        network = self.network
        bfloat16 = self.recipe.train.dtype == "bfloat16"
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16):
            encoded = network.encode(batch.mel)
            zero = torch.zeros(())
            if guide_weight:
                with watched_attention(network) as attention:
                    hidden = network.decode(batch.inputs, encoded)
            else:
                attention, hidden = [], network.decode(batch.inputs, encoded)
            summed, tokens = losses.token_cross_entropy(
                hidden, network.rows, batch.targets, self.vocabulary.log_multiplicity()
            )
            letters = network.characters(encoded) if ctc_weight else zero
        ctc = losses.ctc(letters, batch.characters, batch.positions) if ctc_weight else zero
        guide = zero
        for weights in attention:
            grid = torch.arange(weights.shape[-1]) * SECONDS_PER_TIMESTAMP
            guided = weights[:, : max(weights.shape[1] // 2, 1)]  # the other heads stay free
            guide = guide + losses.guided_attention(guided, batch.times, grid, self.recipe.train.sigma)
        return summed, guide_weight * guide, ctc_weight * ctc, tokens

    def train_step(self) -> Sums:
        """One optimiser step over all micro-batches, every token weighing the same."""
        _, phase, progress = self.phase()
        train = self.recipe.train
        batches = [
            make_batch(self.next_plans(), self.bank, self.vocabulary, self.recipe.model.mels)
            for _ in range(train.accumulate)
        ]
        total = sum(int((batch.targets != losses.IGNORED).sum()) for batch in batches)
        sums = Sums(tokens=total)
        for batch in batches:
            summed, guide, ctc, tokens = self.losses(batch, phase, progress)
            loss = summed / total + (guide + ctc) * (tokens / total)
            loss.backward()
            sums.cross_entropy += float(summed.detach()) / total
            sums.ctc += float(ctc.detach()) * tokens / total
            sums.guide += float(guide.detach()) * tokens / total
            sums.seconds += batch.seconds
        if not math.isfinite(sums.cross_entropy + sums.ctc + sums.guide):
            raise DistilError(
                f"the loss is not finite at step {self.step}: {sums}",
                hint="the last checkpoint is intact; resume with a lower train.lr",
            )
        parameters = [p for p in self.network.parameters() if p.grad is not None]
        sums.gradient_norm = float(torch.nn.utils.clip_grad_norm_(parameters, train.clip))
        factor = scale(self.step, warmup=train.warmup, total=self.recipe.total_steps, shape=train.schedule)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = train.lr * factor
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.step += 1
        return sums

    def validate(self) -> float:
        """Returns nats per token on validation recordings, in windows that are always the same."""
        assert self.validation is not None
        _, phase, _ = self.phase()
        language = self.recipe.data.language
        sampler = Sampler(self.validation.utterances, self.tokenizer.vocab, VALIDATION_SEED, language)
        plain = dataclasses.replace(phase, ctc=(0.0, 0.0), guide=(0.0, 0.0))
        nats, tokens = 0.0, 0
        self.network.eval()
        with torch.no_grad():
            for plans in sampler.next_bucket(plain)[:VALIDATION_BATCHES]:
                batch = make_batch(plans, self.validation, self.vocabulary, self.recipe.model.mels)
                summed, _, _, count = self.losses(batch, plain, 0.0)
                nats, tokens = nats + float(summed), tokens + count
        self.network.train()
        return nats / tokens

    def state(self) -> dict[str, object]:
        """Returns everything that the rest of the run depends on."""
        return {
            "step": self.step,
            "model": dataclasses.asdict(self.recipe.model),
            "kept": list(self.vocabulary.kept),
            "size": self.vocabulary.size,
            "network": self.network.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "bucket_state": self.bucket_state,
            "bucket_phase": self.bucket_phase,
            "batches_left": len(self.batches),
            "random": torch.get_rng_state(),
        }

    def restore(self, state: dict[str, object]) -> None:
        """Goes on from `state()`."""
        self.step = state["step"]  # type: ignore[assignment]  # a checkpoint's values have known types
        self._grow(state)
        self.network.load_state_dict(state["network"])  # type: ignore[arg-type]
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):  # type: ignore[call-overload]
            optimizer.load_state_dict(saved)
        self.bucket_state, self.bucket_phase = state["bucket_state"], state["bucket_phase"]  # type: ignore[assignment]
        if self.bucket_state:
            self.sampler.restore(self.bucket_state)
            planned = self.sampler.next_bucket(self.recipe.phases[self.bucket_phase])
            left = int(state["batches_left"])  # type: ignore[call-overload]
            self.batches = planned[len(planned) - left :]
        torch.set_rng_state(state["random"])  # type: ignore[arg-type]

    def _grow(self, state: dict[str, object]) -> None:
        """Gives tokens of newly added recordings rows of their own in a saved state."""
        saved = CompactVocabulary(state["kept"], self.vocabulary.size)  # type: ignore[arg-type]  # a list of ids
        if saved.kept == self.vocabulary.kept:
            return
        network: dict[str, Tensor] = state["network"]  # type: ignore[assignment]
        for name in EMBEDDINGS:
            network[name] = self.vocabulary.adopt(network[name], saved)
        for optimizer in state["optimizers"]:  # type: ignore[attr-defined]
            for moments in optimizer["state"].values():
                for name, value in moments.items():
                    if value.shape == (saved.rows, self.recipe.model.width):
                        moments[name] = self.vocabulary.adopt(value, saved)


def _between(ends: tuple[float, float], progress: float) -> float:
    """Interpolates a weight linearly over a phase."""
    return ends[0] + (ends[1] - ends[0]) * progress


def kept_tokens(bank: Bank, tokenizer: Tokenizer, language: str) -> list[int]:
    """Returns the ids worth a row of their own: text that occurs, bytes, letters, timestamps, prompts."""
    vocab = tokenizer.vocab
    kept = {token for utterance in bank.utterances for token in utterance.tokens}
    kept.update(range(256))  # the first 256 ids are the single bytes
    for letter in "abcdefghijklmnopqrstuvwxyz":
        kept.update(tokenizer.encode(f" {letter}") + tokenizer.encode(f" {letter.upper()}"))
    kept.update(
        (vocab.eot, vocab.sot, vocab.transcribe, vocab.sot_prev, vocab.no_speech, vocab.no_timestamps)
    )
    if vocab.multilingual:
        kept.add(vocab.language(language))
    kept.update(range(vocab.timestamp_begin, vocab.size))
    return sorted(kept)


def make_optimizers(network: Network, train: TrainOptions) -> list[torch.optim.Optimizer]:
    """Returns AdamW over everything, or Muon over the matrices inside layers and AdamW over the rest."""
    inner = [p for name, p in network.named_parameters() if ".layers." in name and p.ndim == 2]
    taken = {id(p) for p in inner} if train.optimizer == "muon" else set()
    rest = [p for p in network.parameters() if p.requires_grad and id(p) not in taken]
    matrices, vectors = [p for p in rest if p.ndim > 1], [p for p in rest if p.ndim == 1]
    groups = [
        {"params": matrices, "weight_decay": train.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    adamw = torch.optim.AdamW(groups, lr=train.lr, betas=(0.9, 0.98), eps=1e-8)
    if train.optimizer != "muon":
        return [adamw]
    muon = torch.optim.Muon(
        inner, lr=train.lr, weight_decay=train.weight_decay, momentum=0.95, adjust_lr_fn="match_rms_adamw"
    )
    return [adamw, muon]


def prepare(recipe: Recipe) -> Trainer:
    """Opens the data, makes the network from the seed or its start, and restores the newest checkpoint."""
    torch.set_num_threads(recipe.train.threads)
    torch.manual_seed(recipe.train.seed)
    tokenizer = (
        Tokenizer.from_folder(Path(recipe.data.tokenizer))
        if recipe.data.tokenizer
        else whisper_tokenizer(recipe.data.vocabulary_size)
    )
    run = Path(recipe.run)
    bank = open_bank([Path(name) for name in recipe.data.manifests], tokenizer, run / "cache")
    names = [Path(name) for name in recipe.data.validation]
    validation = open_bank(names, tokenizer, run / "cache") if names else None
    for line in (*bank.rejected, *(validation.rejected if validation else ())):
        sys.stderr.write(f"skipped {line}\n")
    found = checkpoint.listed(run)
    saved = checkpoint.load(found[-1]) if found else None
    start = open_start(recipe.model, tokenizer.vocab.size) if recipe.model.start and not saved else None
    kept = kept_tokens(bank, tokenizer, recipe.data.language)
    before: Iterable[int] = start.vocabulary.kept if start else ()
    if saved:
        before = saved["kept"]  # type: ignore[assignment]  # a list of ids
    vocabulary = CompactVocabulary((*kept, *before), tokenizer.vocab.size)
    network = Network(recipe.model, vocabulary.rows)
    network.place_timestamps(vocabulary.kept.index(tokenizer.vocab.timestamp_begin))
    if start:
        begin(network, vocabulary, start)
    sampler = Sampler(bank.utterances, tokenizer.vocab, recipe.train.seed, recipe.data.language)
    trainer = Trainer(
        recipe=recipe,
        bank=bank,
        validation=validation,
        tokenizer=tokenizer,
        sampler=sampler,
        vocabulary=vocabulary,
        network=network,
        optimizers=make_optimizers(network, recipe.train),
    )
    if saved:
        trainer.restore(saved)
    return trainer


def run_recipe(recipe: Recipe, on_progress: Callable[[int, int], None] | None = None) -> Trainer:
    """Trains to the end of the recipe, writing `metrics.jsonl` and checkpoints into the run's folder.

    `on_progress` hears after every step how many are done, and how many there are.

    Raises:
        UsageError: weights to start from that are not there or do not fit.
        NoInputError: no usable recordings.
        OutputError: the folder cannot be written, or another run is at it.
        DistilError: a loss that is not finite.
    """
    with only_writer(Path(recipe.run), "checkpoints"):
        trainer = prepare(recipe)
        _train(trainer, on_progress)
    return trainer


def _train(trainer: Trainer, on_progress: Callable[[int, int], None] | None) -> None:
    """Takes the steps that are left."""
    recipe = trainer.recipe
    run, train = Path(recipe.run), recipe.train
    began, seconds = time.monotonic(), 0.0
    with (run / "metrics.jsonl").open("a", encoding="utf-8") as metrics:
        while trainer.step < recipe.total_steps:
            sums = trainer.train_step()
            seconds += sums.seconds
            last = trainer.step == recipe.total_steps
            row: dict[str, object] = {}
            if trainer.step % train.log_every == 0 or last:
                now = time.monotonic()
                row |= sums.row() | {"audio_seconds_per_second": round(seconds / (now - began), 1)}
                began, seconds = now, 0.0
            if trainer.validation and (trainer.step % train.validate_every == 0 or last):
                row["validation"] = round(trainer.validate(), 4)
            if row:
                place = {"step": trainer.step, "phase": trainer.phase()[1].name}
                metrics.write(json.dumps(place | row) + "\n")
                metrics.flush()
            if trainer.step % train.checkpoint_every == 0 or last:
                checkpoint.save(run, trainer.step, trainer.state(), train.keep_checkpoints)
            if on_progress:
                on_progress(trainer.step, recipe.total_steps)


def main(arguments: list[str] | None = None) -> int:
    """Command line of the loop."""
    parser = argparse.ArgumentParser(description="Train a small Whisper from recordings with text.")
    parser.add_argument("--config", type=Path, required=True, help="recipe (TOML)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="override one option"
    )
    parsed = parser.parse_args(arguments)
    try:
        run_recipe(load_recipe(parsed.config, parsed.set))
    except DistilError as error:
        sys.stderr.write(f"error: {error.message}\n")
        if error.hint:
            sys.stderr.write(f"hint: {error.hint}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
