"""What a config trains and how it loads the model: PEFT, quantization and dtypes.

TRL 1.16.0: trainer/model_config.py, trainer/utils.py (`get_peft_config`, `get_quantization_config`,
`create_model_from_path`) and trainer/sft_trainer.py (`SFTTrainer.__init__`).
"""

from __future__ import annotations

from planner.trainer_configs.formats.trl.model import peft_targets, published_dtype
from planner.trainer_configs.reader import Reader, is_off, plain
from planner.trainer_configs.types import Json

MODEL_CONFIG = "trl/trainer/model_config.py"
SFT_TRAINER = "trl/trainer/sft_trainer.py"

_LORA = {
    "lora_r": "rank",
    "lora_rank": "rank",
    "lora_alpha": "alpha",
    "lora_dropout": "dropout",
    "lora_modules_to_save": "modules_to_save",
    "lora_target_parameters": "target_parameters",
    "lora_bias": "bias",
    "use_rslora": "use_rslora",
    "use_dora": "use_dora",
    "modules_to_save": "modules_to_save",
}
"""Setting -> the field that it is. `lora_rank`, `lora_bias` and `modules_to_save` are scripts' own."""
_TARGETS = ("lora_target_modules", "lora_modules", "trainable", "target_modules")
"""TRL's name, and those of QLoRA's, Chinese-LLaMA-Alpaca's and Llama-Chinese's scripts."""
_SWITCHES = ("use_peft", "use_peft_lora", "use_lora", "lora_enable")
_IN_4_BITS = ("load_in_4bit", "use_4bit_quantization", "use_4bit", "q_lora")
_IN_8_BITS = ("load_in_8bit", "use_8bit_quantization", "use_8bit")
"""TRL's, and those of PEFT's, FastChat's and Qwen's scripts."""
_BITS = ("bits", "load_in_bits")
"""Of QLoRA's and LLaVA's scripts, and of Llama-Chinese's."""
_NESTED = ("use_bnb_nested_quant", "bnb_4bit_use_double_quant", "use_nested_quant", "double_quant")
_COMPUTE = "bnb_4bit_compute_dtype"
"""Of scripts; TRL takes `dtype` for it."""
_QUANT_TYPES = ("bnb_4bit_quant_type", "quant_type")
_DTYPES = ("dtype", "torch_dtype", "model_init_kwargs.dtype", "model_init_kwargs.torch_dtype")
_IN_AUTOCAST = {"bf16": "bfloat16", "fp16": "float16"}

_KERNELS = {
    "kernels-community/flash-attn": "flash_attention_2",
    "kernels-community/flash-attn2": "flash_attention_2",
    "kernels-community/flash-attn3": "flash_attention_3",
    "kernels-community/vllm-flash-attn3": "flash_attention_3",
}
"""Attention kernels of the Hub -> whose tensors they keep."""


def read_method(reader: Reader, *, trl: bool) -> None:
    """Say what becomes of the settings of PEFT, quantization, dtype and attention.

    trl: whether the config is TRL's, where only use_peft makes an adapter; a script of one's own is taken to make one
    where it has settings of one.
    """
    switch = next((key for key in _SWITCHES if reader.has(key)), None)
    settings = [key for key in (*_LORA, *_TARGETS) if reader.has(key)]
    own = not trl or reader.has("lora_rank")
    adapter = bool(reader.flag(switch)) if switch is not None else bool(settings) and own
    bits = _quantization(reader)
    method = ("qlora" if bits == 4 else "lora") if adapter else "full"
    if switch is not None or adapter:
        reader.becomes(switch or settings[0], method=method)
    if adapter:
        reader.same(_LORA)
        _targets(reader)
    elif settings and switch is None:
        why = "use_peft is not on, so TRL trains the whole model, which is planned; --method lora plans an adapter"
        reader.uncounted(settings[0], why, "method")
    reader.ignores(*_LORA, *_TARGETS, *_SWITCHES, why="" if adapter else "use_peft is off")
    if not is_off(reader.raw("lora_task_type")) and reader.text("lora_task_type") != "CAUSAL_LM":
        reader.uncounted("lora_task_type", "the model gets another head, and is planned with that of its vocabulary")
    reader.ignores("lora_task_type")
    _dtype(reader)
    _attention(reader)
    _model_kwargs(reader)


