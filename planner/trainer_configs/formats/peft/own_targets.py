"""The modules that PEFT adapts where a LoRA config names none: its choice for each model type."""

from __future__ import annotations

from planner.catalogue.models import match_model

SOURCE = "peft/utils/constants.py: TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING"
"""Of PEFT 0.21.2."""

LORA_TARGETS: dict[str, str | tuple[str, ...]] = {
    **dict.fromkeys(("bart", "gemma", "gemma2", "gemma3_text", "gpt_neo", "gptj", "llama"), ("q_proj", "v_proj")),
    **dict.fromkeys(("llama4", "mistral", "mixtral", "opt", "qwen2", "qwen3", "stablelm"), ("q_proj", "v_proj")),
    **dict.fromkeys(("bert", "electra", "layoutlm", "roberta", "xlm-roberta"), ("query", "value")),
    **dict.fromkeys(("RefinedWeb", "RefinedWebModel", "bloom", "chatglm", "falcon", "gpt_neox"), ("query_key_value",)),
    **dict.fromkeys(("mt5", "t5"), ("q", "v")),
    **dict.fromkeys(("gpt2", "gpt_bigcode"), ("c_attn",)),
    "blip-2": ("q", "v", "q_proj", "v_proj"),
    "btlm": ("c_proj", "c_attn"),
    "codegen": ("qkv_proj",),
    "deberta": ("in_proj",),
    "deberta-v2": ("query_proj", "value_proj"),
    "gemma4": r".*language_model\..*\.(q_proj|v_proj)",
    "mpt": ("Wqkv",),
    "nemotron_h": ("q_proj", "k_proj", "v_proj", "o_proj"),
    "phi": ("q_proj", "v_proj", "fc1", "fc2"),
    "rwkv": ("key", "value", "receptance", "output"),
    "rwkv7": ("r_proj", "k_proj", "v_proj", "o_proj", "key", "value"),
}


def own_lora_targets(model: str | None) -> str | tuple[str, ...] | None:
    """What PEFT adapts in a model of the catalogue by itself; None where the model, or PEFT's choice, is not known."""
    kind = model_type(model)
    return None if kind is None else LORA_TARGETS.get(kind)


def model_type(model: str | None) -> str | None:
    """The `model_type` of a model of the catalogue; None for any other."""
    match = None if model is None else match_model(model)
    kind = None if match is None else match.model.config.get("model_type")
    return kind if isinstance(kind, str) else None
