"""What the settings of a DeepSpeed config are for a run."""

from __future__ import annotations

from planner.trainer_configs.formats.deepspeed.keys import (
    BATCH,
    BUFFERS,
    DTYPES,
    HARMLESS,
    HARMLESS_OF_PRECISION,
    HARMLESS_OF_ZERO,
    MASTERS_IN_16_BIT,
    MOVES,
    MOVES_OF_ZERO,
    OFFLOADS,
    OPTIMIZERS,
    OTHERS,
    PRECISIONS,
    READ_BY_NOTHING,
    REMOVED,
    VERSION,
)
from planner.trainer_configs.formats.deepspeed.section import Section
from planner.trainer_configs.reader import Reader

MASTERS = (
    "DeepSpeed casts adapters too to 16 bits, and keeps a float32 copy of what is trained, with the optimizer's "
    "states in float32"
)
ZERO = (
    "ZeRO keeps flat float32 copies of what is trained, the optimizer's states in float32, and buffers for gradients "
    "and gathered weights, on one GPU too"
)


def read_deepspeed(reader: Reader, at: str = "") -> None:
    """Say what becomes of every setting of DeepSpeed's that stands under the key `at`; "" is the document's top.

    A trainer's own precision, batch and number of GPUs have to be read before, which `auto` stands for, and its method,
    whose adapters DeepSpeed casts. Raises `InputError` for a section that is no mapping, and for a number that is none
    where another follows from it.
    """
    top = Section(reader, at)
    precise = _precision(top)
    top.autos()
    _batch(top)
    sharded = _zero(top)
    if precise is not None and not sharded:
        reader.uncounted(precise, MASTERS)
    _optimizer(top)
    if (key := top.given("gradient_clipping")) is not None:
        reader.becomes(key, max_grad_norm=reader.number(key))
    reader.ignores(
        top.key("activation_checkpointing"),
        why="of deepspeed.checkpointing, which the models of transformers do not call",
    )
    reader.ignores(top.key("seq_parallel_communication_data_type"), why="of sequence parallelism alone")
    for name, (switch, why) in MOVES.items():
        top.moves(name, switch, why)
    reader.moves({top.key(name): f"{VERSION} refuses it, and what it did is not planned" for name in REMOVED})
    reader.ignores(*map(top.key, HARMLESS))
    reader.ignores(*map(top.key, READ_BY_NOTHING), why="which DeepSpeed does not read")
    top.rest((*BATCH, *PRECISIONS, *MOVES, *REMOVED, *HARMLESS, *READ_BY_NOTHING, *OTHERS))


