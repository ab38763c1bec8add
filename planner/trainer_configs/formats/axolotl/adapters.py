"""The method: what is trained, how the base is quantized, and where the adapters stand."""

from __future__ import annotations

from planner.trainer_configs.formats.axolotl.keys import SCHEMAS
from planner.trainer_configs.formats.axolotl.model import keeps_float32
from planner.trainer_configs.formats.axolotl.values import ignores_given
from planner.trainer_configs.reader import Reader, is_off

_LOADER = "axolotl/loaders/model.py"
_ADAPTER = "axolotl/loaders/adapter.py"

LORA_KERNELS = ("lora_mlp_kernel", "lora_qkv_kernel", "lora_o_kernel", "lora_embedding_kernel")

_OF_LORA = (
    *("lora_r", "lora_alpha", "lora_dropout", "lora_target_modules", "lora_target_parameters", "lora_target_linear"),
    *("lora_modules_to_save", "lora_rank_pattern", "lora_alpha_pattern", "lora_fan_in_fan_out", "lora_model_dir"),
    *("lora_on_cpu", "lora_exclude_modules", "peft_layers_to_transform", "peft_layer_replication", "peft"),
    *("peft_init_lora_weights", "peft_trainable_token_indices", "peft_ensure_weight_tying", "peft_use_dora"),
    *("peft_use_rslora", "peft_autocast_adapter_dtype", "relora", "bnb_config_kwargs", "embeddings_skip_upcast"),
    *LORA_KERNELS,
)
"""Settings that count with an adapter."""

_MOVES = {
    "lora_exclude_modules": "some of the target modules get no adapter",
    "lora_model_dir": "an adapter that exists is trained on, with the rank and the targets of its own config",
    "lora_on_cpu": "embeddings wait in host memory, and are planned on the GPU",
    "lora_rank_pattern": "some adapters have a rank of their own",
    "peft.loftq_config": "LoftQ quantizes the base by itself, after it was loaded in 16 bits",
    "peft_ensure_weight_tying": "modules that are trained in full are tied",
    "peft_layer_replication": "layers are repeated",
    "peft_layers_to_transform": "only some layers get adapters",
    "peft_trainable_token_indices": "rows of the embeddings are trained besides",
    "relora": "adapters are merged into the base at each restart",
}

_TARGETS = ("lora_target_linear", "lora_target_modules", "lora_target_parameters", "lora_modules_to_save")

_QUIET_STARTS = ("true", "gaussian", "orthogonal", "olora", "pissa")
"""Values of `peft_init_lora_weights` that only fill the adapters, a layer at a time, before training."""

_KERNELS_WHY = "Axolotl's fused LoRA kernels keep other tensors than PEFT's layers, which are planned"


def read_adapter(reader: Reader) -> None:
    """Take the settings of the method; precision and attention are to be read before."""
    adapter = (reader.text("adapter") or "").lower()
    if is_off(adapter):
        _full(reader)
        return
    reader.becomes("adapter", method=adapter)
    _quantization(reader, adapter)
    reader.same({"lora_r": "rank", "lora_alpha": "alpha", "lora_dropout": "dropout"})
    reader.default(f"{SCHEMAS}/peft.py: lora_dropout", dropout=0.0)
    if not reader.has("lora_r"):
        reader.note("Axolotl trains no LoRA without lora_r; the rank here is lora-plan's own")
    _targets(reader)
    _variants(reader)
    _kernels(reader, adapter)
    reader.moves(_MOVES)
    reader.ignores("lora_alpha_pattern", "lora_fan_in_fan_out", "peft")
    if reader.has("embeddings_skip_upcast"):
        reader.ignores("embeddings_skip_upcast", why="Axolotl casts embeddings back to the dtype of the rest")


def _full(reader: Reader) -> None:
    reader.ignores("adapter")
    reader.default(f"{SCHEMAS}/peft.py: adapter", method="full")
    for key, quantization in (("load_in_4bit", "nf4"), ("load_in_8bit", "int8"), ("gptq", "gptq")):
        if reader.flag(key):
            reader.becomes(key, quantization=quantization)
        reader.ignores(key)
    reader.default(f"{SCHEMAS}/peft.py: load_in_4bit, load_in_8bit", quantization="none")
    reader.ignores(*_OF_LORA, why="counts with an adapter")
    sharded = reader.has("fsdp_config") or reader.has("fsdp")
    left_out = is_off(reader.document.settings.get("adapter"))
    if left_out and keeps_float32(reader) and reader.gives("base_dtype") != "float32" and not sharded:
        reader.uncounted(
            "adapter",
            "without an adapter, and with this attention, Axolotl keeps embeddings, norms and head in float32, which "
            "are planned in the dtype of the rest",
        )


