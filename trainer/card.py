"""The model card: what a student is, how it was made, how good it is, how to use it; ready for the hub.

It turns values into Markdown; it does not read a run's folder and uploads nothing.
"""

from __future__ import annotations

import json

from distilcli.trainer.recipe import DistilRecipe
from distilcli.trainer.report import MODES, ReportData, millions, of_mode
from distilcli.trainer.scores import Score


def render_card(data: ReportData, recipe: DistilRecipe, base_model: str | None = None) -> str:
    """Returns the text of `README.md`.

    Args:
        data: what the report shows.
        recipe: options of the run.
        base_model: repository of the teacher on the hub, where it has one.
    """
    parts = [_front_matter(data, recipe, base_model), f"# {data.title}\n", _what(data, recipe, base_model)]
    if data.results.scores:
        parts += ["## Error rates\n", _table(data)]
    parts += [
        "## Use\n",
        _use(recipe.report.push_to_hub or "PATH_OR_NAME"),
        "## How it was made\n",
        _how(data, recipe),
    ]
    parts += ["## Limits\n", _limits(recipe)]
    return "\n".join(parts)


def _front_matter(data: ReportData, recipe: DistilRecipe, base_model: str | None) -> str:
    """The card's YAML; values are written as JSON, which is YAML."""
    table: dict[str, object] = {
        "language": [language for language in _languages(recipe) if language],
        "library_name": "transformers",
        "pipeline_tag": "automatic-speech-recognition",
        "tags": ["whisper", "distil-whisper", "distilcli"],
    }
    if base_model:
        table["base_model"] = base_model
    metrics = [
        {
            "type": "wer",
            "name": f"{score.unit} error rate, {MODES[score.mode]}",
            "value": round(score.rate.value, 2),
        }
        for score in data.results.scores
        if score.model == "student" and score.snr is None
    ]
    if metrics:
        task = {"type": "automatic-speech-recognition", "name": "speech recognition"}
        dataset = {"type": "validation", "name": "the recipe's validation recordings"}
        table["model-index"] = [
            {"name": data.title, "results": [{"task": task, "dataset": dataset, "metrics": metrics}]}
        ]
    lines = [f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in table.items()]
    return "\n".join(["---", *lines, "---", ""])


def _what(data: ReportData, recipe: DistilRecipe, base_model: str | None) -> str:
    student = data.models.get("student")
    shape = (
        f"A Whisper of {millions(student)} parameters: {student.encoder_layers} encoder and "
        f"{student.decoder_layers} decoder layers of width {student.width}"
        if student
        else "A Whisper"
    )
    origin = base_model or recipe.teacher.model or recipe.teacher.recipe
    source = f", distilled from `{origin}`" if origin else f", fine-tuned from `{recipe.init.student}`"
    return f"{shape}{source} with distilcli.\n"


def _table(data: ReportData) -> str:
    rows = ["| mode | model | error rate | 95 % interval | ins. | del. | subst. | audio per time |"]
    rows.append("|---|---|---|---|---|---|---|---|")
    for mode, name in MODES.items():
        rows += [_row(name, score) for score in of_mode(data.results, mode)]
    first = data.results.scores[0]
    rows.append(
        f"\nPer cent of {first.unit}s, normalised, {first.recordings:,} validation recordings, "
        f"{first.audio_seconds / 3600:.2f} h. Details, noise and recordings: `report.html`.\n"
    )
    return "\n".join(rows)


def _row(mode: str, score: Score) -> str:
    rate = score.rate
    kinds = " | ".join(f"{part:.2f}" for part in (score.insertions, score.deletions, score.substitutions))
    return (
        f"| {mode} | {score.model} | {rate.value:.2f} % | {rate.low:.2f} to {rate.high:.2f} | {kinds} "
        f"| {score.rtfx:,.1f} × |"
    )


def _use(name: str) -> str:
    return f"""```
distilcli transcribe talk.mp3 --model {name}
```

or with Transformers:

```python
from transformers import pipeline

print(pipeline("automatic-speech-recognition", "{name}")("talk.mp3", return_timestamps=True)["text"])
```
"""


def _how(data: ReportData, recipe: DistilRecipe) -> str:
    lines = [f"Data: {', '.join(source.path or source.dataset for source in recipe.data.sources)}."]
    if data.filtered is not None:
        facts = data.filtered
        dropped = sum(one.recordings for one in facts.dropped)
        lines.append(
            f"The filter kept {facts.kept:,} recordings ({facts.kept_hours:.2f} h) and dropped {dropped:,}."
        )
    options = recipe.distil
    per_step = options.batch_size * options.accumulate
    lines.append(
        f"{options.steps:,} steps of {per_step} windows per device, learning rate {options.lr:g} "
        f"({options.schedule}, {options.warmup} steps of warm-up), {options.dtype}."
    )
    weights = f"{options.ce_weight:g} · cross-entropy"
    if options.kl_weight:
        weights += f" + {options.kl_weight:g} · KL divergence (temperature {options.temperature:g})"
    if options.mse_weight:
        weights += f" + {options.mse_weight:g} · squared distance of decoder states"
    lines.append(f"Loss: {weights}.")
    return "\n".join(lines) + "\n"


def _limits(recipe: DistilRecipe) -> str:
    languages = ", ".join(language or "detected languages" for language in _languages(recipe))
    return (
        f"Trained on {languages}. Other languages, and recordings unlike those it was trained on, were not "
        "measured. A student repeats its teacher's mistakes.\n\n"
        "The licence is that of the teacher and of the data.\n"
    )


def _languages(recipe: DistilRecipe) -> list[str]:
    """Codes of the languages of all sources."""
    return sorted({one.language or recipe.data.language for one in recipe.data.sources})
