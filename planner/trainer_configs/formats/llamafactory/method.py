"""What LLaMA-Factory trains, and in which dtypes: llamafactory/model/adapter.py and loader.py (0.9.5)."""

from __future__ import annotations

from planner.catalogue.models import match_model
from planner.trainer_configs.reader import Reader, is_off, plain

FINETUNING = "llamafactory/hparams/finetuning_args.py"
MODEL = "llamafactory/hparams/model_args.py"
_LOADER = "llamafactory/model/loader.py: torch_dtype auto, so as the model is published"
_PREPARE = "llamafactory/model/model_utils/checkpointing.py: prepare_model_for_training"
_ADAPTER = "llamafactory/model/adapter.py: init_adapter"

_NO_METHOD = {
    "freeze": "freeze tuning trains some of the layers alone, which is not planned",
    "oft": "OFT trains orthogonal matrices, which are not planned",
}
"""`finetuning_type` that no method of a run is."""

_LORA = {"lora_rank": "rank", "lora_dropout": "dropout", "use_rslora": "use_rslora", "use_dora": "use_dora"}
_LORA_ALONE = (*_LORA, "lora_alpha", "lora_target")
_OFT_ALONE = ("module_dropout", "oft_block_size", "oft_rank", "oft_target")
_FREEZE_ALONE = ("freeze_extra_modules", "freeze_trainable_layers", "freeze_trainable_modules")
_NEW_TOKENS = ("resize_vocab", "add_tokens", "add_special_tokens", "new_special_tokens_config")


def finetuning_type(reader: Reader) -> str:
    """`lora`, `oft`, `freeze` or `full`. Raises `InputError` for another one."""
    kind = (reader.text("finetuning_type") or "lora").lower()
    if kind not in ("lora", "oft", "freeze", "full"):
        raise reader.wrong("finetuning_type", "lora, oft, freeze or full")
    return kind


def model_type(reader: Reader) -> str:
    """`model_type` of the config of a model that the catalogue has; "" for another."""
    match = match_model(reader.text("model_name_or_path") or "")
    return "" if match is None else str(match.model.config.get("model_type", ""))


def read_method(reader: Reader) -> None:
    """Take model, method, adapter and quantization."""
    reader.same({"model_name_or_path": "model"})
    kind = finetuning_type(reader)
    if reader.has("finetuning_type"):
        reader.becomes("finetuning_type", method=kind)
    if kind in _NO_METHOD:
        # the run refuses it, and another method that is typed over it is not the same
        reader.uncounted("finetuning_type", _NO_METHOD[kind])
    reader.default(f"{FINETUNING}: finetuning_type", method="lora")
    _quantization(reader, kind)
    if kind == "lora":
        _lora(reader)
    else:
        reader.ignores(*_LORA_ALONE, why="counts with finetuning_type lora")
    if kind in ("lora", "oft"):
        _trained_beside(reader)
        _loaded_adapter(reader)
    else:
        reader.ignores("additional_target", why="counts with finetuning_type lora")
        reader.moves(dict.fromkeys(_NEW_TOKENS, "rows that new tokens add to embeddings and head are not planned"))
    _pure_bf16(reader, kind)
    reader.ignores(*_OFT_ALONE, why="counts with finetuning_type oft")
    reader.ignores(*_FREEZE_ALONE, why="counts with finetuning_type freeze")


def method_defaults(reader: Reader) -> None:
    """What LLaMA-Factory gives the fields of a method; precision and strategy have to be read before."""
    kind = finetuning_type(reader)
    if kind == "lora":
        reader.default(f"{FINETUNING}: lora_rank", rank=8)
        rank = reader.gives("rank")
        if isinstance(rank, int):
            reader.default(f"{FINETUNING}: __post_init__", alpha=2.0 * rank)
        reader.default(f"{FINETUNING}: lora_dropout", dropout=0.0)
        reader.default(f"{FINETUNING}: lora_target", target_modules="all-linear")
        reader.default(f"{FINETUNING}: use_dora", use_dora=False)
        reader.default(f"{FINETUNING}: use_rslora", use_rslora=False)
        # PEFT casts the factors to float32 even where `pure_bf16` keeps LLaMA-Factory from it
        reader.default(_ADAPTER, adapter_dtype="float32")
    if reader.gives("quantization") in ("nf4", "fp4"):
        reader.default(f"{MODEL}: double_quantization", double_quant=True)
    reader.default(f"{MODEL}: quantization_bit", quantization="none")
    if reader.gives("quantization") in ("nf4", "fp4", "int8"):
        reader.default(
            "llamafactory/model/model_utils/checkpointing.py: prepare_model_for_training", prepare_kbit=False
        )
    if kind in ("full", "freeze") and casts_to_float32(reader):
        reader.default(_ADAPTER, base_dtype="float32")
    match = match_model(reader.text("model_name_or_path") or "")
    if match is not None and match.model.dtype is not None:
        reader.default(
            "llamafactory/model/loader.py: torch_dtype auto, as it is published", base_dtype=match.model.dtype
        )


