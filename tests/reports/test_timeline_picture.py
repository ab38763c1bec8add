"""The picture of one step."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from matplotlib.image import imread

from planner.errors import InputError
from planner.run import TrainingRun
from profiler.simulate.types import Simulation, Timeline
from reports.timeline_picture import write_timeline
from tests.reports.simulations import SIMULATIONS, that_fits, without_a_card

TINY = {
    "model_type": "llama",
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "intermediate_size": 128,
    "vocab_size": 1000,
}


def svg_of(simulation: Simulation, folder: Path) -> str:
    """Its SVG, which carries each text it draws as a comment."""
    path = folder / "step.svg"
    write_timeline(simulation, path)
    text = path.read_text(encoding="utf-8")
    ElementTree.fromstring(text)
    return text


@pytest.mark.parametrize("name", SIMULATIONS)
def test_a_png_is_an_image_with_something_drawn(name: str, tmp_path: Path) -> None:
    path = tmp_path / "step.PNG"
    write_timeline(SIMULATIONS[name]()[0], path)
    image = imread(path)
    assert image.shape[:2] == (750, 1500)
    blue = (abs(image[:, :, :3] - (0x56 / 255, 0xB4 / 255, 0xE9 / 255)) < 0.01).all(axis=2)
    assert blue.mean() > 0.1


def test_an_svg_names_the_run_the_card_the_instants_and_the_unit(tmp_path: Path) -> None:
    text = svg_of(that_fits()[0], tmp_path)
    for said in (
        "Llama-3.1-70B QLoRA on A100-80GB-SXM: fits, 46.8 GiB reserved at the peak",
        "usable on A100-80GB-SXM: 78.6 GiB",
        "live tensors",
        "first backward block",
        "<!-- GiB -->",
    ):
        assert said in text


def test_a_card_far_above_the_curves_is_named_not_drawn(tmp_path: Path) -> None:
    simulation, _ = that_fits()
    assert simulation.gpu
    large = replace(simulation, gpu=replace(simulation.gpu, usable_bytes=1000 * simulation.gpu.usable_bytes))
    assert "above this picture" in svg_of(large, tmp_path)
    assert "usable" not in svg_of(without_a_card()[0], tmp_path)


def test_the_same_simulation_gives_the_same_bytes(tmp_path: Path) -> None:
    simulation, _ = that_fits()
    first = svg_of(simulation, tmp_path)
    assert svg_of(simulation, tmp_path) == first
    assert "<dc:date>" not in first


def test_names_that_are_no_tex_and_no_latin(tmp_path: Path) -> None:
    model = tmp_path / "a$b_{^ -- 模型 <&>"
    model.mkdir()
    (model / "config.json").write_text(json.dumps(TINY))
    simulation, _ = that_fits()
    assert "a$b" in svg_of(replace(simulation, run=TrainingRun(model=str(model))), tmp_path)


@pytest.mark.parametrize("points", [1, 2])
def test_a_step_of_few_points(points: int, tmp_path: Path) -> None:
    simulation, _ = that_fits()
    svg_of(replace(simulation, timeline=Timeline((5,) * points, (7,) * points, ((0, "loss"),))), tmp_path)


def test_no_step() -> None:
    with pytest.raises(InputError, match="no step"):
        write_timeline(replace(that_fits()[0], timeline=Timeline((), (), ())), Path("step.svg"))


@pytest.mark.parametrize("name", ["step.gif", "step", "step.svg.gz"])
def test_another_ending(name: str) -> None:
    with pytest.raises(InputError, match=r"as \.png or \.svg"):
        write_timeline(that_fits()[0], Path(name))


@pytest.mark.parametrize("name", ["missing/step.svg", "folder.svg", "a\0b.svg"])
def test_a_path_that_cannot_be_written(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder.svg").mkdir()
    with pytest.raises(InputError, match="cannot be written"):
        write_timeline(that_fits()[0], tmp_path / name)
