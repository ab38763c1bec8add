"""Charts as files, read back."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from io import BytesIO
from xml.etree import ElementTree

import matplotlib as mpl
import pytest
from matplotlib.image import imread

from reports.accuracy_picture import table_in
from reports.charts.chart import Chart, GroupedBars, Point, Points, Range, Ranges, Series, StackedBars
from reports.charts.data import as_text
from reports.charts.draw import draw
from reports.charts.style import look
from reports.charts.text import shortened
from tests.reports.documents.samples import CHARTS, HOSTILE, MEMORY, OFFERS

SVG = "{http://www.w3.org/2000/svg}"
ELEMENTS = {
    "svg",
    "title",
    "metadata",
    "defs",
    "style",
    "g",
    "path",
    "use",
    "text",
    "tspan",
    "clipPath",
    "rect",
    "pattern",
}


@cache
def drawn(name: str) -> ElementTree.Element:
    return ElementTree.fromstring(draw(CHARTS[name], "svg"))


def texts(root: ElementTree.Element) -> list[str]:
    return ["".join(text.itertext()) for text in root.iter(f"{SVG}text")]


def ids(root: ElementTree.Element) -> list[str]:
    return [name for element in root.iter() if (name := element.get("id", ""))]


def box(root: ElementTree.Element, gid: str) -> tuple[float, float, float, float]:
    """Left, right, bottom and top of a bar in points; y grows downwards."""
    (group,) = (element for element in root.iter(f"{SVG}g") if element.get("id") == gid)
    (path,) = group.iter(f"{SVG}path")
    corners = [(float(x), float(y)) for x, y in re.findall(r"(-?[\d.]+) (-?[\d.]+)", path.attrib["d"])]
    xs, ys = zip(*corners, strict=True)
    return min(xs), max(xs), max(ys), min(ys)


@pytest.mark.parametrize("name", CHARTS)
def test_an_svg_has_a_title_a_role_and_its_figures(name: str) -> None:
    svg = draw(CHARTS[name], "svg").decode()
    root = ElementTree.fromstring(svg)
    assert root.get("role") == "img"
    assert root.findtext(f"{SVG}title") == CHARTS[name].title
    assert table_in(svg) == as_text(CHARTS[name])
    assert CHARTS[name].title in texts(root)
    assert draw(CHARTS[name], "svg").decode() == svg and "<dc:date>" not in svg


def test_parts_stand_on_each_other_and_are_as_high_as_they_say() -> None:
    root = drawn("memory")
    _, _, bottom, weights = box(root, "part-0-2")
    _, _, again, adapters = box(root, "part-1-2")
    gib = (bottom - weights) / 5.6
    assert again == pytest.approx(weights)
    assert (again - adapters) / gib == pytest.approx(0.16, rel=1e-3)
    _, _, _, top = box(root, "part-8-2")
    assert (bottom - top) / gib == pytest.approx(14.98, rel=1e-4)
    # of nothing, nothing is drawn
    assert not {"part-2-0", "part-3-0"} & set(ids(root))
    assert "usable on RTX-4090-24GB:" in texts(root)


def test_bars_of_a_group_stand_side_by_side() -> None:
    root = drawn("reconciliation")
    estimated, simulated, measured = (box(root, f"part-{place}-0") for place in range(3))
    assert estimated[1] == pytest.approx(simulated[0]) and simulated[1] == pytest.approx(measured[0])
    assert (measured[2] - measured[3]) / (estimated[2] - estimated[3]) == pytest.approx(5.61 / 5.6, rel=1e-4)
    assert "part-2-3" not in ids(root)
    assert {"estimated", "simulated", "measured", "5.61"} <= set(texts(root))


def test_a_range_and_its_point() -> None:
    root = drawn("cost")
    left, right, _, _ = box(root, "range-0-4")
    (point,) = (element for element in root.iter(f"{SVG}g") if element.get("id") == "part-0-4")
    (use,) = point.iter(f"{SVG}use")
    assert (float(use.attrib["x"]) - left) / (right - left) == pytest.approx((6.1 - 5.3) / (6.9 - 5.3), abs=1e-3)
    assert {"gcp · a2-ultragpu-1g", "6.10", "USD a run"} <= set(texts(root))


def test_points_are_named_and_joined_as_steps() -> None:
    assert {"H100-80GB-SXM · lambda", "T4 · gcp", "hours", "USD a run"} <= set(texts(drawn("frontier")))
    assert [f"part-0-{place}" in ids(drawn("frontier")) for place in range(5)] == [True] * 5


def test_entries_of_the_legend_are_named_by_their_series() -> None:
    for name, series in (("memory", 9), ("reconciliation", 3)):
        found = ids(drawn(name))
        assert all(f"legend-{place}" in found and f"legend-name-{place}" in found for place in range(series))
    (entry,) = (element for element in drawn("memory").iter() if element.get("id") == "legend-name-4")
    assert "".join(entry.itertext()).strip() == "saved activations"


def test_no_two_series_look_alike() -> None:
    looks = [(found["facecolor"], found["hatch"]) for found in map(look, range(54))]
    assert len(set(looks)) == 54


@pytest.mark.parametrize("name", CHARTS)
def test_a_png_has_every_colour_of_the_chart(name: str) -> None:
    image = imread(BytesIO(draw(CHARTS[name], "png")))
    assert image.shape[1] == 8 * 150
    blue = (abs(image[:, :, :3] - (0, 0x72 / 255, 0xB2 / 255)) < 0.01).all(axis=2)
    assert blue.mean() > 0.0005
    # nothing reaches the edge but white
    for edge in (image[0], image[-1], image[:, 0], image[:, -1]):
        assert (edge[:, :3] > 0.99).all()


def named_from_outside() -> list[Chart]:
    """Charts of every kind with all the names that nobody should trust."""
    ones = (1.0,) * len(HOSTILE)
    return [
        StackedBars("a", HOSTILE[0], HOSTILE[1], HOSTILE[:3], tuple(Series(name, (1, 2, 3)) for name in HOSTILE)),
        GroupedBars("a", HOSTILE[11], HOSTILE[2], HOSTILE, (Series(HOSTILE[3], ones),)),
        Ranges("a", HOSTILE[31], HOSTILE[4], tuple(Range(name, 1, 2, 3) for name in HOSTILE)),
        Points(
            "a", HOSTILE[30], HOSTILE[5], "$x$", tuple(Point(name, 1, 40 - y, True) for y, name in enumerate(HOSTILE))
        ),
    ]


@pytest.mark.parametrize("kind", range(4))
def test_names_from_outside_are_text(kind: int) -> None:
    svg = draw(named_from_outside()[kind], "svg")
    root = ElementTree.fromstring(svg)
    own = {element.tag.removeprefix(SVG) for element in root.iter() if element.tag.startswith(SVG)}
    assert own <= ELEMENTS
    assert not [name for element in root.iter() for name in element.attrib if name.lower().startswith("on")]
    references = [value for element in root.iter() for name, value in element.attrib.items() if name.endswith("href")]
    assert all(value.startswith("#") for value in references)
    if kind == 2:
        assert {shortened(name, 44) for name in HOSTILE} - {""} <= set(texts(root))


NOTHING = [
    StackedBars("a", "none", "GiB", (), ()),
    StackedBars("a", "no value", "GiB", ("a",), (Series("b", (None,)),), ("c", 3.0)),
    GroupedBars("a", "none", "GiB", (), ()),
    GroupedBars("a", "no value", "GiB", ("a",), (Series("b", (None,)),)),
    Ranges("a", "none", "USD", ()),
    Points("a", "none", "x", "y", ()),
]


@pytest.mark.parametrize("place", range(len(NOTHING)))
def test_a_chart_of_nothing(place: int) -> None:
    root = ElementTree.fromstring(draw(NOTHING[place], "svg"))
    assert NOTHING[place].title in texts(root)
    assert ("nothing to show" in texts(root)) == (NOTHING[place].title == "none")


@pytest.mark.parametrize(
    ("values", "limit"),
    [([0.0], 0.0), ([1e-300, None], 1e300), ([1e300, 5e-324, 1e300], 1.0), ([5.0, float("inf"), float("nan")], 5.0)],
)
def test_values_of_any_size_can_be_drawn(values: list[float | None], limit: float) -> None:
    sizes = [value or 0 for value in values]
    series = (Series("a", tuple(values)), Series("b", tuple(reversed(values))))
    bars = tuple(f"bar {place}" for place in range(len(values)))
    for chart in (
        StackedBars("a", "t", "GiB", bars, series, ("limit", limit)),
        GroupedBars("a", "t", "GiB", bars, series),
        Ranges("a", "t", "USD", tuple(Range("r", size / 2, size, limit) for size in sizes)),
        Points("a", "t", "x", "y", tuple(Point("p", size, limit) for size in sizes)),
    ):
        ElementTree.fromstring(draw(chart, "svg"))


def test_many_bars_have_every_other_name() -> None:
    bars = tuple(f"instant {place}" for place in range(100))
    root = ElementTree.fromstring(draw(StackedBars("a", "t", "GiB", bars, (Series("a", (1.0,) * 100),)), "svg"))
    shown = [text for text in texts(root) if text.startswith("instant")]
    assert shown[0] == "instant 0" and 20 <= len(shown) <= 50


def test_a_limit_out_of_sight_is_named_not_drawn() -> None:
    far = ElementTree.fromstring(draw(replace(MEMORY, limit=("usable", 78.6)), "svg"))
    assert "78.60 GiB, above this picture" in texts(far)
    top = box(drawn("memory"), "part-8-2")[3]
    assert box(far, "part-8-2")[3] < top  # the bars have the room


def test_a_tall_chart_is_still_a_png() -> None:
    rows = tuple(Range(f"offer {place}", 1, 2, 3) for place in range(40))
    assert imread(BytesIO(draw(replace(OFFERS, rows=rows), "png"))).shape == (round(11.7 * 150), 1200, 4)


def test_settings_of_the_user_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    before = draw(OFFERS, "svg")
    monkeypatch.setitem(mpl.rcParams, "font.size", 30)
    assert draw(OFFERS, "svg") == before