def _batch(top: Section) -> None:
    """The three sizes, of which one may be left out (`_set_batch_related_parameters` in runtime/config.py)."""
    reader = top.reader
    total, micro, steps = map(top.given, BATCH)
    if micro is not None:
        reader.becomes(micro, micro_batch_size=reader.whole(micro))
    if steps is not None:
        reader.becomes(steps, gradient_accumulation_steps=reader.whole(steps))
    if total is None:
        return
    size = reader.whole(total) or 0
    each = _count(reader, "micro_batch_size")
    times = _count(reader, "gradient_accumulation_steps")
    gpus = _count(reader, "num_gpus")
    if each is None:
        reader.becomes(total, micro_batch_size=size // ((times or 1) * (gpus or 1)))
    elif times is None:
        reader.becomes(total, gradient_accumulation_steps=size // (each * (gpus or 1)))
    elif gpus is None and size > each * times and size % (each * times) == 0:
        reader.becomes(total, num_gpus=size // (each * times))
    else:
        reader.ignores(total, why="the whole batch, of all GPUs and micro-batches")


def _count(reader: Reader, field: str) -> int | None:
    """A number of the run; None where there is none, or one that the run refuses anyway."""
    value = reader.gives(field)
    return value if isinstance(value, int) and value > 0 else None


def _precision(top: Section) -> str | None:
    """The key of the section that is on, if one is; under a trainer's key, that key where its own precision does it."""
    reader = top.reader
    asked = reader.gives("mixed_precision")
    found: str | None = None
    there = False
    for name, precision in PRECISIONS.items():
        key = top.key(name)
        if reader.mapping(key) is None:
            continue
        there = True
        section = Section(reader, key)
        enabled = section.key("enabled")
        if asked == precision if reader.raw(enabled) == "auto" else reader.flag(enabled):
            reader.becomes(enabled, **_cast(reader, DTYPES[precision]))
            reader.moves({section.key(master): "DeepSpeed keeps them in 16 bits" for master in MASTERS_IN_16_BIT})
            found = key
        section.autos()
        reader.ignores(*map(section.key, (*HARMLESS_OF_PRECISION, *MASTERS_IN_16_BIT)))
        section.rest((*HARMLESS_OF_PRECISION, *MASTERS_IN_16_BIT))
    if not there and top.at and isinstance(asked, str) and asked in DTYPES:
        # accelerate puts the section in (`DeepSpeedPlugin.set_mixed_precision`)
        reader.becomes(top.at, **_cast(reader, DTYPES[asked]))
    return found


def _cast(reader: Reader, dtype: str) -> dict[str, object]:
    """What the engine's cast of every parameter makes of the run (`_cast_module_mixed_precision` in runtime/engine.py):
    of its adapters too, and of what the k-bit upcast made float32, where they are known already."""
    cast: dict[str, object] = {"base_dtype": dtype, "mixed_precision": "no"}
    if reader.gives("method") not in (None, "full"):
        cast["adapter_dtype"] = dtype
    if reader.gives("prepare_kbit"):
        cast["prepare_kbit"] = False
    return cast


def _zero(top: Section) -> bool:
    """Whether ZeRO is on, and said to be."""
    reader = top.reader
    key = top.key("zero_optimization")
    if isinstance(reader.raw(key), bool):
        # the earliest form (`read_zero_config_deprecated`)
        reader.becomes(key, strategy="zero1" if reader.flag(key) else "ddp")
        return False
    if reader.mapping(key) is None:
        return False
    section = Section(reader, key)
    section.autos()
    stage = reader.whole(section.key("stage")) if section.given("stage") else 0
    if section.given("stage"):
        reader.becomes(section.key("stage"), strategy=f"zero{stage}" if stage else "ddp")
    if stage != 3:
        reader.ignores(*map(section.key, ("offload_param", "cpu_offload_param")), why="of stage 3 alone")
    for name, earlier in OFFLOADS.items():
        section.moves(name, "device", MOVES_OF_ZERO[earlier])
    for name, why in MOVES_OF_ZERO.items():
        section.moves(name, "", why)
    reader.ignores(*map(section.key, HARMLESS_OF_ZERO))
    section.rest(("stage", *BUFFERS, *OFFLOADS, *MOVES_OF_ZERO, *HARMLESS_OF_ZERO))
    if stage:
        reader.uncounted(key, ZERO)
    else:
        reader.ignores(*map(section.key, BUFFERS), why="of stages 1 to 3")
    return bool(stage)


def _optimizer(top: Section) -> None:
    reader = top.reader
    key = top.key("optimizer")
    if reader.mapping(key) is None:
        return
    section = Section(reader, key)
    section.autos()
    if (kind := section.given("type")) is not None:
        name = (reader.text(kind) or "").lower()
        adam = name in ("adam", "adamw") and Section(reader, section.key("params")).is_on("torch_adam")
        if name in OPTIMIZERS:
            reader.becomes(kind, optimizer="adamw_torch" if adam else OPTIMIZERS[name])
        else:
            reader.uncounted(kind, "an optimizer whose states are not planned")
    reader.ignores(section.key("params"), section.key("legacy_fusion"))
    section.rest(("type", "params", "legacy_fusion"))
