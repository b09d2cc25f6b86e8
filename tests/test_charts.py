"""Charts: values land where arithmetic says, ticks are round, and what cannot be drawn is left out."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import pytest

from distilcli.charts import (
    HEIGHT,
    MOST_POINTS,
    WIDTH,
    Bar,
    Dot,
    Series,
    Stack,
    bar_chart,
    line_chart,
    log_ticks,
    number,
    round_ticks,
    scatter_chart,
    stacked_chart,
)


def places(svg: str) -> list[tuple[float, float]]:
    """Points of the first line."""
    found = re.search(r'<polyline [^>]*points="([^"]*)"', svg)
    assert found
    return [(float(x), float(y)) for x, y in (pair.split(",") for pair in found[1].split())]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 10, (0, 2, 4, 6, 8, 10)),
        (0, 1, (0, 0.2, 0.4, 0.6, 0.8, 1)),
        (0, 80_000, (0, 20_000, 40_000, 60_000, 80_000)),
        (1.83, 2.07, (1.85, 1.9, 1.95, 2.0, 2.05)),
    ],
)
def test_ticks_are_round(low: float, high: float, expected: tuple[float, ...]) -> None:
    assert round_ticks(low, high) == pytest.approx(expected)


def test_ticks_of_a_logarithmic_axis() -> None:
    assert log_ticks(0.9, 60) == pytest.approx((1, 2, 5, 10, 20, 50))


def test_a_logarithmic_axis_without_such_values_has_round_ticks() -> None:
    assert log_ticks(13.0, 14.0) == pytest.approx((13.0, 13.2, 13.4, 13.6, 13.8, 14.0))


def test_points_that_are_close_stay_close_on_a_logarithmic_axis() -> None:
    dots = [Dot("a", 10, 14.4), Dot("b", 11, 14.4)]
    (x0, y0), (x1, y1) = discs(scatter_chart(dots, x_label="x", y_label="y", log_x=True))
    whole = discs(scatter_chart([Dot("a", 1, 14.4), Dot("b", 2, 0)], x_label="x", y_label="y", log_x=True))
    assert (x1 - x0) / (whole[1][0] - whole[0][0]) == pytest.approx(math.log2(1.1), abs=0.01)
    assert y0 == y1 == pytest.approx(whole[0][1], abs=0.11)  # both axes begin at 0


def test_a_straight_line_stays_straight_inside_the_frame() -> None:
    svg = line_chart([Series("loss", [(0, 0), (5, 5), (10, 10)])], x_label="step", y_label="nats")
    (x0, y0), (x1, y1), (x2, y2) = places(svg)
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.11)
    assert y1 - y0 == pytest.approx(y2 - y1, abs=0.11)
    assert 0 < x0 < x2 < WIDTH
    assert 0 < y2 < y0 < HEIGHT  # up is less


def test_a_logarithmic_axis_makes_powers_equally_far() -> None:
    svg = line_chart([Series("a", [(0, 1), (1, 10), (2, 100)])], x_label="x", y_label="y", log_y=True)
    ys = [y for _, y in places(svg)]
    assert ys[0] - ys[1] == pytest.approx(ys[1] - ys[2], abs=0.11)


def test_what_is_not_a_number_is_left_out() -> None:
    points = [(0, 1.0), (1, math.nan), (2, 2.0), (3, math.inf)]
    assert len(places(line_chart([Series("a", points)], x_label="x", y_label="y"))) == 2
    assert line_chart([Series("a", [(0, math.nan)])], x_label="x", y_label="y") == ""
    assert line_chart([], x_label="x", y_label="y") == ""


def test_long_series_are_thinned_and_keep_their_ends() -> None:
    svg = line_chart([Series("a", [(x, x) for x in range(10_000)])], x_label="x", y_label="y")
    found = places(svg)
    assert len(found) <= MOST_POINTS + 1
    whole = places(line_chart([Series("a", [(0, 0), (9_999, 9_999)])], x_label="x", y_label="y"))
    assert (found[0], found[-1]) == (whole[0], whole[-1])


def test_a_single_point_and_a_level_line_can_be_drawn() -> None:
    for points in ([(3, 7.0)], [(0, 2.0), (9, 2.0)], [(0, 0.0)]):
        svg = line_chart([Series("a", points)], x_label="x", y_label="y")
        assert "nan" not in svg
        assert places(svg)


def test_the_markup_is_well_formed_whatever_the_names() -> None:
    series = [Series('<b>"&', [(0, 1), (1, 2)], 1, [(0.5, 1.5), (1.5, 2.5)], dots=True)]
    chart = line_chart(series, x_label="<x>", y_label="&y")
    assert ElementTree.fromstring(chart).tag == "figure"
    assert chart.count("<circle") == 2
    bars = bar_chart([Bar("<i>", 3.0, "a & b"), Bar("none", 0.0)], unit="h")
    assert [float(w) for w in re.findall(r"width:([\d.]+)%", bars)] == [100.0, 0.0]
    assert ElementTree.fromstring(bars).tag == "ul"
    assert bar_chart([], unit="h") == ""


def discs(svg: str) -> list[tuple[float, float]]:
    """Centres of the points of a scatter chart."""
    return [(float(x), float(y)) for x, y in re.findall(r'<circle [^>]*cx="([^"]*)" cy="([^"]*)"', svg)]


def test_a_scatter_chart_numbers_its_points_in_the_order_of_the_list() -> None:
    dots = [Dot("slow & right", 1, 5), Dot("fast", 10, 10, 1, (9, 11)), Dot("faster", 100, 20)]
    chart = scatter_chart(dots, x_label="speed", y_label="<errors>", log_x=True)
    tree = ElementTree.fromstring(chart)
    assert [item.text for item in tree.iter("li")] == ["slow & right", "fast", "faster"]
    assert re.findall(r'class="number"[^>]*>(\d+)<', chart) == ["1", "2", "3"]
    (x0, y0), (x1, y1), (x2, y2) = discs(chart)
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.11)  # powers of ten
    assert y0 > y1 > y2
    assert chart.count('class="spread') == 1


def test_a_scatter_chart_leaves_out_what_cannot_be_drawn() -> None:
    dots = [Dot("a", math.nan, 1), Dot("b", 1, math.inf), Dot("c", 0, 1)]
    assert scatter_chart(dots, x_label="x", y_label="y", log_x=True) == ""
    assert len(discs(scatter_chart(dots, x_label="x", y_label="y"))) == 1


def test_parts_of_a_stack_are_as_wide_as_their_share_of_the_longest() -> None:
    stacks = [Stack("long", {"decode": 1.0, "model": 3.0}), Stack("short", {"model": 2.0}, "<note>")]
    chart = stacked_chart(stacks, unit="s")
    assert ElementTree.fromstring(chart).tag == "figure"
    assert [float(width) for width in re.findall(r"width:([\d.]+)%", chart)] == [25.0, 75.0, 50.0]
    assert re.findall(r'class="part (c\d)"', chart) == ["c0", "c1", "c1"]  # a part keeps its colour
    assert stacked_chart([Stack("none", {})], unit="s") == ""


@pytest.mark.parametrize(
    ("value", "expected"), [(12000.0, "12,000"), (0.05, "0.05"), (1e-05, "1e-05"), (0.0, "0")]
)
def test_numbers_are_short(value: float, expected: str) -> None:
    assert number(value) == expected
