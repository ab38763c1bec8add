"""A recommendation for people and as JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal

import pytest

from planner.plan import plan
from planner.run import TrainingRun
from pricing.recommendation import Recommendation
from reports.page import Page
from reports.recommend import command, recommendation_text
from reports.recommend_json import recommendation_json
from tests.pricing.recommendations import recommended


@pytest.fixture(scope="module")
def found() -> Recommendation:
    return recommended()


def test_the_page_has_each_section_in_turn(found: Recommendation) -> None:
    text = recommendation_text(found, Page())
    titles = [
        "Llama-3.1-8B: 10,000,000 tokens, sequences of up to 2,048 tokens",
        "Nothing beats these in time and cost",
        "Fastest: $",
        "Cheapest: $",
        "The cheapest way with each method",
        "What to expect of them",
        "Near misses",
        "Not considered",
    ]
    places = [text.find(title) for title in titles]
    assert -1 not in places and places == sorted(places)


@pytest.mark.parametrize("width", [40, 60, 80, 100])
def test_no_line_is_wider_than_the_page(found: Recommendation, width: int) -> None:
    lines = recommendation_text(found, Page(width=width)).splitlines()
    # names of instances and flags are not broken
    assert all(len(line) <= width or " " not in line.strip() for line in lines)


def test_without_colour_there_are_no_codes_and_ascii_is_enough(found: Recommendation) -> None:
    assert "\x1b" not in recommendation_text(found, Page())
    recommendation_text(found, Page(unicode=False)).encode("ascii")


def test_every_method_of_the_tables_has_its_caveat(found: Recommendation) -> None:
    text = recommendation_text(found, Page())
    for begin in ("Full fine-tuning can", "LoRA comes close", "QLoRA trains as", "LoRA on an 8-bit base"):
        assert f"- {begin}" in text


def on_one_line(found: Recommendation) -> str:
    return " ".join(recommendation_text(found, Page()).split())


def test_limits_that_leave_nothing_are_said() -> None:
    text = on_one_line(recommended(methods=("lora",), budget=Decimal("0.10")))
    assert "No way that fits is within the budget." in text
    assert "over budget by $" in text
    text = on_one_line(recommended(methods=("lora",), deadline_hours=0.01))
    assert "No way that fits is done by the deadline." in text
    assert "misses the deadline by" in text


def test_what_comes_from_a_sheet_cannot_steer_the_terminal(found: Recommendation) -> None:
    way = found.frontier[-1]
    offer = replace(way.quote.offer, provider="\x1b[31mred", instance_type="a\nb", region="\x07")
    evil = replace(way, quote=replace(way.quote, offer=offer))
    text = recommendation_text(replace(found, frontier=(evil,), by_method=(evil,)), Page())
    assert "\x1b" not in text and "\x07" not in text


def test_the_command_plans_the_way(found: Recommendation) -> None:
    way = found.frontier[0]
    words = command(way.run, way.gpu).split()
    assert words[:3] == ["lora-plan", "--model", "llama-3.1-8b"]
    assert f"--batch-size {way.run.micro_batch_size}" in " ".join(words)
    assert plan(way.run, way.gpu).verdict == "fits"


def test_the_command_of_several_cards_in_8_bits() -> None:
    run = TrainingRun(model="m", method="int8-lora", num_gpus=4, gradient_checkpointing=False)
    assert command(run, "L4") == (
        "lora-plan --model m --method lora --quantization int8 --gpu L4 --batch-size 1 --grad-accum 1 --seq-len 2048 "
        "--no-gradient-checkpointing --kernels hf --optimizer adamw_torch_fused --gpus 4 --strategy ddp"
    )


def test_the_json_has_what_the_page_has(found: Recommendation) -> None:
    data = json.loads(json.dumps(recommendation_json(found)))
    assert data["considered"] == found.considered
    assert data["cheapest"]["usd"] == str(found.frontier[-1].usd)
    assert data["fastest"] == data["frontier"][0]
    assert [way["method"] for way in data["by_method"]] == [way.method for way in found.by_method]
    assert TrainingRun(**data["cheapest"]["run"]) == found.frontier[-1].run
    assert {miss["reason"] for miss in data["near_misses"]} == {"memory"}
    assert data["job"]["tokens"] == 10_000_000