def method_defaults(reader: Reader, *, trl: bool) -> None:
    """What the trainer gives where no setting has: call it when everything else is read."""
    quantized = reader.gives("quantization") in ("nf4", "fp4", "int8")
    if trl:
        reader.default(f"{MODEL_CONFIG}: use_peft", method="full")
        reader.default(f"{MODEL_CONFIG}: dtype", base_dtype="float32")
    else:
        reader.default("a config without settings of PEFT", method="full")
        if (dtype := published_dtype(reader)) is not None:
            reader.default("transformers/modeling_utils.py: dtype auto, as it is published", base_dtype=dtype)
    reader.default(f"{MODEL_CONFIG}: load_in_4bit, load_in_8bit", quantization="none")
    if reader.gives("quantization") in ("nf4", "fp4"):
        source = f"{MODEL_CONFIG}: use_bnb_nested_quant" if trl else "transformers/utils/quantization_config.py"
        reader.default(source, double_quant=False)
    if reader.gives("method") in ("lora", "qlora"):
        _lora_defaults(reader, trl=trl, quantized=quantized)
    if trl and quantized:
        reader.default(f"{SFT_TRAINER}: __init__, which does not prepare the model", prepare_kbit=False)
    if reader.gives("quantization") in ("nf4", "fp4") and (trl or reader.has(_COMPUTE)):
        _check_compute_dtype(reader)
    reader.ignores(_COMPUTE, why="that of autocast, which is planned")


def _lora_defaults(reader: Reader, *, trl: bool, quantized: bool) -> None:
    if trl:
        for setting, field, value in (
            ("lora_r", "rank", 16),
            ("lora_alpha", "alpha", 32),
            ("lora_dropout", "dropout", 0.05),
            ("use_rslora", "use_rslora", False),
            ("use_dora", "use_dora", False),
        ):
            reader.default(f"{MODEL_CONFIG}: {setting}", **{field: value})
        reader.default("trl/trainer/utils.py: get_peft_config", bias="none")
    else:
        for setting, field, value in (("r", "rank", 8), ("lora_alpha", "alpha", 8), ("lora_dropout", "dropout", 0.0)):
            reader.default(f"peft/tuners/lora/config.py: {setting}", **{field: value})
    if trl and quantized:
        reader.default(f"{SFT_TRAINER}: __init__, adapters of a quantized model", adapter_dtype="bfloat16")
    elif trl and reader.gives("strategy") == "zero3":
        # `autocast_adapter_dtype=False` for ZeRO-3, whose gathers need one dtype
        reader.default(f"{SFT_TRAINER}: __init__, adapters under ZeRO-3", adapter_dtype=reader.gives("base_dtype"))
    else:
        reader.default("peft/tuners/tuners_utils.py: autocast_adapter_dtype", adapter_dtype="float32")
    if reader.gives("target_modules") is not None or reader.gives("target_parameters") is not None:
        return
    targets = peft_targets(reader)
    if targets is not None:
        reader.default("peft/utils/constants.py: LoRA's targets of the model type", target_modules=targets)
    else:
        why = (
            "not there, and which modules PEFT takes by itself for this model is not known here: all linear ones are "
            "planned; --target-modules says which"
        )
        reader.uncounted("lora_target_modules", why, "target_modules")


