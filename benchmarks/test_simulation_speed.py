"""How long a whole `lora-plan simulate` takes, as a process of its own: `python -m pytest benchmarks`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

COMMAND = [sys.executable, "-m", "lora_plan", "simulate", "--model", "llama-3.1-405b", "--gpu", "h200"]


def _simulate(cache: Path) -> str:
    environment = os.environ | {"LORA_PLAN_CACHE": str(cache)}
    return subprocess.run(COMMAND, env=environment, check=True, capture_output=True, text=True).stdout


def test_the_largest_dense_model_with_a_cold_cache(benchmark: Any, tmp_path: Path) -> None:
    folders = (tmp_path / str(number) for number in range(100))
    assert benchmark.pedantic(lambda: _simulate(next(folders)), rounds=2).startswith("DOES NOT FIT")


def test_the_same_from_the_cache(benchmark: Any, tmp_path: Path) -> None:
    _simulate(tmp_path)
    assert benchmark.pedantic(lambda: _simulate(tmp_path), rounds=3).startswith("DOES NOT FIT")
