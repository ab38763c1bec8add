"""The model: its name, the precision it is loaded and trained in, and its attention."""

from __future__ import annotations

from planner.trainer_configs.formats.axolotl.values import ignores_given, is_null
from planner.trainer_configs.reader import Reader, is_off

_CONFIG = "axolotl/utils/config/__init__.py"

LEGACY_ATTENTION = {
    "xformers_attention": "xformers",
    "sage_attention": "sage",
    "flex_attention": "flex_attention",
    "flash_attention": "flash_attention_2",
    "sdp_attention": "sdpa",
    "eager_attention": "eager",
}
"""Switch of earlier releases -> what it is now, the first that is on taken (`LEGACY_ATTN_FLAG_TO_IMPL`, enums.py)."""

HUB_ATTENTION = {
    "kernels-community/flash-attn2": "flash_attention_2",
    "kernels-community/flash-attn3": "flash_attention_3",
}
"""Kernels from the Hub that are those of a package."""

NEAREST_ATTENTION = {
    "flash_attention_4": "flash_attention_3",
    "flash_attention_torch": "flash_attention_2",
    "flex_attention": "sdpa",
    "fp8": "sdpa",
    "sage": "flash_attention_2",
    "xformers": "flash_attention_2",
}
"""Attention that a run cannot say -> that which it is planned as: one that keeps no matrix of scores either."""

_PRECISIONS = ("bf16", "bfloat16", "fp16", "float16", "float32")

_OVERRIDES = (
    "use_cache",
    "rope_scaling",
    "rope_theta",
    "rope_parameters",
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
)
"""What the model's config may be given without another memory: positions and tokens; no cache is filled in training."""


def read_model(reader: Reader) -> None:
    """Take the settings of the model."""
    reader.same({"base_model": "model"})
    _classes(reader)
    _precision(reader)
    _attention(reader)


def _classes(reader: Reader) -> None:
    for key in ("type_of_model", "model_type"):
        if "Classification" in (reader.text(key) or ""):
            reader.uncounted(key, "a head that classifies takes the place of the one over the vocabulary")
        reader.ignores(key)
    if reader.has("base_model_config"):
        if reader.raw("base_model_config") == reader.raw("base_model"):
            reader.ignores("base_model_config")
        else:
            reader.uncounted("base_model_config", "the model is built from another config than its own")
    for key in ("overrides_of_model_config", "model_config"):
        _each(reader, key, "changes the model that is planned")
    for key in ("overrides_of_model_kwargs", "model_kwargs"):
        _each(reader, key, "changes how the model is loaded")
    device_map = reader.raw("device_map")
    if device_map is None or is_off(device_map) or device_map in ("auto", "cuda", "cuda:0", {"": 0}):
        reader.ignores("device_map")
    else:
        reader.uncounted("device_map", "parts of the model are placed elsewhere")


def _each(reader: Reader, key: str, why: str) -> None:
    """Each setting of a mapping moves memory, or is one that does not."""
    inner = reader.mapping(key)
    if inner:
        reader.ignores(*(f"{key}.{name}" for name in _OVERRIDES))
        reader.moves({f"{key}.{name}": why for name in inner})
    elif inner is not None:
        reader.ignores(key)


def _precision(reader: Reader) -> None:
    """`resolve_dtype`, and `_configure_precision_settings` of core/builders/base.py.

    `bf16` is "auto" where it is not there, but off where it is null.
    """
    word = str(reader.raw("bf16")).strip().lower()
    fp16, bfloat16, float16 = (bool(reader.flag(key)) for key in ("fp16", "bfloat16", "float16"))
    if word == "auto" or not (reader.has("bf16") or is_null(reader, "bf16")):
        bf16 = not fp16
    else:
        bf16 = word == "full" or bool(reader.flag("bf16"))
    if bf16 or bfloat16:
        decides, dtype = "bf16" if bf16 else "bfloat16", "bfloat16"
    elif fp16 or float16 or reader.flag("load_in_8bit"):
        decides, dtype = "fp16" if fp16 else "float16" if float16 else "bf16", "float16"
    else:
        decides, dtype = next((key for key in _PRECISIONS if reader.has(key)), "bf16"), "float32"
    mixed = {"bfloat16": "no" if word == "full" else "bf16", "float16": "fp16" if fp16 else "no"}.get(dtype, "no")
    if reader.has(decides):
        reader.becomes(decides, base_dtype=dtype, mixed_precision=mixed)
    else:
        source = "bf16: auto, where the GPU has it" if dtype == "bfloat16" else "resolve_dtype"
        reader.default(f"{_CONFIG}: {source}", base_dtype=dtype, mixed_precision=mixed)
    ignores_given(reader, _PRECISIONS, why=f"{decides} decides")


def _attention(reader: Reader) -> None:
    switched = [key for key in LEGACY_ATTENTION if reader.flag(key)]
    key = "attn_implementation" if reader.has("attn_implementation") else next(iter(switched), None)
    if key is not None:
        asked = LEGACY_ATTENTION.get(key) or reader.text(key) or ""
        base = asked.split(":", 1)[0].split("@", 1)[0].strip()
        nearest = NEAREST_ATTENTION.get(base) or ("sdpa" if "/" in base and base not in HUB_ATTENTION else None)
        if nearest is None:
            reader.becomes(key, attention=HUB_ATTENTION.get(base, asked))
        else:
            reader.uncounted(key, f"attention of another kind, planned as {nearest}", "attention")
            reader.default(f"the nearest to {base} that is planned", attention=nearest)
    ignores_given(reader, LEGACY_ATTENTION, why=f"{key} decides" if key else "")
    if reader.flag("gemma4_hybrid_attn_impl"):
        source = "axolotl/utils/schemas/config.py: normalize_attn_implementation"
        reader.default(source, attention="flash_attention_2")
    reader.default("axolotl/utils/schemas/config.py: attn_implementation, none: transformers' own", attention="sdpa")


def keeps_float32(reader: Reader) -> bool:
    """Whether the attention lets embeddings, norms and head stay in float32 (`attn_needs_dtype_cast`, config.py)."""
    if reader.has("attn_implementation"):
        return reader.text("attn_implementation") in ("eager", "sdpa")
    asked = next((kind for key, kind in LEGACY_ATTENTION.items() if reader.flag(key)), "sdpa")
    return asked in ("eager", "sdpa") and not reader.flag("gemma4_hybrid_attn_impl")
