"""Records in the schema of the corpus, so that `lora-plan validate --corpus` scores them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from planner.catalogue.models import match_model
from planner.errors import Abstention, InputError
from planner.memory.ledger import Ledgers
from planner.run import TrainingRun
from planner.run.rules import LORA_METHODS
from profiler.corpus.mapping import METHODS, SPELLINGS, stated_run
from profiler.corpus.record import COLUMNS, CPU
from profiler.corpus.record import Record as Published
from profiler.measure.types import OUT_OF_MEMORY, MeasuredDevice
from profiler.records.key import MEASURED_INSTEAD, of_config
from profiler.records.record import Record

SOURCE = "lora-plan"

COLUMN = "lora_plan_record"
"""The column of a record's own text, which the corpus ignores."""

PACKED, PADDED = "packed", "padded"
"""Of `seq_note`."""

_QUANTIZATIONS = {"gptq": "gptq-4bit", "awq": "awq-4bit"}


def published(record: Record) -> tuple[Published, ...]:
    """A record as rows of the corpus: one for each level that was measured, the same run in each.

    A run that the columns cannot say gets one row without a peak, whose note has the fields at fault, and so does one
    that was not measured to the end.
    """
    measurement = record.measurement
    row = _row(record)
    unsaid = _unsaid(row, measurement.run)
    if unsaid:
        note = f"no peak is given, because the columns cannot say: {', '.join(unsaid)}; {row.note}"
        return (replace(row, note=note),)
    if measurement.memory is None or measurement.outcome == OUT_OF_MEMORY:
        return (row,)
    time = measurement.time
    if time is not None and measurement.device.kind != "cpu":
        speed = time.tokens_per_s / measurement.run.num_gpus
        row = replace(row, tokens_per_s_per_gpu=speed, step_s=time.step_s)
    return tuple(
        replace(row, id=f"{row.id}{suffix}", level=level, peak_bytes=size)
        for suffix, level, size in _peaks(measurement.memory, measurement.device)
    )


def cells(row: Published) -> dict[str, str]:
    """A row of the corpus as text: what `read_records` reads back."""
    return {column: _cell(getattr(row, column)) for column in COLUMNS}


def _peaks(memory: Ledgers, device: MeasuredDevice) -> list[tuple[str, str, int]]:
    """Suffix of the row's id, level and size. `-alloc` is how the corpus tells two levels of one run apart."""
    peak = memory.peak_bytes
    if device.usable_bytes is None:  # without a caching allocator nothing is reserved
        return [("", "allocated", peak.allocated)]
    return [("", "reserved", peak.reserved), ("-alloc", "allocated", peak.allocated)]


def _row(record: Record) -> Published:
    measurement = record.measurement
    run, versions = measurement.run, dict(measurement.versions)
    lora = run.method in LORA_METHODS
    return Published(
        id=f"{SOURCE}:{record.id[:16]}",
        source=SOURCE,
        model=_model(record),
        method=_spelled(METHODS, run.method),
        rank=run.rank if lora else None,
        alpha=run.alpha if lora else None,
        dropout=run.dropout if lora else None,
        target_modules=_targets(run),
        adapter_dtype=None if run.method == "full" else run.adapter_dtype,
        base_dtype=run.base_dtype,
        quantization=_QUANTIZATIONS.get(run.quantization, run.quantization) + "-dq" * run.double_quant,
        kbit_upcast=run.prepare_kbit if run.quantization != "none" else None,
        mixed_precision=run.mixed_precision,
        optimizer=run.optimizer,
        micro_batch_size=run.micro_batch_size,
        grad_accum=run.gradient_accumulation_steps,
        seq_len=run.sequence_length,
        seq_note=PACKED if run.packing else PADDED,
        gradient_checkpointing=run.gradient_checkpointing,
        attention=run.attention,
        kernels=_spelled(SPELLINGS["kernels"], run.kernels),
        n_gpus=run.num_gpus,
        strategy=run.strategy,
        gpu=CPU if measurement.device.kind == CPU else measurement.device.gpu,
        torch=versions.get("torch"),
        transformers=versions.get("transformers"),
        peft=versions.get("peft"),
        bitsandbytes=versions.get("bitsandbytes"),
        published=record.when[:10],
        note=_note(record),
        adapter_config=_adapter_config(run),
        trainer=run.trainer,
    )


def _model(record: Record) -> str:
    """The catalogue's id, where it has this very model; what the run says of any other."""
    name = record.measurement.run.model
    match = match_model(name)
    same = match is not None and of_config(match.model.config) == of_config(record.config)
    return match.model.id if match is not None and same else name


def _note(record: Record) -> str:
    measurement = record.measurement
    said = [f"num_trainable_params={measurement.parameters.trainable}", f"on {measurement.device.name}"]
    if measurement.device.kind == "cpu":
        said.append("live tensors, without the cuBLAS workspaces that a card has")
    if measurement.slices is not None:
        said.append(f"extrapolated from slices of {' and '.join(map(str, measurement.slices.depths))} layers")
    if measurement.outcome == OUT_OF_MEMORY:
        said.append("ran out of memory")
    return "; ".join(said)


def _targets(run: TrainingRun) -> tuple[str, ...] | None:
    given = run.target_modules
    if isinstance(given, str):
        # a regex is for the adapter's config, in which it may hold spaces
        return (given,) if given == "all-linear" else None
    return given or None


def _adapter_config(run: TrainingRun) -> dict[str, object] | None:
    """What of PEFT's config has no column."""
    named = {"target_parameters": list(run.target_parameters), "modules_to_save": list(run.modules_to_save)}
    others: dict[str, object] = {name: value for name, value in named.items() if value}
    if run.method not in LORA_METHODS:
        return None
    if run.bias != "none":
        others["bias"] = run.bias
    if isinstance(run.target_modules, str) and run.target_modules != "all-linear":
        others["target_modules"] = run.target_modules
    if run.use_dora != (run.method == "dora") or run.use_rslora != (run.method == "rslora"):
        others |= {"use_dora": run.use_dora, "use_rslora": run.use_rslora}
    return (
        {"peft_type": "LORA", "r": run.rank, "lora_alpha": run.alpha, "lora_dropout": run.dropout, **others}
        if (others)
        else None
    )


def _unsaid(row: Published, run: TrainingRun) -> list[str]:
    """Fields of the run, with their values, that the row says otherwise or not at all."""
    try:
        stated = stated_run(row).run.to_dict()
    except Abstention as abstention:
        return [abstention.reason]
    except InputError as error:
        return [str(error)]
    other = ("model", *MEASURED_INSTEAD)
    return [
        f"{name} {value}" for name, value in run.to_dict().items() if name not in other and value != stated.get(name)
    ]


def _spelled(spellings: Mapping[str, str], name: str) -> str:
    """The corpus's word for what a run calls `name`."""
    return next((word for word, of_run in spellings.items() if of_run == name), name)


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, tuple):
        return " ".join(map(str, value))  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    if isinstance(value, dict):
        import json

        return json.dumps(value)
    return str(value)
