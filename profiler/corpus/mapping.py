"""From a `Record` to the `TrainingRun` that it states, and what it leaves unknown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import cast

from planner.catalogue import find_gpu
from planner.errors import Abstention, InputError
from planner.run import TrainingRun
from planner.run.contradictions import inapplicable
from planner.run.rules import LORA_METHODS, RULES, parse_fields
from planner.run.wording import shown
from profiler.corpus.adapter_config import DEFAULTS, fields_of
from profiler.corpus.checkpoints import group_sizes
from profiler.corpus.counted import reproduced
from profiler.corpus.not_covered import NotCovered
from profiler.corpus.record import CPU, Record
from profiler.corpus.sources import longest_batch, sources


@dataclass(frozen=True, slots=True)
class Stated:
    """What a record says of its run."""

    run: TrainingRun
    """What the record states; fields that it does not state hold the libraries' own defaults, or the run's."""
    gpu: str | None
    """The card, where the planner's catalogue has it."""
    on_cpu: bool
    """Whether no card was there at all."""
    unknown: tuple[str, ...]
    """Fields of the run that move memory and that nothing states."""
    fitted: tuple[str, ...]
    """Fields that hold a fitted value of the source."""


MOVES_MEMORY = (
    *("rank", "dropout", "target_modules", "adapter_dtype", "num_virtual_tokens", "trainable_token_count"),
    *("base_dtype", "mixed_precision", "quantization", "double_quant", "prepare_kbit", "optimizer"),
    *("gradient_accumulation_steps", "packing", "gradient_checkpointing", "attention", "kernels"),
    *("trainer", "transformers_version", "num_gpus", "strategy"),
)
"""Fields whose value is looked for in a record; what no record of the schema can say has the run's default."""

UNSTATED: Mapping[str, object] = {"mixed_precision": "no", "gradient_checkpointing": False, "optimizer": "adamw_torch"}
"""What a training script gets that gives nothing, where a `TrainingRun` without the field is a recommendation: `bf16`,
`fp16`, `gradient_checkpointing` and `optim` of `TrainingArguments` (4.45)."""

SPELLINGS: Mapping[str, Mapping[str, str]] = {
    "optimizer": {
        # torch.optim.AdamW, which is foreach where parameters are on a GPU
        "adamw": "adamw_torch",
        "torch adamw": "adamw_torch",
        # bitsandbytes.optim.PagedAdamW keeps its states in 32 bits
        "bnb pagedadamw": "paged_adamw_32bit",
    },
    "kernels": {"liger+foak": "foak-liger"},
    "strategy": {"fsdp_full_shard": "fsdp"},
}
"""Field -> a source's word -> the run's, where they differ."""

QUANTIZATIONS: Mapping[str, Mapping[str, object]] = {
    # a run's qlora has double quantization unless it is told otherwise
    "nf4": {"quantization": "nf4", "double_quant": False},
    "fp4": {"quantization": "fp4", "double_quant": False},
    "nf4-dq": {"quantization": "nf4", "double_quant": True},
    "fp4-dq": {"quantization": "fp4", "double_quant": True},
    "gptq-4bit": {"quantization": "gptq"},
    "awq-4bit": {"quantization": "awq"},
}

METHODS = {"lora (rslora)": "rslora", "lora (dora)": "dora"}

UPCAST = ("nf4", "fp4", "int8", "awq")
"""Schemes whose preparation by PEFT casts what they leave alone to float32."""

TARGETED = (*LORA_METHODS, "ia3", "ln_tuning")

UNPADDED = re.compile(r"(?<!not )\b(packed|exactly|no mask)\b")
"""In a note on lengths: every sample of a batch is equally long, so that nothing is masked."""


def stated_run(record: Record) -> Stated:
    """The run of a record.

    Raises `NotCovered` where the planner has no such method, kernels or strategy at all; `Abstention` where the record
    is of something else that `TrainingRun` cannot say, leaves out what nothing replaces, or publishes a number of
    parameters that its settings do not train; and `InputError` where its settings do not go together.
    """
    stated = _given({**_method(record), **_setting(record)})
    run = _run(stated)
    settled = reproduced(record.note, run, stated)
    if settled.fields:
        run = _run({**stated, **settled.fields})
    return _stated(record, run, {*stated, *settled.known})


def carrier_run(record: Record) -> Stated:
    """The run of a record whose method the planner does not have, with a LoRA in its place.

    For those who build the adapter themselves, from `peft_config`. Raises as `stated_run` does.
    """
    named = {"method": "lora", "adapter_dtype": _adapter_dtype(record)}
    stated = _given({**named, **_quantization(record, named), **_setting(record)})
    return _stated(record, _run(stated), {*stated, "rank", "dropout", "target_modules"})


