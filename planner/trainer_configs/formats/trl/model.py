"""The model of a config, and what a trainer takes from what is published of it: its dtype, and PEFT's targets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from planner.catalogue.models import match_model
from planner.errors import Abstention, InputError
from planner.plan import loaded_config
from planner.trainer_configs.formats.trl.keys import MODELS
from planner.trainer_configs.reader import Reader

_QV = ("q_proj", "v_proj")
PEFT_TARGETS: Mapping[str, str | tuple[str, ...]] = {
    **dict.fromkeys(("bart", "gemma", "gemma2", "gemma3_text", "gpt_neo", "gptj", "llama", "llama4", "mistral"), _QV),
    **dict.fromkeys(("mixtral", "opt", "qwen2", "qwen3", "stablelm"), _QV),
    **dict.fromkeys(("t5", "mt5"), ("q", "v")),
    **dict.fromkeys(("gpt2", "gpt_bigcode"), ("c_attn",)),
    **dict.fromkeys(("bloom", "chatglm", "falcon", "gpt_neox", "RefinedWeb", "RefinedWebModel"), ("query_key_value",)),
    **dict.fromkeys(("bert", "electra", "layoutlm", "roberta", "xlm-roberta"), ("query", "value")),
    "blip-2": ("q", "v", *_QV),
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
"""`model_type` -> the modules that PEFT gives LoRA where `target_modules` is left out
(peft/utils/constants.py, 0.21.2: TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING)."""

_DTYPES = ("float32", "bfloat16", "float16")


def read_model(reader: Reader) -> None:
    """The model's name, under whichever of its names stands first."""
    found = next((key for key in MODELS if reader.has(key)), None)
    if found is not None:
        reader.becomes(found, model=reader.text(found))
        reader.ignores(*(key for key in MODELS if key != found), why=f"{found} is taken")
    reader.same(dict.fromkeys((key for key in MODELS if key != found), "model"))


def published_config(reader: Reader) -> Mapping[str, object] | None:
    """The `config.json` of the run's model, of the catalogue or of a folder; None where it is not at hand."""
    name = reader.gives("model")
    if not isinstance(name, str):
        return None
    match = match_model(name)
    if match is not None:
        return match.model.config
    for path in (Path(name), reader.document.folder / name):
        try:
            if path.exists():
                return loaded_config(str(path)).config
        except (InputError, Abstention, OSError, ValueError):
            return None  # said when the run is planned
    return None


def published_dtype(reader: Reader) -> str | None:
    """The dtype in which the model is published, which `dtype="auto"` takes; None where that is not known."""
    config = published_config(reader) or {}
    dtype = config.get("dtype", config.get("torch_dtype"))
    return dtype if isinstance(dtype, str) and dtype in _DTYPES else None


def peft_targets(reader: Reader) -> str | tuple[str, ...] | None:
    """The modules that PEFT gives LoRA by itself; None where it has none, or the model is not known."""
    kind = (published_config(reader) or {}).get("model_type")
    return PEFT_TARGETS.get(kind) if isinstance(kind, str) else None
