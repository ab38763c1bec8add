"""`lora-plan models` and `lora-plan gpus`."""

from __future__ import annotations

import json

from planner.catalogue import list_gpus, search_models
from tests.lora_plan.cli import call


def test_models_lists_all_of_them() -> None:
    out = call("models").out
    for model in search_models():
        assert model.id in out
    assert f"  {len(search_models())} models\n" in out
    assert max(map(len, out.splitlines())) <= 80


def test_models_takes_words() -> None:
    out = call("models", "llama", "70b").out
    assert "meta-llama/Llama-3.1-70B " in out
    assert "llama-3.1-70b" in out
    assert "Mistral" not in out


def test_models_in_json() -> None:
    models = json.loads(call("models", "llama-3.1-8b", "--json").out)["models"]
    assert {"id", "aliases", "parameters", "source"} <= set(models[0])
    assert models[0]["parameters"] == 8_030_261_248


def test_gpus_lists_all_of_them() -> None:
    out = call("gpus").out
    assert all(gpu.name in out for gpu in list_gpus())
    assert max(map(len, out.splitlines())) <= 80


def test_gpus_takes_the_names_that_people_use() -> None:
    assert "RTX4090 " in call("gpus", "4090").out


def test_gpus_in_json() -> None:
    [gpu] = json.loads(call("gpus", "a100-80gb-sxm", "--json").out)["gpus"]
    assert gpu["memory_bytes"] == 81920 * 2**20
    assert gpu["usable_bytes"] < gpu["memory_bytes"]
