"""What the settings of an `adapter_config.json` are for a run."""

from __future__ import annotations

import re

from planner.errors import InputError
from planner.methods.defaults import feedforward_modules
from planner.names import did_you_mean
from planner.run.kinds import MAX_TEXT
from planner.run.wording import shown
from planner.trainer_configs.formats.peft.keys import (
    BEGINNINGS,
    HARMLESS,
    HARMLESS_OF,
    LORA_DEFAULTS,
    METHODS,
    MOVES,
    OTHER_TYPES,
    SAME,
)
from planner.trainer_configs.formats.peft.own_targets import SOURCE, model_type, own_lora_targets
from planner.trainer_configs.reader import Reader, is_off
from planner.trainer_configs.types import Json

SILENT = (
    "an adapter_config.json says nothing of quantization, precision, batch, sequences, optimizer and checkpointing, "
    "which stay lora-plan's defaults unless they are given"
)


def read_adapter(reader: Reader) -> None:
    """Say what becomes of every setting. Raises `InputError` for a type of adapter that has no method to be planned."""
    kind = _kind(reader)
    reader.becomes("peft_type", method=METHODS[kind])
    _model(reader)
    if (version := reader.text("peft_version")) is not None:
        # a build from a checkout: 0.18.2.dev0@1a2b3c
        reader.becomes("peft_version", peft_version=version.partition("@")[0])
    _task(reader)
    reader.same(SAME[kind])
    own = {"LORA": _lora, "IA3": _ia3, "PREFIX_TUNING": _prefix, "P_TUNING": _p_tuning}
    own["TRAINABLE_TOKENS"] = _trainable_tokens
    if kind in own:
        own[kind](reader)
    if "num_virtual_tokens" in SAME[kind] and not reader.has("num_virtual_tokens"):
        reader.uncounted("num_virtual_tokens", "missing, and PEFT has no default for it")
    reader.moves(MOVES[kind])
    reader.ignores(*HARMLESS, *HARMLESS_OF[kind])
    reader.note(SILENT)


def _kind(reader: Reader) -> str:
    kind = (reader.text("peft_type") or "").upper()
    if kind in METHODS:
        return kind
    name = reader.document.name
    if kind in OTHER_TYPES:
        raise InputError(
            f"{name}: peft_type {kind} is a method that is not planned; "
            "`lora-plan simulate --peft-config FILE` runs it",
            field="peft_type",
        )
    hint = did_you_mean(kind, METHODS)
    what = f"must be one of {', '.join(METHODS)}, not {shown(reader.raw('peft_type'))}{hint}"
    raise InputError(f"{name}: peft_type {what}", field="peft_type")


def _model(reader: Reader) -> None:
    model = reader.text("base_model_name_or_path")
    if not model:
        reader.ignores("base_model_name_or_path")
        reader.note("the base model is not named; give --model")
        return
    reader.becomes("base_model_name_or_path", model=model)
    if re.search(r"4-?bit", model, re.IGNORECASE):
        reader.note(f"the base model's name ({shown(model)}) says 4 bits; --quantization nf4 plans it so")


def _task(reader: Reader) -> None:
    task = (reader.text("task_type") or "CAUSAL_LM").upper()
    if task != "CAUSAL_LM":
        reader.uncounted("task_type", "the head and the loss are planned as those of a language model")
    reader.ignores("task_type")


def _lora(reader: Reader) -> None:
    targets = reader.raw("target_modules")
    layers = _layers(reader.raw("layers_to_transform"))
    if targets is None:
        _own_targets(reader)
    elif (chosen := _of_layers(targets, layers)) is not None:
        reader.becomes("target_modules", target_modules=chosen)
        reader.becomes("layers_to_transform", target_modules=chosen)
        reader.ignores("layers_pattern", why="the list of blocks")
    else:
        reader.same({"target_modules": "target_modules"})
    reader.moves({"layers_to_transform": "the layers are not told apart"})
    reader.ignores("layers_pattern", why="used with layers_to_transform alone")
    _beginning(reader)
    reader.default("peft/tuners/lora/config.py: LoraConfig", **LORA_DEFAULTS)