def _quantization(reader: Reader) -> int | None:
    """Bits of the base weights, where bitsandbytes packs them."""
    fours = [key for key in _IN_4_BITS if reader.flag(key)] + [key for key in _BITS if reader.raw(key) in (4, "4")]
    eights = [key for key in _IN_8_BITS if reader.flag(key)] + [key for key in _BITS if reader.raw(key) in (8, "8")]
    bits = 4 if fours else 8 if eights else None
    if bits == 4:
        kind = next((key for key in _QUANT_TYPES if reader.has(key)), None)
        reader.becomes(fours[0], quantization="nf4" if kind is None else reader.text(kind))
        if kind is not None:
            reader.becomes(kind, quantization=reader.text(kind))
        reader.same(dict.fromkeys(_NESTED, "double_quant"))
    elif bits == 8:
        reader.becomes(eights[0], quantization="int8")
    reader.ignores(*_IN_4_BITS, *_IN_8_BITS)
    for key in _BITS:
        if plain(reader.raw(key)) in (4, 8, 16, 32):
            reader.ignores(key, why="16 and 32 are what bf16 and fp16 say")
    if bits != 4:
        reader.ignores(*_QUANT_TYPES, *_NESTED, _COMPUTE, why="counts with load_in_4bit")
    return bits


def _targets(reader: Reader) -> None:
    key = next((key for key in _TARGETS if reader.has(key)), _TARGETS[0])
    value: Json = reader.raw(key)
    if isinstance(value, list) and len(value) == 1:
        value = value[0]  # `ModelConfig.__post_init__`
    if is_off(value):
        reader.ignores(key, why="PEFT's own choice")
    elif key == "lora_modules" and value == "all":
        reader.becomes(key, target_modules="all-linear")
    elif isinstance(value, str) and "," in value:
        reader.becomes(key, target_modules=reader.names(key))
    else:
        reader.becomes(key, target_modules=value)


def _dtype(reader: Reader) -> None:
    for key in _DTYPES:
        if not reader.has(key):
            reader.same({key: "base_dtype"})
        elif reader.text(key) != "auto":
            reader.becomes(key, base_dtype=(reader.text(key) or "").removeprefix("torch."))
        elif (dtype := published_dtype(reader)) is not None:
            reader.becomes(key, base_dtype=dtype)
        else:
            reader.uncounted(key, "the dtype in which the model is published is not known here", "base_dtype")
            reader.default("the dtype that most models are published in", base_dtype="bfloat16")


def _attention(reader: Reader) -> None:
    """Without a setting it is SDPA where the family has it, which the plan looks up itself."""
    for key in ("attn_implementation", "model_init_kwargs.attn_implementation"):
        word = reader.text(key) if reader.has(key) else None
        if word is None:
            reader.same({key: "attention"})
        elif word.removeprefix("paged|") in _KERNELS:
            reader.becomes(key, attention=_KERNELS[word.removeprefix("paged|")])
        else:
            reader.becomes(key, attention=word)
    for key in ("use_flash_attention_2", "use_flash_attn", "use_flash_attention", "flash_attn"):
        if reader.has(key) and reader.flag(key):
            reader.becomes(key, attention="flash_attention_2")
        reader.ignores(key)


def _model_kwargs(reader: Reader) -> None:
    """The rest of what `from_pretrained` is given."""
    at = "model_init_kwargs"
    if not reader.has(at):
        return
    given = reader.mapping(at) or {}
    reader.ignores(
        *(f"{at}.{name}" for name in ("revision", "trust_remote_code", "device_map", "token", "cache_dir")),
        *(f"{at}.{name}" for name in ("low_cpu_mem_usage", "use_safetensors", "use_cache", "code_revision")),
    )
    reader.moves({f"{at}.use_kernels": "kernels of the Hub keep other tensors"})
    if not given:
        reader.ignores(at)


def _check_compute_dtype(reader: Reader) -> None:
    """bitsandbytes multiplies in a script's own setting, or in `dtype` as TRL has it; a plan takes autocast's for it
    (planner/run/precision.py)."""
    autocast = _IN_AUTOCAST.get(str(reader.gives("mixed_precision") or "bf16"))
    own = reader.text(_COMPUTE) if reader.has(_COMPUTE) else None
    base = (own or str(reader.gives("base_dtype"))).removeprefix("torch.")
    base = _WORDS.get(base, base)
    if autocast is not None and base != autocast:
        reader.uncounted(
            next((key for key in (_COMPUTE, *_DTYPES) if reader.has(key)), "dtype"),
            f"bitsandbytes multiplies in it too, and keeps inputs in {base}; planned in {autocast}",
            "base_dtype",
        )


_WORDS = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32", "half": "float16"}