def _quantization(reader: Reader, adapter: str) -> None:
    """`_set_quantization_config` and `_prepare_model_for_quantization`: 4 bits are of `adapter: qlora` alone."""
    four, eight = (bool(reader.flag(key)) for key in ("load_in_4bit", "load_in_8bit"))
    if reader.flag("gptq"):
        reader.becomes("gptq", quantization="gptq")
    elif adapter == "qlora" and four:
        reader.becomes("load_in_4bit", quantization="nf4")
        _bitsandbytes(reader)
    elif eight:
        reader.becomes("load_in_8bit", quantization="int8")
    elif four:
        # no config of a quantization is made, and `prepare_model_for_kbit_training` casts what is then in 16 bits
        reader.becomes("load_in_4bit", base_dtype="float32")
        reader.note(
            "Axolotl quantizes to 4 bits with adapter: qlora alone; with another it loads 16 bits and casts the "
            "linear layers to float32"
        )
    elif adapter == "qlora":
        reader.note("Axolotl trains no adapter: qlora without load_in_4bit; nf4 is planned")
        reader.default(f"{_LOADER}: bnb_4bit_quant_type", quantization="nf4")
        _bitsandbytes(reader)
    reader.default(f"{SCHEMAS}/peft.py: load_in_4bit, load_in_8bit", quantization="none")
    if reader.gives("quantization") in ("nf4", "fp4", "int8"):
        # norms and embeddings are cast to float32 by PEFT, and back (`_configure_embedding_dtypes`)
        reader.default(f"{_LOADER}: _convert_embedding_modules_dtype", prepare_kbit=False)
    reader.ignores("load_in_4bit", "load_in_8bit", "gptq")
    if reader.has("bnb_config_kwargs") and reader.gives("quantization") not in ("nf4", "fp4"):
        reader.ignores("bnb_config_kwargs", why="counts with adapter: qlora")


def _bitsandbytes(reader: Reader) -> None:
    at = "bnb_config_kwargs"
    inner = reader.mapping(at) or {}
    reader.same(
        {f"{at}.bnb_4bit_quant_type": "quantization", f"{at}.bnb_4bit_use_double_quant": "double_quant"},
    )
    reader.ignores(f"{at}.bnb_4bit_quant_storage", f"{at}.llm_int8_threshold", f"{at}.load_in_4bit")
    dtype = f"{at}.bnb_4bit_compute_dtype"
    if reader.has(dtype) and str(reader.raw(dtype)).removeprefix("torch.") == reader.gives("base_dtype"):
        reader.ignores(dtype)
    reader.moves({f"{at}.{name}": "changes what bitsandbytes quantizes, or how" for name in inner})
    if not inner:
        reader.ignores(at)
    reader.default(f"{_LOADER}: bnb_4bit_use_double_quant", double_quant=True)


def _targets(reader: Reader) -> None:
    """`_build_peft_lora_config`: linear layers and names together, where both are asked for."""
    if reader.flag("lora_target_linear"):
        reader.becomes("lora_target_linear", target_modules="all-linear")
        if any(name in ("lm_head", "embed_tokens") for name in reader.names("lora_target_modules") or ()):
            reader.uncounted("lora_target_modules", "the head or the embeddings get an adapter besides")
        ignores_given(reader, ("lora_target_modules",), why="lora_target_linear takes every layer")
    elif not is_off(reader.raw("lora_target_modules")):
        reader.becomes("lora_target_modules", target_modules=reader.raw("lora_target_modules"))
    elif not is_off(reader.raw("lora_target_parameters")):
        reader.default(f"{_ADAPTER}: lora_target_modules or []", target_modules=())
    elif not reader.has("lora_model_dir"):
        reader.note("Axolotl trains no LoRA without lora_target_linear or lora_target_modules; all-linear is planned")
    if not is_off(reader.raw("lora_target_parameters")):
        reader.becomes("lora_target_parameters", target_parameters=reader.names("lora_target_parameters"))
    if not is_off(reader.raw("lora_modules_to_save")):
        reader.becomes("lora_modules_to_save", modules_to_save=reader.names("lora_modules_to_save"))
    ignores_given(reader, _TARGETS)
    reader.default(f"{_ADAPTER}: bias", bias="none")


def _variants(reader: Reader) -> None:
    reader.same({"peft_use_dora": "use_dora", "peft_use_rslora": "use_rslora"})
    start = str(reader.raw("peft_init_lora_weights")).lower()
    if is_off(reader.raw("peft_init_lora_weights")) or start in _QUIET_STARTS or start.startswith("pissa_niter_"):
        ignores_given(reader, ("peft_init_lora_weights",))
    else:
        reader.uncounted("peft_init_lora_weights", "what fills the adapters takes data, or changes the base")
    if reader.flag("peft_autocast_adapter_dtype") is False and reader.gives("quantization") != "int8":
        # a base in 4 bits is stored as bfloat16 (`bnb_4bit_quant_storage`), whose dtype PEFT takes over
        reader.becomes("peft_autocast_adapter_dtype", adapter_dtype=reader.gives("base_dtype"))
    else:
        ignores_given(reader, ("peft_autocast_adapter_dtype",))
    reader.default("peft/mapping_func.py: autocast_adapter_dtype", adapter_dtype="float32")


def _kernels(reader: Reader, adapter: str) -> None:
    """Fused kernels, which Axolotl turns on by itself (`check_auto_enable_lora_kernels`, config.py)."""
    if any(key in reader.document.settings and reader.document.settings[key] is not None for key in LORA_KERNELS):
        reader.moves(dict.fromkeys(LORA_KERNELS, _KERNELS_WHY))
        return
    alone = adapter == "lora" and reader.flag("load_in_8bit")
    former = reader.has("fsdp_config") and str(fsdp_version(reader)) != "2"
    others = any(not is_off(reader.raw(key)) for key in ("rl", "trust_remote_code", "nvfp4_merge_aware"))
    if adapter in ("lora", "qlora") and not (alone or former or others):
        reader.uncounted("lora_mlp_kernel", f"not there, so on: {_KERNELS_WHY}")


def fsdp_version(reader: Reader) -> object:
    """As it is written, at the top or in `fsdp_config`; 1 where it is not (`check_fsdp_version_in_fsdp_config`)."""
    keys = ("fsdp_version", "fsdp_config.version", "fsdp_config.fsdp_version")
    return next((reader.raw(key) for key in keys if reader.has(key)), 1)