def _own_targets(reader: Reader) -> None:
    """PEFT's choice, made beside `target_parameters` too (`_prepare_adapter_config`, peft/tuners/lora/model.py)."""
    model = reader.text("base_model_name_or_path")
    own = own_lora_targets(model)
    if own is not None:
        reader.default(SOURCE, target_modules=own)
    elif model_type(model) is None:
        reader.uncounted("target_modules", "PEFT chooses by the model's type, which is not known here")
    elif reader.has("target_parameters"):
        reader.default(SOURCE, target_modules=())
    else:
        reader.uncounted("target_modules", f"PEFT has no choice for a {model_type(model)}, and refuses")


def _layers(value: Json) -> list[int]:
    values = value if isinstance(value, list) else [value]
    layers = [item for item in values if isinstance(item, int) and not isinstance(item, bool) and item >= 0]
    return layers if len(layers) == len(values) else []


def _of_layers(targets: Json, layers: list[int]) -> str | None:
    """A regex for modules of some layers, as `check_target_module_exists` of peft/tuners/tuners_utils.py has it.

    A layer's number is the first in a module's name, and a module that is named whole is taken in any layer. None where
    the targets are no list of names, and where a run does not take a regex as long.
    """
    if not layers or not targets or not isinstance(targets, list) or not all(isinstance(name, str) for name in targets):
        return None
    names = "|".join(re.escape(str(name)) for name in targets)
    pattern = rf"(?:{names})|[^0-9]*\.(?:{'|'.join(map(str, layers))})\b.*\.(?:{names})"
    return pattern if len(pattern) <= MAX_TEXT else None


def _beginning(reader: Reader) -> None:
    begin = reader.raw("init_lora_weights")
    word = begin.lower() if isinstance(begin, str) else ""
    if not isinstance(begin, str) or word in BEGINNINGS or re.fullmatch(r"pissa_niter_[0-9]+|true|false", word):
        reader.ignores("init_lora_weights", why="how the adapter begins")
    else:
        reader.uncounted("init_lora_weights", "this beginning can change which parts there are, or what training holds")


def _ia3(reader: Reader) -> None:
    chosen = reader.names("feedforward_modules")
    kind = model_type(reader.text("base_model_name_or_path"))
    if chosen is None or (kind is not None and set(chosen) == set(feedforward_modules(kind))):
        reader.ignores("feedforward_modules", why="PEFT's own choice, as planned")
    else:
        reader.uncounted("feedforward_modules", "planned as PEFT's own choice for the model's type")


def _prefix(reader: Reader) -> None:
    if reader.flag("prefix_projection"):
        reader.same({"encoder_hidden_size": "encoder_hidden_size"})
    reader.ignores("encoder_hidden_size", why="of prefix_projection alone")


def _p_tuning(reader: Reader) -> None:
    kind = (reader.text("encoder_reparameterization_type") or "MLP").upper()
    if kind != "MLP":
        reader.uncounted("encoder_reparameterization_type", "the encoder is planned as an MLP")
    reader.ignores("encoder_reparameterization_type")
    reader.default("peft/tuners/p_tuning/config.py: encoder_num_layers", encoder_num_layers=2)


def _trainable_tokens(reader: Reader) -> None:
    tokens = reader.raw("token_indices")
    if isinstance(tokens, list):
        reader.becomes("token_indices", trainable_token_count=len(tokens))
    elif tokens is not None:
        raise reader.wrong("token_indices", "a list of token ids")
    else:
        reader.uncounted("token_indices", "missing: which tokens are trained is not known")
    names = reader.names("target_modules") or ()
    if all(name.rpartition(".")[2] in ("embed_tokens", "wte", "word_embeddings", "embedding") for name in names):
        reader.ignores("target_modules", why="the input embedding, as planned")
    elif not is_off(reader.raw("target_modules")):
        reader.uncounted("target_modules", "planned as the input embedding")
