"""Line, scatter and bar charts as inline SVG in the page's colours. Knows numbers, not what they mean."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 520, 270
LEFT, RIGHT, TOP, BOTTOM = 54, 14, 14, 40
COLOURS = 9
"""Classes c0 to c8 of the style sheet."""

_MARGIN = 12
"""Space beside the first and the last point of a scatter chart, whose discs would be cut."""

MOST_POINTS = 400
"""Longer series are thinned: a pixel of a phone has room for no more."""


@dataclass(frozen=True, slots=True)
class Series:
    """One named line; points in order of x. `colour` is a number from 0; `spread` (low, high) per point."""

    name: str
    points: Sequence[tuple[float, float]]
    colour: int = 0
    spread: Sequence[tuple[float, float]] = ()
    dots: bool = False


@dataclass(frozen=True, slots=True)
class Bar:
    """One named bar; `note` stands behind it."""

    name: str
    value: float
    note: str = ""


@dataclass(frozen=True, slots=True)
class Dot:
    """One named point of a scatter chart; `spread` (low, high) is that of y."""

    name: str
    x: float
    y: float
    colour: int = 0
    spread: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Stack:
    """One named bar of parts: name of a part -> its value, not below 0."""

    name: str
    parts: Mapping[str, float]
    note: str = ""


def line_chart(series: Sequence[Series], *, x_label: str, y_label: str, log_y: bool = False) -> str:
    """Draws series over a common x axis; returns an SVG element, empty text where there is nothing to draw.

    Args:
        series: points that are not finite are left out, and with `log_y` those that are not above 0.
        x_label: what x counts.
        y_label: unit of y.
        log_y: logarithmic y axis.
    """
    shown = [_finite(one, log_y) for one in series]
    shown = [one for one in shown if one.points]
    if not shown:
        return ""
    xs = [x for one in shown for x, _ in one.points]
    ys = [y for one in shown for _, y in one.points] + [
        y for one in shown for ends in one.spread for y in ends
    ]
    x_axis = _Axis.over(min(xs), max(xs), LEFT, WIDTH - RIGHT)
    y_axis = _Axis.over(min(ys), max(ys), HEIGHT - BOTTOM, TOP, log=log_y, round_out=True)
    parts = [_grid(x_axis, y_axis), *(_line(one, x_axis, y_axis) for one in shown)]
    parts.append(_x_label(x_label))
    label = ", ".join(one.name for one in shown)
    legend = "".join(f'<span class="key c{one.colour % COLOURS}">{escape(one.name)}</span>' for one in shown)
    return (
        f'<figure><figcaption><span class="unit">{escape(y_label)}</span> {legend}</figcaption>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)} over {escape(x_label)}">'
        f"{''.join(parts)}</svg></figure>"
    )


def scatter_chart(dots: Sequence[Dot], *, x_label: str, y_label: str, log_x: bool = False) -> str:
    """Draws numbered points, with a list of their names under the chart; empty text without points.

    Args:
        dots: points that are not finite are left out, and with `log_x` those whose x is not above 0.
        x_label: what x counts.
        y_label: unit of y.
        log_x: logarithmic x axis, which spans a factor of 2 at least.

    The y axis begins at 0.
    """
    shown = [
        dot for dot in dots if math.isfinite(dot.x) and math.isfinite(dot.y) and (dot.x > 0 or not log_x)
    ]
    if not shown:
        return ""
    xs = [dot.x for dot in shown]
    ys = [y for dot in shown for y in (dot.y, *(dot.spread or ()))]
    low, high = _widened(min(xs), max(xs)) if log_x else (min(xs), max(xs))
    x_axis = _Axis.over(low, high, LEFT + _MARGIN, WIDTH - RIGHT - _MARGIN, log=log_x)
    y_axis = _Axis.over(min(0.0, *ys), max(ys), HEIGHT - BOTTOM, TOP, round_out=True)
    marks = "".join(_mark(number, dot, x_axis, y_axis) for number, dot in enumerate(shown, 1))
    names = "".join(f"<li>{escape(dot.name)}</li>" for dot in shown)
    label = escape(f"{y_label} over {x_label}")
    return (
        f'<figure><figcaption><span class="unit">{escape(y_label)}</span></figcaption>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">'
        f"{_grid(x_axis, y_axis)}{_x_label(x_label)}{marks}</svg>"
        f'<ol class="names">{names}</ol></figure>'
    )


def stacked_chart(stacks: Sequence[Stack], *, unit: str) -> str:
    """Draws horizontal bars of coloured parts, as a list; empty text without bars."""
    largest = max((sum(stack.parts.values()) for stack in stacks), default=0.0)
    if largest <= 0:
        return ""
    colours = {name: number for number, name in enumerate(dict.fromkeys(n for s in stacks for n in s.parts))}
    rows = "".join(
        f'<li><span class="name">{escape(stack.name)}</span><span class="track">'
        + "".join(
            f'<i class="part c{colours[name] % COLOURS}" style="width:{100 * value / largest:.2f}%" '
            f'title="{escape(name)}: {value:,.4g} {escape(unit)}"></i>'
            for name, value in stack.parts.items()
        )
        + f'</span><span class="value">{sum(stack.parts.values()):,.4g} {escape(unit)}</span>'
        f'<span class="note">{escape(stack.note)}</span></li>'
        for stack in stacks
    )
    legend = "".join(f'<span class="key c{n % COLOURS}">{escape(name)}</span>' for name, n in colours.items())
    return f'<figure><figcaption>{legend}</figcaption><ul class="bars stacked">{rows}</ul></figure>'


def bar_chart(bars: Sequence[Bar], *, unit: str) -> str:
    """Draws horizontal bars as a list, readable at any width; empty text without bars."""
    if not bars:
        return ""
    largest = max(bar.value for bar in bars) or 1.0
    rows = "".join(
        f'<li><span class="name">{escape(bar.name)}</span>'
        f'<span class="track"><i style="width:{100 * bar.value / largest:.1f}%"></i></span>'
        f'<span class="value">{bar.value:,.4g} {escape(unit)}</span>'
        f'<span class="note">{escape(bar.note)}</span></li>'
        for bar in bars
    )
    return f'<ul class="bars">{rows}</ul>'


@dataclass(frozen=True, slots=True)
class _Axis:
    """Maps values to pixels; `ticks` lie on round values."""

    low: float
    high: float
    start: float
    end: float
    log: bool
    ticks: tuple[float, ...]

    @classmethod
    def over(
        cls, low: float, high: float, start: float, end: float, *, log: bool = False, round_out: bool = False
    ) -> _Axis:
        if high <= low:
            low, high = (low / 2, high * 2) if log else (low - 0.5, high + 0.5)
        ticks = log_ticks(low, high) if log else round_ticks(low, high)
        if round_out and not log:
            step = ticks[1] - ticks[0] if len(ticks) > 1 else high - low
            low, high = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
            ticks = round_ticks(low, high)
        return cls(low, high, start, end, log, ticks)

    def at(self, value: float) -> float:
        """Pixel of a value."""
        low, high, value = (
            (math.log(one) for one in (self.low, self.high, value))
            if self.log
            else (self.low, self.high, value)
        )
        return self.start + (value - low) / (high - low) * (self.end - self.start)


def round_ticks(low: float, high: float, most: int = 6) -> tuple[float, ...]:
    """Multiples of 1, 2 or 5 times a power of ten between two values, at most about `most` of them."""
    raw = (high - low) / most
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return tuple(round(number * step, 12) for number in range(first, last + 1))


def log_ticks(low: float, high: float) -> tuple[float, ...]:
    """1, 2 and 5 times powers of ten between two values above 0; round values where these are too few."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [factor * 10.0**power for power in powers for factor in (1, 2, 5)]
    found = tuple(tick for tick in ticks if low <= tick <= high)
    return found if len(found) > 1 else round_ticks(low, high)


