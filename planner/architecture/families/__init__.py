"""Model families: one file each, found by the `model_type` of a `config.json`.

A family file has `build(config) -> Architecture`. To add one: write the file, add its model types
to `FAMILIES`, and a test that compares it with transformers (`tests/planner/architecture`).
"""

from __future__ import annotations

from importlib import import_module

from planner.architecture.config import Config
from planner.architecture.modules import Architecture
from planner.errors import Abstention

FAMILIES: dict[str, str] = {
    "baichuan": "baichuan",
    "bert": "bert",
    "bloom": "bloom",
    "cohere": "cohere",
    "cohere2": "cohere",
    "dbrx": "dbrx",
    "deepseek_v2": "deepseek",
    "deepseek_v3": "deepseek",
    "falcon": "falcon",
    "gemma": "gemma",
    "gemma2": "gemma2",
    "gemma3": "gemma3",
    "gemma3_text": "gemma3",
    "glm": "glm",
    "glm4": "glm",
    "gpt2": "gpt2",
    "gpt_bigcode": "gpt_bigcode",
    "gpt_neox": "gpt_neox",
    "gpt_oss": "gpt_oss",
    "gptj": "gptj",
    "granite": "granite",
    "granitemoe": "granite_moe",
    "internlm2": "internlm2",
    "jamba": "jamba",
    "llama": "llama",
    "llama4": "llama4",
    "llama4_text": "llama4",
    "mistral": "mistral",
    "mixtral": "mixtral",
    "mllama": "mllama",
    "mllama_text_model": "mllama",
    "mpt": "mpt",
    "nemotron": "nemotron",
    "olmo2": "olmo2",
    "olmo3": "olmo2",
    "olmoe": "olmoe",
    "opt": "opt",
    "phi": "phi",
    "phi3": "phi3",
    "phi3small": "phi3_small",
    "phimoe": "phimoe",
    "qwen": "qwen",
    "qwen2": "qwen2",
    "qwen2_moe": "qwen2_moe",
    "qwen3": "qwen3",
    "qwen3_moe": "qwen3_moe",
    "smollm3": "smollm3",
    "stablelm": "stablelm",
    "starcoder2": "starcoder2",
}
"""`model_type` -> module of this package. A table, so that a plan imports the one family it needs."""


def build(config: Config) -> Architecture:
    """The architecture a config describes.

    Raises `InputError` where the config is broken, `Abstention` where its `model_type` is not known.
    """
    model_type = config.str("model_type")
    if model_type not in FAMILIES:
        raise Abstention(
            f"the architecture '{model_type}' is not known, so its parameters cannot be counted from a config",
            way_out="`lora-plan models` lists what is",
        )
    family = import_module(f"{__name__}.{FAMILIES[model_type]}")
    architecture: Architecture = family.build(config)
    return architecture
