"""How many plans a second a search works out, and how long a whole `lora-plan recommend` takes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from planner.catalogue import list_gpus
from planner.job import Job
from planner.plan import resolve
from planner.search.evaluate import evaluate
from planner.search.prepare import prepare
from planner.search.space import space_of

MODEL = "llama-3.1-8b"
COMMAND = [sys.executable, "-m", "lora_plan", "recommend", "--model", MODEL, "--examples", "10000", "--json"]


def test_the_arithmetic_of_a_search(benchmark: Any) -> None:
    """On every card in four numbers; extra_info has the plans a second."""
    cards = dict.fromkeys((1, 2, 4, 8), tuple(list_gpus()))
    prepared = prepare(resolve(MODEL)[1], space_of({"model": MODEL}), cards, Job(tokens=10**7))
    sheets = benchmark(evaluate, prepared)
    plans = sum(sheet.ways * len(sheet.gpus) for sheet in sheets)
    benchmark.extra_info["plans"] = plans
    benchmark.extra_info["plans_per_second"] = round(plans / benchmark.stats["min"])
    assert plans > 50_000


def test_a_whole_recommendation(benchmark: Any, tmp_path: Path) -> None:
    environment = os.environ | {"LORA_PLAN_PRICES": str(tmp_path)}

    def recommended() -> str:
        return subprocess.run(COMMAND, env=environment, check=True, capture_output=True, text=True).stdout

    assert '"frontier"' in benchmark.pedantic(recommended, rounds=5, warmup_rounds=1)
