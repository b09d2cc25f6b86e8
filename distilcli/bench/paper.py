"""What the measurements of the Distil-Whisper paper need on one's own recordings: cases, and sets with noise.

Knows no process and no clock; `tables` shows what came out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from distilcli.bench.noise import PINK, RECORDED, WHITE, NoiseSource, alone, noisy, recordings_in
from distilcli.bench.values import OURS, Case, ClipSet
from distilcli.errors import UsageError


@dataclass(frozen=True, kw_only=True, slots=True)
class PaperAsked:
    """What is measured besides the grid of cases.

    Attributes:
        speculative: ``MODEL+DRAFT``: the model alone and with the draft model.
        noise: signal-to-noise ratios in dB; with any, noise alone is heard too.
        noise_kinds: white, pink, recorded.
        noise_folder: recordings for the kind recorded.
        chunk_lengths: windows of the chunked strategy in seconds.
        seed: of the noise.
    """

    speculative: tuple[str, ...] = ()
    noise: tuple[float, ...] = ()
    noise_kinds: tuple[str, ...] = (WHITE, PINK)
    noise_folder: Path | None = None
    chunk_lengths: tuple[float, ...] = ()
    seed: int = 0


def paper_cases(base: Case, asked: PaperAsked) -> tuple[Case, ...]:
    """The cases that are asked for besides `base`.

    Speculative decoding is greedy, one window at a time, without retries, with the transformers backend.

    Raises:
        UsageError: a pair of models is not ``MODEL+DRAFT``.
    """
    found: list[Case] = []
    for pair in asked.speculative:
        model, _, draft = pair.partition("+")
        if not model or not draft:
            raise UsageError(
                f"--speculative expects MODEL+DRAFT, such as large-v3+distil-large-v3, not '{pair}'"
            )
        plain = replace(
            base,
            system=OURS,
            model=model,
            backend="transformers",
            compute_type=base.compute_type if base.backend == "transformers" else "auto",
            strategy="sequential",
            batch_size=1,
            beam_size=1,
            temperatures=(0.0,),
        )
        found += [plain, replace(plain, assistant=draft)]
    found += [
        replace(base, system=OURS, strategy="chunked", chunk_length=seconds)
        for seconds in asked.chunk_lengths
    ]
    return tuple(case for case in dict.fromkeys(found) if case != base)


def paper_data(sets: Sequence[ClipSet], asked: PaperAsked, folder: Path) -> tuple[ClipSet, ...]:
    """The sets with noise, and noise alone, that are asked for besides `sets`; wav files go to `folder`.

    Raises:
        DistilError: a recording, of speech or of noise, cannot be read.
    """
    if not asked.noise:
        return ()
    recordings = recordings_in(asked.noise_folder) if asked.noise_folder is not None else {}
    kinds = asked.noise_kinds
    if recordings and RECORDED not in kinds:
        kinds = (*kinds, RECORDED)
    source = NoiseSource(kinds, recordings, asked.seed)
    found = [one for clips in sets for one in noisy(clips, asked.noise, source, folder)]
    return (*found, alone(source, folder))
