"""FSDP's settings: those of `accelerate config`, and those that trainers pass on to it.

Names, defaults and meanings: accelerate 1.15.0, utils/dataclasses.py (`FullyShardedDataParallelPlugin`) and
commands/launch.py; transformers 5.23.0, training_args.py (`_process_fsdp_args`).
"""

from __future__ import annotations

from planner.trainer_configs.reader import Reader, is_placeholder

VERSION = "accelerate 1.15.0"


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


SHARDING = ("FULL_SHARD", "SHARD_GRAD_OP", "NO_SHARD", "HYBRID_SHARD", "HYBRID_SHARD_ZERO2")
"""`FSDP_SHARDING_STRATEGY` of accelerate/utils/constants.py, where each has its place for a number, from 1."""

PREFETCHED = "units are planned as gathered before the one ahead is freed"
KEPT_WHOLE = "parameters stay whole from the forward to the backward pass, and are planned in shares"

HARMLESS_OF_FSDP = _words(
    """
    cpu_offload_pin_memory cpu_ram_efficient_loading final_state_dict_type state_dict_type sync_module_states
    use_orig_params xla_fsdp_grad_ckpt xla_fsdp_settings xla_fsdp_v2
    """
)
"""Loading, saving, host memory, and settings of TPUs. use_orig_params has the same flat parameters under other names:
accelerate gives adapters units of their own."""

OFFLOADED = "parameters and the optimizer's states are kept in host memory, and planned on the GPU"

MOVES_OF_FSDP = {
    "cpu_offload": OFFLOADED,
    "forward_prefetch": "the next unit is gathered while one is at work in the forward pass",
    "ignored_modules": "these modules are not sharded",
    "min_num_params": "units are made by their size, and planned as one a block",
    "mixed_precision_policy": "units are gathered or reduced in dtypes of their own",
    "offload_params": OFFLOADED,
    "xla": "FSDP of XLA, for TPUs",
}

KNOWN_OF_FSDP = (
    *("version", "sharding_strategy", "reshard_after_forward", "activation_checkpointing"),
    *("activation_checkpointing_offload", "auto_wrap_policy", "backward_prefetch", "limit_all_gathers"),
    *("backward_prefetch_policy", "transformer_layer_cls_to_wrap", *HARMLESS_OF_FSDP, *MOVES_OF_FSDP),
)


def read_fsdp_config(reader: Reader, at: str) -> None:
    """Say what becomes of every FSDP setting that stands under the key `at`, with `fsdp_` before its name or without.

    Gives a strategy only where the version stands there: without one it is fsdp2 for transformers 5, and fsdp for
    accelerate, which the trainer's format has to say. Raises `InputError` for what is no mapping or no switch.
    """
    names = {name: name.removeprefix("fsdp_") for name in reader.mapping(at) or {}}
    keys = {plain: f"{at}.{name}" for name, plain in names.items()}
    if (key := keys.get("version")) and reader.has(key):
        reader.becomes(key, strategy="fsdp2" if reader.whole(key) == 2 else "fsdp")
    for name in ("sharding_strategy", "reshard_after_forward"):
        if (key := keys.get(name)) and reader.has(key):
            _sharding(reader, key)
    _checkpointing(reader, keys)
    _units(reader, keys)
    reader.moves({key: MOVES_OF_FSDP[name] for name, key in keys.items() if name in MOVES_OF_FSDP})
    reader.ignores(*(key for name, key in keys.items() if name in HARMLESS_OF_FSDP))
    for name, key in keys.items():
        value = (reader.mapping(at) or {}).get(key.removeprefix(f"{at}."))
        if name not in KNOWN_OF_FSDP and value is not None:
            placeholder = is_placeholder(value)
            reader.uncounted(
                key, "a placeholder, which is not filled in here" if placeholder else f"not a setting of {VERSION}"
            )


def _sharding(reader: Reader, key: str) -> None:
    """A strategy of FSDP1 by name or number, or the switch of FSDP2."""
    word = (reader.text(key) or "").upper().strip()
    if word.isdigit() and 1 <= int(word) <= len(SHARDING):
        word = SHARDING[int(word) - 1]
    if word in ("FULL_SHARD", "TRUE"):
        reader.ignores(key, why="as planned")
    elif word in ("SHARD_GRAD_OP", "FALSE"):
        reader.uncounted(key, KEPT_WHOLE)
    elif word == "NO_SHARD":
        reader.becomes(key, strategy="ddp")
    elif word in SHARDING:
        reader.uncounted(key, "shards are of one machine's GPUs, and planned as of all")
    else:
        raise reader.wrong(key, f"one of {', '.join(SHARDING)}, true or false")


def _checkpointing(reader: Reader, keys: dict[str, str]) -> None:
    """accelerate wraps the units in checkpoints without re-entrance (`Accelerator.prepare_model`)."""
    key = keys.get("activation_checkpointing")
    on = key is not None and reader.flag(key)
    if key is not None and on:
        reader.becomes(key, gradient_checkpointing=True, use_reentrant=False)
    elif key is not None and reader.has(key):
        reader.ignores(key, why="the trainer's own gradient checkpointing decides")
    key = keys.get("activation_checkpointing_offload")
    if key is not None and reader.flag(key) and on:
        reader.becomes(key, checkpoint_offload=True)
    elif key is not None and reader.has(key):
        reader.ignores(key)


def _units(reader: Reader, keys: dict[str, str]) -> None:
    """What is planned is one unit a block, gathered as `BACKWARD_PRE` has it (planner/strategies/fsdp.py).

    backward_prefetch_policy is an earlier name, which many files still have.
    """
    as_planned = {
        "auto_wrap_policy": (("TRANSFORMER_BASED_WRAP",), "units are planned as one a block"),
        "backward_prefetch": (("BACKWARD_PRE",), PREFETCHED),
        "backward_prefetch_policy": (("BACKWARD_PRE",), PREFETCHED),
        "limit_all_gathers": (("TRUE",), "more units than two can be gathered at once"),
    }
    for name, (words, why) in as_planned.items():
        key = keys.get(name)
        if key is None or not reader.has(key):
            continue
        if (reader.text(key) or "").upper() in words:
            reader.ignores(key, why="as planned")
        else:
            reader.uncounted(key, why)
    key = keys.get("transformer_layer_cls_to_wrap")
    if key is not None and reader.has(key):
        classes = reader.names(key) or ()
        if all(name.endswith(("Layer", "Block")) for name in classes):
            reader.ignores(key, why="a block, as planned")
        else:
            reader.uncounted(key, "units are planned as one a block")
