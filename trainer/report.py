"""One self-contained page about a run: curves, filter, teacher beside student, worst recordings with sound.

It turns values into HTML; it does not read a run's folder (`stages` does) and measures nothing.
"""

from __future__ import annotations

import base64
import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

from distilcli.charts import Bar, Series, bar_chart, line_chart
from distilcli.intervals import Interval
from distilcli.pages import details, page, section, table, tiles
from distilcli.trainer.model_facts import ModelFacts
from distilcli.trainer.scores import Example, Results, Score
from distilcli.trainer.watch import Metrics

MODES = {"short": "short", "sequential": "long, sequential", "chunked": "long, chunked"}


@dataclass(frozen=True, kw_only=True, slots=True)
class DroppedReason:
    """Recordings that the filter left out for one reason."""

    reason: str
    recordings: int
    hours: float
    examples: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class FilterFacts:
    """What the filter kept and dropped."""

    kept: int
    kept_hours: float
    dropped: tuple[DroppedReason, ...] = ()
    error_rate: float | None = None
    """Of all labels against the texts of their sources, per cent; None: no texts."""
    kept_error_rate: float | None = None
    """The same of the labels that were kept."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportData:
    """Everything that the page shows; what is not known is left out of the page."""

    title: str
    language: str
    models: Mapping[str, ModelFacts] = field(default_factory=dict)
    """teacher and student."""
    metrics: Metrics = field(default_factory=lambda: Metrics((), ()))
    results: Results = field(default_factory=Results)
    filtered: FilterFacts | None = None
    rejected: Sequence[str] = ()
    """Recordings that could not be read, with the reason."""
    sounds: Mapping[str, bytes] = field(default_factory=dict)
    """MP3 of recordings by key."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Wall time per stage."""
    recipe: Mapping[str, object] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)


def render(data: ReportData) -> str:
    """Returns the page: one HTML document without any reference to another file."""
    sections = (
        _head(data),
        section("Training", _curves(data.metrics)),
        section("Error rates", _scores(data.results)),
        section("With noise", _noise(data.results)),
        section("Data", _filter(data.filtered, data.rejected)),
        section("Worst recordings", _worst(data.results.worst, data.sounds)),
        section("How it was made", _making(data)),
    )
    return page(data.title, sections)


def percent(interval: Interval) -> str:
    """A rate with its interval."""
    return f"{interval.value:.2f} % <small>{interval.low:.2f} to {interval.high:.2f}</small>"


def points(interval: Interval) -> str:
    """A difference of rates with its sign."""
    return f"{interval.value:+.2f} <small>{interval.low:+.2f} to {interval.high:+.2f}</small>"


def millions(facts: ModelFacts) -> str:
    """Number of parameters in words."""
    return (
        f"{facts.parameters / 1e6:,.1f} M" if facts.parameters < 1e8 else f"{facts.parameters / 1e6:,.0f} M"
    )


def of_mode(results: Results, mode: str, snr: float | None = None) -> list[Score]:
    """Scores of one mode, teacher first."""
    return [score for score in results.scores if score.mode == mode and score.snr == snr]


def _head(data: ReportData) -> str:
    figures: list[tuple[str, str]] = []
    short = of_mode(data.results, "short")
    for score in short:
        figures.append((f"{score.rate.value:.2f} %", f"{score.unit} error rate, {score.model}"))
    for difference in data.results.differences:
        if difference.mode == "short" and difference.snr is None:
            figures.append(
                (f"{difference.points.value:+.2f}", f"points, {difference.model} to {difference.baseline}")
            )
    if len(short) > 1:
        figures.append((f"{short[-1].rtfx / max(short[0].rtfx, 1e-9):.1f} ×", "speed of the teacher"))
    figures += [(millions(facts), f"parameters, {name}") for name, facts in data.models.items()]
    if data.metrics.steps:
        last = data.metrics.steps[-1]
        figures += [(f"{last.step:,}", "steps"), (f"{last.audio_hours:,.2f} h", "audio seen")]
    shapes = "; ".join(
        f"{name}: {one.encoder_layers} encoder and {one.decoder_layers} decoder layers of width {one.width}"
        for name, one in data.models.items()
    )
    return f'<h1>{escape(data.title)}</h1><p class="lead">{escape(shapes)}</p>{tiles(figures)}'


def _curves(metrics: Metrics) -> str:
    names = list(dict.fromkeys(name for row in metrics.steps for name in row.losses))
    train = [
        Series(name, [(row.step, row.losses[name]) for row in metrics.steps if name in row.losses], number)
        for number, name in enumerate(names)
    ]
    checked = list(dict.fromkeys(name for _, values in metrics.validations for name in values))
    held_out = [
        Series(
            name,
            [(step, values[name]) for step, values in metrics.validations if name in values],
            names.index(name) if name in names else len(names) + number,
            dots=True,
        )
        for number, name in enumerate(checked)
    ]
    rate = [Series("learning rate", [(row.step, row.lr) for row in metrics.steps], 3)]
    speed = [Series("tokens per second", [(row.step, row.tokens_per_second) for row in metrics.steps], 2)]
    charts = (
        line_chart(train, x_label="step", y_label="nats per token, training"),
        line_chart(held_out, x_label="step", y_label="nats per token, validation"),
        line_chart(rate, x_label="step", y_label="per step"),
        line_chart(speed, x_label="step", y_label="tokens/s"),
    )
    return f'<div class="charts">{"".join(charts)}</div>' if any(charts) else ""


