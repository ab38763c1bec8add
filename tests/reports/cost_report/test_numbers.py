"""The figures of a report are those of the plan's JSON, for runs drawn at random."""

from __future__ import annotations

import random
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from planner.catalogue import find_gpu
from planner.errors import Abstention, InputError
from planner.job import Job
from planner.plan import plan
from planner.run import TrainingRun
from planner.suggestions import suggestions
from pricing.plan_quotes import plan_quotes
from reports.cost_report.content import CostReport
from reports.cost_report.document import document
from reports.documents.blocks import Bullets
from reports.json import to_json
from tests.pricing.offers import TODAY
from tests.pricing.recommendations import OFFERS
from tests.reports.cost_report.reports import gathered, plain, tables

GIB = 1024**3
RUNS = 50

MODELS = (
    "llama-3.1-8b",
    "llama-3.2-1b",
    "mistral-7b",
    "qwen2.5-0.5b",
    "gemma-2-2b",
    "phi-3-mini",
    "mixtral-8x7b",
    "gpt2",
)
METHODS = ("full", "lora", "qlora", "int8-lora", "dora", "ia3", "prompt_tuning")
CARDS = ("L40S", "rtx4090", "h100", "a100-80", "t4", "mi300x", None)


def drawn() -> Iterator[tuple[TrainingRun, str | None, Job | None]]:
    """Runs that were drawn once and for all; those that contradict themselves are left out."""
    chance = random.Random(7)
    while True:
        fields: dict[str, Any] = {
            "model": chance.choice(MODELS),
            "method": chance.choice(METHODS),
            "micro_batch_size": chance.choice((1, 2, 4, 16)),
            "gradient_accumulation_steps": chance.choice((1, 4)),
            "sequence_length": chance.choice((128, 512, 2048, 4096)),
            "gradient_checkpointing": chance.random() < 0.7,
            "optimizer": chance.choice(("adamw_torch_fused", "adamw_bnb_8bit", "adafactor")),
            "kernels": chance.choice(("hf", "liger")),
            "packing": chance.random() < 0.2,
        }
        if chance.random() < 0.15:
            fields |= {"num_gpus": 2, "strategy": chance.choice(("ddp", "fsdp2"))}
        job = Job(
            examples=chance.randrange(500, 50_000),
            tokens=chance.randrange(10**6, 10**8),
            epochs=chance.choice((1, 2.5)),
        )
        card = chance.choice(CARDS)
        try:
            run = TrainingRun(**fields)
        except InputError:
            continue
        yield run, card, job if chance.random() < 0.6 else None


def test_figures_are_those_of_the_json() -> None:
    compared = refused = priced = 0
    for run, card, job in drawn():
        try:
            planned = plan(run, card, job)
        except (Abstention, InputError):
            refused += 1
            with pytest.raises((Abstention, InputError)):
                gathered(run, card, job)
            continue
        gpu = find_gpu(card).gpu if card is not None else None
        quotes = plan_quotes(planned, OFFERS, TODAY, 10) if planned.time is not None else None
        data = to_json(planned, suggestions(planned, gpu), quotes)
        _compare(data, gathered(run, card, job))
        priced += bool(data["offers"])
        compared += 1
        if compared == RUNS:
            break
    # most are planned, and enough of them on cards that somebody offers
    assert refused < RUNS and priced > RUNS / 4


def _compare(data: dict[str, Any], report: CostReport) -> None:
    made = document(report)
    found, memory = tables(made), data["memory"]
    lead = " ".join(plain(item) for block in made.lead if isinstance(block, Bullets) for item in block.items)

    instants = {name: [row[name] for row in found["GiB"]] for name in list(found["GiB"][0])[1:]}
    for (name, column), instant in zip(instants.items(), memory["instants"], strict=True):
        assert name.endswith("*") == (instant["name"] == memory["instant"])
        held = [size for size in instant["components"].values() if size]
        assert sorted(map(_gib, held)) == sorted(cell for cell in column[:-1] if cell != "–")
        assert column[-1] == _gib(instant["allocated_bytes"])
    levels = {row["level"]: row for row in found["level"]}
    for level, size in memory["peak_bytes"].items():
        if size is not None:
            assert levels[level]["peak"] == _gib_or_less(size)
    interval = memory["interval_bytes"]
    assert levels["reserved"]["low"] == _gib_or_less(interval["low"])
    assert levels["reserved"]["high"] == _gib_or_less(interval["high"])

    if data["gpu"] is not None:
        words = {"fits": "FITS", "tight": "TIGHT", "does_not_fit": "DOES NOT FIT"}
        assert lead.startswith(f"{words[data['verdict']]} on ")
        assert f"of {data['gpu']['usable_bytes'] / GIB:,.1f} GiB usable" in lead
    if data["time"] is None:
        return
    seconds = sum(term["seconds"] for term in data["time"]["terms"])
    assert seconds == pytest.approx(data["time"]["step_s"])
    assert [row["term"] for row in found["term"]] == [*(term["name"] for term in data["time"]["terms"]), "whole step"]
    assert (data["time"]["job"] is None) == ("part" not in found)
    if "part" in found:
        assert [row["part"] for row in found["part"][:-1]] == [part["name"] for part in data["time"]["job"]["parts"]]
    offers = found.get("offer", []) if data["offers"] else []
    assert len(offers) == len(data["offers"])
    for row, offer in zip(offers, data["offers"], strict=True):
        assert Decimal(row["USD"].replace(",", "")) == Decimal(offer["usd"])
        assert row["low–high"].replace(",", "") == f"{offer['usd_interval']['low']}–{offer['usd_interval']['high']}"
        seen, source = row["price seen (source)"].split(" ")
        assert seen == (offer["as_of"] or "undated") + "*" * offer["stale"] and source == "(1)"
        assert row["offer"].startswith(offer["provider"]) and row["offer"].endswith(offer["market"])
    if offers:
        assert f"${Decimal(data['offers'][0]['usd']):,.2f}" in lead


def _gib(size: int) -> str:
    return f"{size / GIB:,.2f}" if size >= 0.005 * GIB else "<0.01"


def _gib_or_less(size: int) -> str:
    return f"{size / GIB:,.1f} GiB" if size >= GIB else f"{size / GIB:,.2f} GiB"
