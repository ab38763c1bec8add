"""The picture of predicted against measured peaks."""

from __future__ import annotations

import re
from functools import cache
from xml.etree import ElementTree

import pytest

from planner.errors import InputError
from reports.accuracy_picture import SPEED, accuracy_picture, points, speed_points, table, table_in
from tests.profiler.speed.speeds import timed
from tests.reports.scores import scored

SCORES = {
    "plan": [
        scored("small", 8, 8),
        scored("large", 32, 32),
        scored("low", 16, 15.2),
        scored("high", 16, 16.8),
        scored("other", 10, 12, source="suite", level="reserved"),
        scored("abstained", 20, None, reason="not known"),
    ],
    "simulate": [scored("other", 10, 11, source="suite", level="reserved")],
}
SVG = "{http://www.w3.org/2000/svg}"


@cache
def picture() -> str:
    return accuracy_picture(points(SCORES)).decode()


def panels(svg: str) -> list[ElementTree.Element]:
    return [group for group in ElementTree.fromstring(svg).iter(f"{SVG}g") if group.get("id", "").startswith("axes_")]


def marks(panel: ElementTree.Element) -> list[tuple[float, float]]:
    """Where the marks of a panel are, in points of the page: y grows downwards."""
    groups = [group for group in panel.iter(f"{SVG}g") if group.get("id", "").startswith("PathCollection")]
    return [(float(use.attrib["x"]), float(use.attrib["y"])) for group in groups for use in group.iter(f"{SVG}use")]


def test_points_are_in_gib_by_source_and_level_and_abstentions_have_none() -> None:
    assert points(SCORES) == {
        "plan": {
            "bench, allocated": [(8, 8), (16, 15.2), (16, 16.8), (32, 32)],
            "suite, reserved": [(10, 12)],
        },
        "simulate": {"suite, reserved": [(10, 11)]},
    }


def test_a_panel_for_each_engine_and_a_mark_for_each_row() -> None:
    plan, simulate = panels(picture())
    assert len(marks(plan)) == 5
    assert len(marks(simulate)) == 1


def test_both_axes_are_logarithmic_and_of_the_same_scale() -> None:
    small, low, high, large, _ = marks(panels(picture())[0])
    octave = (large[0] - small[0]) / 2
    assert octave > 20
    assert small[1] - large[1] == pytest.approx(2 * octave, abs=0.01)
    assert low[0] - small[0] == high[0] - small[0] == pytest.approx(octave, abs=0.01)
    # 16.8 / 15.2 is 0.1444 octaves
    assert low[1] - high[1] == pytest.approx(0.1444 * octave, abs=0.01)


def test_the_band_reaches_five_percent_to_either_side() -> None:
    panel = panels(picture())[0]
    small, low, high, large, _ = marks(panel)
    (band,) = (path for path in panel.iter(f"{SVG}path") if "fill: #cccccc" in path.get("style", ""))
    corners = re.findall(r"([\d.-]+) ([\d.-]+)", band.attrib["d"])
    # x + y is the same along lines parallel to the diagonal, as both edges are, on which the two rows 5 % off lie
    assert small[0] + small[1] == pytest.approx(large[0] + large[1], abs=0.01)
    edges = [float(x) + float(y) for x, y in corners[:4]]
    assert sorted(edges) == pytest.approx(2 * [sum(high)] + 2 * [sum(low)], abs=0.01)


def test_texts_are_text_with_units() -> None:
    svg = picture()
    said = [text.text for text in ElementTree.fromstring(svg).iter(f"{SVG}text")]
    for text in ("plan", "simulate", "measured peak, GiB", "predicted peak, GiB", "suite, reserved", "within 5%", "16"):
        assert text in said
    assert "sans-serif" in svg


def test_the_same_scores_give_the_same_bytes_without_a_date() -> None:
    svg = picture()
    assert accuracy_picture(points(SCORES)).decode() == svg
    assert "<dc:date>" not in svg


def test_a_picture_carries_the_table_of_what_it_shows() -> None:
    carried = table_in(picture())
    assert carried == table(points(SCORES))
    assert "plan: suite, reserved: 10 12" in carried.splitlines()
    changed = SCORES | {"simulate": [scored("other", 10, 11.01, source="suite", level="reserved")]}
    assert table(points(changed)) != carried


@pytest.mark.parametrize("text", ["", "no picture", "<svg/>"])
def test_other_text_carries_no_table(text: str) -> None:
    assert table_in(text) == ""


def test_nothing_to_draw() -> None:
    with pytest.raises(InputError, match="nothing to draw"):
        accuracy_picture(points({"plan": [scored("abstained", 20, None)]}))


def test_a_picture_of_speeds() -> None:
    rows = [timed("a", 0.02, 0.05), timed("b", -0.04), timed("c", None), timed("d", 0.5, 0.6, source="other")]
    drawn = speed_points(rows)
    assert drawn == {
        "by the other sources alone": {"bench": [(1000, 1050)], "other": [(1000, 1600)]},
        "as shipped": {"bench": [(1000, 1020), (1000, 960)], "other": [(1000, 1500)]},
    }
    svg = accuracy_picture(drawn, quantity=SPEED).decode()
    assert [len(marks(panel)) for panel in panels(svg)] == [2, 3]
    assert "measured speed, tokens/s and GPU" in svg and "within 25%" in svg
    assert table_in(svg) == table(drawn, SPEED)
