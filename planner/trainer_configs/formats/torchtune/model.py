"""`model`: the builder, and where its adapters go."""

from __future__ import annotations

from planner.trainer_configs.formats.torchtune.builders import Builder, find_builder
from planner.trainer_configs.reader import Reader, is_off

SAME = {"lora_rank": "rank", "lora_alpha": "alpha", "lora_dropout": "dropout"}
"""Argument of every LoRA builder -> the field that it is."""

ATTENTION = {"q_proj": "q_proj", "k_proj": "k_proj", "v_proj": "v_proj", "output_proj": "o_proj"}
"""`LORA_ATTN_MODULES` of torchtune/modules/peft/_utils.py -> the modules' names in transformers."""

MLP = ("gate_proj", "up_proj", "down_proj")
"""w1, w3 and w2 of torchtune/modules/feed_forward.py."""

FUSED = {
    **dict.fromkeys(("q_proj", "k_proj", "v_proj"), "qkv_proj"),
    **dict.fromkeys(("gate_proj", "up_proj"), "gate_up_proj"),
}
"""The modules that transformers' Phi-3 has in one (`Phi3Attention`, `Phi3MLP`), and torchtune's has not."""

FUSED_ADAPTERS = "transformers has q, k and v in one module, and gate and up, and is planned with one adapter on each"

LORA_ARGUMENTS = (*SAME, "lora_attn_modules", "apply_lora_to_mlp", "apply_lora_to_output", "use_dora", "quantize_base")

PARTS = ("decoder_trainable", "encoder_trainable", "fusion_trainable")
"""Which parts of a vision model train, or have adapters."""

DEQUANTIZED = (
    "torchao holds 14 bytes for each parameter of a 4-bit weight while it expands it, and 2 are planned, which are "
    "bitsandbytes'"
)
"""Measured with torchao 0.10.0: the most bytes alive in `NF4Tensor.get_original_weight` for a bfloat16 weight of
1024 x 2048, which indexes its table with two tensors of int64."""

_BUILDERS = "torchtune/models/*/_model_builders.py"


def read_model(reader: Reader, at: str) -> None:
    """Take the model that stands under a key, and everything that torchtune says of adapters and quantization."""
    component = reader.text(f"{at}._component_")
    builder = find_builder(component) if component is not None else None
    if component is not None and builder is None:
        why = "not a model that torchtune has by name, so it is not known what it builds; name it with --model"
        reader.uncounted(f"{at}._component_", why, "model")
    elif builder is not None:
        _read_builder(reader, at, builder)
    name = (component or "").rpartition(".")[2]
    if name.startswith(("lora", "qlora")) or (builder is None and _has_adapters(reader, at)):
        _read_lora(reader, at, quantized=name.startswith("qlora"))
    elif component is not None:
        reader.becomes(f"{at}._component_", method="full")
        reader.ignores(*(f"{at}.{name}" for name in LORA_ARGUMENTS), why="the builder has no adapters")
    _read_arguments(reader, at)


def _read_builder(reader: Reader, at: str, builder: Builder) -> None:
    key = f"{at}._component_"
    reader.becomes(key, model=builder.model)
    if builder.differs:
        reader.uncounted(key, builder.differs)
    reader.note(
        "torchtune has attention, norms and rotary embeddings of its own; the plan follows the blocks that "
        f"transformers has for {builder.model}"
    )


def _has_adapters(reader: Reader, at: str) -> bool:
    return any(reader.has(f"{at}.{name}") for name in LORA_ARGUMENTS)


def _read_lora(reader: Reader, at: str, *, quantized: bool) -> None:
    quantized = quantized or bool(reader.flag(f"{at}.quantize_base"))
    dora = bool(reader.flag(f"{at}.use_dora"))
    method = "dora" if dora else "qlora" if quantized else "lora"
    # the key that says it: the switch where there is one, else the builder
    keys = [f"{at}.use_dora"] if dora else [f"{at}.quantize_base"] if quantized else []
    reader.becomes(next((key for key in keys if reader.has(key)), f"{at}._component_"), method=method)
    if quantized:
        key = f"{at}.quantize_base" if reader.flag(f"{at}.quantize_base") else f"{at}._component_"
        reader.becomes(key, quantization="nf4")
        reader.uncounted(key, DEQUANTIZED)
        reader.default("torchao/dtypes/nf4tensor.py: to_nf4", double_quant=True)
        reader.default("recipes/lora_finetune_single_device.py: set_default_dtype", prepare_kbit=False)
    reader.ignores(f"{at}.quantize_base", f"{at}.use_dora")
    reader.same({f"{at}.{name}": field for name, field in SAME.items()})
    _read_targets(reader, at)
    reader.default(f"{_BUILDERS}: lora_rank", rank=8)
    reader.default(f"{_BUILDERS}: lora_alpha", alpha=16)
    reader.default(f"{_BUILDERS}: lora_dropout", dropout=0.0)
    if not dora:
        reader.default(f"{_BUILDERS}: use_dora", use_dora=False)


def _read_targets(reader: Reader, at: str) -> None:
    """The modules with adapters, under transformers' names; each setting adds its own."""
    keys = [f"{at}.lora_attn_modules", f"{at}.apply_lora_to_mlp", f"{at}.apply_lora_to_output"]
    attention, mlp, output = keys
    targets = [ATTENTION.get(name, name) for name in reader.names(attention) or ()]
    if reader.has(attention):
        reader.becomes(attention, target_modules=_named(reader, targets))
    if reader.flag(mlp):
        targets += MLP
        reader.becomes(mlp, target_modules=_named(reader, targets))
    if reader.flag(output):
        targets.append("lm_head")
        reader.becomes(output, target_modules=_named(reader, targets))
    if not reader.has(attention):
        reader.uncounted(attention, "not given, though torchtune needs it", "target_modules")
    elif _is_fused(reader) and FUSED.keys() & set(targets):
        reader.uncounted(attention, FUSED_ADAPTERS)
    reader.ignores(*(key for key in keys if reader.raw(key) is False))


def _is_fused(reader: Reader) -> bool:
    return str(reader.gives("model")).startswith("microsoft/")


def _named(reader: Reader, targets: list[str]) -> list[str]:
    names = [FUSED.get(name, name) for name in targets] if _is_fused(reader) else targets
    return list(dict.fromkeys(names))


def _read_arguments(reader: Reader, at: str) -> None:
    for key in (f"{at}.{name}" for name in PARTS):
        if reader.has(key):
            reader.uncounted(key, "which parts of a vision model train, and which have adapters, is not planned")
    reader.ignores(f"{at}.image_size", why="images are not planned")
    tied = f"{at}.tie_word_embeddings"
    if reader.has(tied):
        if is_off(reader.raw(tied)):
            reader.uncounted(tied, "the head has weights of its own, and is planned as the embeddings again")
        else:
            reader.ignores(tied)