def _widened(low: float, high: float, factor: float = 2.0) -> tuple[float, float]:
    """Ends of a logarithmic axis, `factor` apart at least: points that lie close are not torn apart."""
    missing = max(1.0, factor / (high / low))
    return low / math.sqrt(missing), high * math.sqrt(missing)


def _finite(series: Series, log_y: bool) -> Series:
    """Drops points that cannot be drawn and thins long series evenly, first and last kept."""
    kept = [
        index
        for index, (x, y) in enumerate(series.points)
        if math.isfinite(x) and math.isfinite(y) and (y > 0 or not log_y)
    ]
    stride = max(1, math.ceil(len(kept) / MOST_POINTS))
    chosen = kept[::stride]
    if kept and chosen[-1] != kept[-1]:
        chosen.append(kept[-1])
    return Series(
        series.name,
        [series.points[index] for index in chosen],
        series.colour,
        [series.spread[index] for index in chosen] if series.spread else (),
        series.dots,
    )


def _grid(x_axis: _Axis, y_axis: _Axis) -> str:
    lines = []
    for tick in y_axis.ticks:
        y = y_axis.at(tick)
        lines.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        lines.append(f'<text class="tick y" x="{LEFT - 6}" y="{y + 4:.1f}">{number(tick)}</text>')
    lines += [
        f'<text class="tick" x="{x_axis.at(tick):.1f}" y="{HEIGHT - BOTTOM + 17}">{number(tick)}</text>'
        for tick in x_axis.ticks
    ]
    return "".join(lines)