def _setting(record: Record) -> dict[str, object]:
    """What has nothing to do with the method."""
    if not record.model:
        raise Abstention("the model is not stated")
    source = sources().get(record.source)
    length = record.seq_len or longest_batch(source, record.seq_note)
    if length is None:
        raise Abstention("the longest batch is not published")
    if record.micro_batch_size is None:
        raise Abstention("the micro-batch size is not published")
    return {
        "model": record.model,
        "base_dtype": record.base_dtype,
        "mixed_precision": record.mixed_precision,
        "optimizer": _choice("optimizer", record.optimizer),
        "micro_batch_size": record.micro_batch_size,
        "gradient_accumulation_steps": record.grad_accum,
        "sequence_length": length,
        "packing": _packing(record),
        "gradient_checkpointing": record.gradient_checkpointing,
        "attention": _choice("attention", record.attention),
        "kernels": _kernels(record.kernels),
        "trainer": _choice("trainer", record.trainer) or (source.trainer if source else None),
        "empty_cache": source is not None and source.empty_cache,
        "transformers_version": _version(record.transformers),
        "peft_version": _version(record.peft),
        "num_gpus": record.n_gpus,
        "strategy": _choice("strategy", record.strategy),
    }


def _given(fields: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in fields.items() if value is not None}


def _stated(record: Record, run: TrainingRun, known: set[str]) -> Stated:
    known = known | inapplicable(run)
    if run.num_gpus == 1:
        known.add("strategy")
    return Stated(
        run=run,
        gpu=_gpu(record.gpu),
        on_cpu=record.gpu == CPU,
        unknown=tuple(name for name in MOVES_MEMORY if name not in known),
        fitted=() if record.seq_len else ("sequence_length",),
    )


def _run(stated: Mapping[str, object]) -> TrainingRun:
    return TrainingRun(**{**UNSTATED, **stated})


def _method(record: Record) -> dict[str, object]:
    """The method with its settings, as far as they belong to it, and what the base is quantized to."""
    fields = _named(record)
    method = str(fields["method"])
    if method in LORA_METHODS:
        fields = {"rank": record.rank, "alpha": record.alpha, "dropout": record.dropout} | fields
        if record.adapter_config is not None:
            fields |= {name: value for name, value in DEFAULTS.items() if fields.get(name) is None}
    if method in TARGETED and record.target_modules is not None:
        fields = {"target_modules": " ".join(record.target_modules)} | fields
    if method != "full":
        fields["adapter_dtype"] = _adapter_dtype(record)
    return fields | _quantization(record, fields)


def _adapter_dtype(record: Record) -> str | None:
    same = record.adapter_dtype is not None and record.adapter_dtype.startswith("same as base")
    return record.base_dtype if same else record.adapter_dtype


def _named(record: Record) -> dict[str, object]:
    """What the record's word for its method says, and its adapter's published config."""
    if not record.method:
        raise Abstention("the method is not stated")
    word = METHODS.get(record.method.lower(), record.method)
    try:
        named: dict[str, object] = dict(parse_fields({"method": word}))
    except InputError:
        named = {}
    if record.adapter_config is None:
        if not named:
            raise NotCovered(f"the planner does not have the method {shown(record.method)}")
        return named
    config = fields_of(record.adapter_config, cast("str | None", named.get("method")), record.model)
    if named.get("method", config["method"]) != config["method"]:
        raise Abstention(f"its adapter_config is of {config['method']}, but its method is {shown(record.method)}")
    return named | config


def _quantization(record: Record, fields: Mapping[str, object]) -> dict[str, object]:
    """The scheme and the k-bit upcast.

    What is called qlora is lora where the base is in another scheme than 4-bit bitsandbytes; the base of what is called
    otherwise is as it is, unless the record says more.
    """
    word = (record.quantization or str(fields.get("quantization", ""))).lower()
    method = fields["method"]
    if not word:
        return {"prepare_kbit": record.kbit_upcast} if method == "qlora" else {"quantization": "none"}
    result = dict(QUANTIZATIONS.get(word) or {"quantization": _choice("quantization", word)})
    if result["quantization"] in UPCAST:
        result["prepare_kbit"] = record.kbit_upcast
    if result["quantization"] in ("gptq", "awq"):
        result["group_size"] = group_sizes().get(record.model)
    source = sources().get(record.source)
    if result["quantization"] == "gptq" and source is not None:
        result["gptq_kernel"] = source.gptq_kernel
    if method == "qlora" and result["quantization"] in ("int8", "gptq", "awq"):
        result["method"] = "lora"
    return result


def _kernels(word: str | None) -> str | None:
    if word is not None and word.lower().startswith("litgpt"):
        raise NotCovered("it runs litgpt's own model code")
    return _choice("kernels", word)


@cache
def _choice(name: str, word: str | None) -> str | None:
    """A word as a run spells it. Raises `Abstention` where a run has no such thing."""
    if word is None:
        return None
    try:
        return str(RULES[name].parse(name, SPELLINGS.get(name, {}).get(word.lower(), word)))
    except InputError:
        kind = NotCovered if name in ("kernels", "strategy") else Abstention
        raise kind(f"the planner does not have the {name} {shown(word)}") from None


def _version(text: str | None) -> str | None:
    """A release; what names none, such as a branch, is as good as unknown."""
    try:
        return None if text is None else str(RULES["transformers_version"].parse("transformers_version", text))
    except InputError:
        return None


def _packing(record: Record) -> bool | None:
    if record.seq_note:
        return UNPADDED.search(record.seq_note) is not None
    return False if record.micro_batch_size == 1 else None


def _gpu(name: str | None) -> str | None:
    try:
        return None if name is None else find_gpu(name).gpu.name
    except InputError:
        return None