def casts_to_float32(reader: Reader) -> bool:
    """Whether what is trained is cast to float32 before training (`init_adapter`)."""
    if reader.flag("pure_bf16") or reader.flag("use_badam"):
        return False
    return reader.gives("strategy") != "zero3" or not is_off(reader.raw("quantization_bit"))


def _published_dtype(reader: Reader) -> str | None:
    """What `torch_dtype="auto"` loads a model in; None for one that the catalogue does not have."""
    match = match_model(reader.text("model_name_or_path") or "")
    return None if match is None else match.model.dtype


def _pure_bf16(reader: Reader, kind: str) -> None:
    """It leaves what is trained as it was loaded; autocast is left to bf16 and fp16."""
    if reader.flag("pure_bf16") and kind in ("full", "freeze"):
        reader.becomes("pure_bf16", base_dtype=_published_dtype(reader) or "bfloat16")
    reader.ignores("pure_bf16", why="adapters are float32 all the same" if reader.flag("pure_bf16") else "")


def _quantization(reader: Reader, kind: str) -> None:
    keys = ("quantization_bit", "quantization_method", "quantization_type", "double_quantization")
    bits = reader.whole("quantization_bit")
    if bits is None:
        reader.ignores(*keys, why="counts with quantization_bit")
        return
    scheme = (reader.text("quantization_method") or "bnb").lower()
    if scheme != "bnb":
        reader.becomes("quantization_method", quantization=scheme)
    elif bits != 4:
        reader.becomes("quantization_bit", quantization="int8" if bits == 8 else f"{bits} bits")
    else:
        reader.becomes("quantization_bit", quantization="nf4", **({"method": "qlora"} if kind == "lora" else {}))
        reader.same({"quantization_type": "quantization", "double_quantization": "double_quant"})
    reader.ignores("quantization_bit", "quantization_method")
    reader.ignores(*keys, why="of bitsandbytes' 4 bits alone")


def _lora(reader: Reader) -> None:
    reader.same(_LORA)
    if is_off(reader.raw("lora_alpha")):
        reader.ignores("lora_alpha", why="twice the rank")
    else:
        reader.becomes("lora_alpha", alpha=plain(reader.raw("lora_alpha")))
    targets = reader.names("lora_target")
    if targets is not None:
        reader.becomes("lora_target", target_modules="all-linear" if targets == ("all",) else targets)


def _trained_beside(reader: Reader) -> None:
    """`additional_target`, which is embeddings and head where tokens are added and nothing else is named."""
    new = [key for key in _NEW_TOKENS if not is_off(reader.raw(key))]
    source = None
    if not is_off(reader.raw("additional_target")):
        source = "additional_target"
        reader.becomes(source, modules_to_save=reader.names(source))
    elif new and is_off(reader.raw("quantization_bit")):
        source = new[0]
        reader.becomes(source, modules_to_save=("embed_tokens", "lm_head"))
    if source is not None and casts_to_float32(reader):
        reader.uncounted(source, "these modules are trained in float32, and planned in the base's dtype")
    reader.ignores("additional_target")
    if not is_off(reader.raw("quantization_bit")):
        reader.moves(dict.fromkeys(_NEW_TOKENS, "a quantized model cannot be resized for new tokens"))
    reader.ignores(*(key for key in new if key != source), why="a few rows more in embeddings and head")
    reader.ignores(*_NEW_TOKENS)


def _loaded_adapter(reader: Reader) -> None:
    key = "adapter_name_or_path"
    if reader.flag("create_new_adapter"):
        reader.ignores(key, why="merged into the base before training")
    elif not is_off(reader.raw(key)):
        reader.uncounted(key, "the adapter that it names is trained on, with its own rank and targets")
    reader.ignores(key)