def _x_label(text: str) -> str:
    return f'<text class="axis" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 4}">{escape(text)}</text>'


def _mark(number_of: int, dot: Dot, x_axis: _Axis, y_axis: _Axis) -> str:
    """A point as a disc with its number."""
    colour, x, y = f"c{dot.colour % COLOURS}", x_axis.at(dot.x), y_axis.at(dot.y)
    spread = ""
    if dot.spread:
        low, high = (y_axis.at(end) for end in dot.spread)
        spread = f'<line class="spread {colour}" x1="{x:.1f}" x2="{x:.1f}" y1="{low:.1f}" y2="{high:.1f}"/>'
    return (
        f'{spread}<circle class="dot {colour}" cx="{x:.1f}" cy="{y:.1f}" r="8">'
        f"<title>{escape(dot.name)}: {number(dot.y)} at {number(dot.x)}</title></circle>"
        f'<text class="number" x="{x:.1f}" y="{y + 4:.1f}">{number_of}</text>'
    )


def _line(series: Series, x_axis: _Axis, y_axis: _Axis) -> str:
    colour = f"c{series.colour % COLOURS}"
    places = [(x_axis.at(x), y_axis.at(y)) for x, y in series.points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    parts = [
        f'<polyline class="line {colour}" points="{path}"><title>{escape(series.name)}</title></polyline>'
    ]
    for (x, _), (low, high) in zip(places, series.spread, strict=False):
        parts.append(
            f'<line class="spread {colour}" x1="{x:.1f}" x2="{x:.1f}" '
            f'y1="{y_axis.at(low):.1f}" y2="{y_axis.at(high):.1f}"/>'
        )
    if series.dots or len(places) == 1:
        parts += [
            f'<circle class="dot {colour}" cx="{x:.1f}" cy="{y:.1f}" r="3.5">'
            f"<title>{escape(series.name)}: {number(value[1])} at {number(value[0])}</title></circle>"
            for (x, y), value in zip(places, series.points, strict=True)
        ]
    return "".join(parts)


def number(value: float) -> str:
    """A number as short as it can be: 12,000, 0.05, 1e-05."""
    if value == int(value) and abs(value) < 1e7:
        return f"{int(value):,}"
    return f"{value:.4g}"