def _scores(results: Results) -> str:
    rows = []
    for mode, name in MODES.items():
        for score in of_mode(results, mode):
            cells = (
                percent(score.rate),
                *(f"{part:.2f}" for part in (score.substitutions, score.deletions, score.insertions)),
                percent(score.wer_orthographic),
                percent(score.cer),
                f"{score.duplicates:,}",
                f"{score.rtfx:,.1f} ×",
            )
            rows.append((name, score.model, *cells))
        rows += [
            (name, f"{one.model} less {one.baseline}", points(one.points), *[""] * 7)
            for one in results.differences
            if one.mode == mode and one.snr is None
        ]
    if not rows:
        return ""
    first = results.scores[0]
    heads: tuple[str, ...] = (
        "mode",
        "model",
        f"{first.unit} error rate",
        "subst.",
        "del.",
        "ins.",
        "with case and punctuation",
    )
    heads += ("characters", "repeated 5-grams", "audio per time")
    note = (
        f"{first.recordings:,} recordings, {first.audio_seconds / 3600:.2f} h. Normalised unless said "
        "otherwise; small: the 95 % interval of a bootstrap over recordings. Differences are paired."
    )
    return f'<p class="note">{note}</p>{table(heads, rows)}'


def _noise(results: Results) -> str:
    levels = sorted({score.snr for score in results.scores if score.snr is not None})
    if not levels:
        return ""
    models = list(dict.fromkeys(score.model for score in results.scores))
    series = []
    for colour, model in enumerate(models):
        mine = [score for score in results.scores if score.model == model and score.snr is not None]
        mine.sort(key=lambda score: score.snr or 0.0)
        places = [(score.snr or 0.0, score.rate.value) for score in mine]
        spread = [(score.rate.low, score.rate.high) for score in mine]
        series.append(Series(model, places, colour, spread, dots=True))
    chart = line_chart(series, x_label="signal-to-noise ratio of white noise, dB", y_label="error rate, %")
    return f'<div class="charts">{chart}</div>'


def _filter(facts: FilterFacts | None, rejected: Sequence[str]) -> str:
    parts = []
    if facts is not None:
        rates = ""
        if facts.error_rate is not None and facts.kept_error_rate is not None:
            rates = (
                f" Labels against texts: {facts.error_rate:.2f} %, kept ones {facts.kept_error_rate:.2f} %."
            )
        parts.append(f"<p>{facts.kept:,} recordings kept, {facts.kept_hours:.2f} h.{rates}</p>")
        parts.append(
            bar_chart(
                [Bar(one.reason, one.hours, f"{one.recordings:,} recordings") for one in facts.dropped],
                unit="h dropped",
            )
        )
        for one in facts.dropped:
            if one.examples:
                parts.append(details(f"Examples: {one.reason}", one.examples))
    if rejected:
        parts.append(details(f"{len(rejected):,} recordings could not be used", rejected[:100]))
    return "".join(parts)


def _worst(examples: Iterable[Example], sounds: Mapping[str, bytes]) -> str:
    return "".join(_article(example, sounds.get(example.key)) for example in examples)


def _article(example: Example, sound: bytes | None) -> str:
    rates = "".join(f"<span>{escape(name)} {rate:.0f} %</span>" for name, rate in example.rates.items())
    player = ""
    if sound is not None:
        source = "data:audio/mpeg;base64," + base64.b64encode(sound).decode("ascii")
        player = f'<audio controls preload="none" src="{source}"></audio>'
    texts = f"<dt>text</dt><dd>{escape(example.reference)}</dd>"
    for name, text in example.texts.items():
        texts += f"<dt>{escape(name)}</dt><dd>{marked(example.reference, text)}</dd>"
    head = f"<header><span>{escape(example.key)}</span>{rates}</header>"
    return f"<article>{head}{player}<dl>{texts}</dl></article>"


def marked(reference: str, text: str) -> str:
    """HTML of `text` with what differs from the reference: added words underlined, missing ones struck."""
    left, right = reference.split(), text.split()
    parts: list[str] = []
    for kind, a, b, c, d in difflib.SequenceMatcher(None, left, right, autojunk=False).get_opcodes():
        if kind == "equal":
            parts.append(escape(" ".join(right[c:d])))
            continue
        if b > a:
            parts.append(f"<del>{escape(' '.join(left[a:b]))}</del>")
        if d > c:
            parts.append(f"<ins>{escape(' '.join(right[c:d]))}</ins>")
    return " ".join(parts) or "<em>nothing</em>"


def _making(data: ReportData) -> str:
    parts = []
    if data.seconds:
        bars = [Bar(name, seconds) for name, seconds in data.seconds.items()]
        parts.append(f"<h3>Time</h3>{bar_chart(bars, unit='s')}")
    if data.versions:
        rows = [(escape(name), escape(version)) for name, version in data.versions.items()]
        parts.append(f"<details><summary>Versions</summary>{table(('package', 'version'), rows)}</details>")
    if data.recipe:
        text = json.dumps(data.recipe, indent=1, ensure_ascii=False, default=str)
        parts.append(f"<details><summary>Every option</summary><pre>{escape(text)}</pre></details>")
    return "".join(parts)
