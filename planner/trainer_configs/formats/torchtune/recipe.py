"""What recipes make of their settings: batch, data, precision, checkpointing, loss, sharding, and how long they train.

Source: torchtune 0.6.1, `recipes/{full,lora}_finetune_{single_device,distributed}.py`.
"""

from __future__ import annotations

import math

from planner.trainer_configs.formats.torchtune import keys
from planner.trainer_configs.reader import Reader, is_off, plain

RECIPE = "recipes/lora_finetune_single_device.py"

_UNLIMITED = "nothing is cut to a length, so the longest example decides; give its tokens with --seq-len"
_PACKED_UNLIMITED = "torchtune refuses to pack without a length; give it with --seq-len"
_CLIPS_NOTHING = 1e9
"""For `clip_grad_norm: inf`, which computes the norm and clips nothing."""


def read_batch(reader: Reader) -> None:
    reader.same({"batch_size": "micro_batch_size", "gradient_accumulation_steps": "gradient_accumulation_steps"})
    key = "clip_grad_norm"
    value = reader.raw(key)
    if str(value).strip().lower().lstrip(".") == "inf" or value == math.inf:
        reader.becomes(key, max_grad_norm=_CLIPS_NOTHING)
    elif value is not None:
        reader.becomes(key, max_grad_norm=plain(value))


def read_data(reader: Reader) -> None:
    for key in ("dataset", "datasets", "dataloader"):
        _read_dataset(reader, key)
    reader.ignores("shuffle", "collate_fn", "batch_sampler", why=keys.DATA)
    tokenizer = reader.raw("tokenizer")
    key = "tokenizer.max_seq_len"
    if reader.has(key):
        reader.becomes(key, sequence_length=plain(reader.raw(key)))
    elif reader.has("dataset.max_seq_len"):
        reader.becomes("dataset.max_seq_len", sequence_length=plain(reader.raw("dataset.max_seq_len")))
    elif isinstance(tokenizer, dict):
        reader.uncounted(key, _PACKED_UNLIMITED if reader.gives("packing") else _UNLIMITED, "sequence_length")
    reader.ignores("dataset.max_seq_len", why="the tokenizer's is planned")
    if isinstance(tokenizer, dict):
        reader.ignores(*(f"tokenizer.{name}" for name in tokenizer if name != "max_seq_len"), why="of the text alone")


def _read_dataset(reader: Reader, key: str) -> None:
    """One dataset, or several in a list, which torchtune packs all or none (`ConcatDataset`)."""
    value = reader.raw(key)
    if isinstance(value, list):
        if value and all(isinstance(one, dict) and one.get("packed") is True for one in value):
            reader.becomes(key, packing=True)
        reader.ignores(key, why=keys.DATA)
    elif isinstance(value, dict):
        packed = f"{key}.packed"
        if reader.has(packed):
            reader.becomes(packed, packing=reader.raw(packed))
        if reader.gives("packing") is True:
            reader.note("torchtune packs with flex attention where the GPU has it, which is planned as sdpa")
        reader.ignores(*(f"{key}.{name}" for name in value if name not in ("packed", "max_seq_len")), why=keys.DATA)


def read_precision(reader: Reader) -> None:
    """Everything is in one dtype, adapters too, and nothing runs under autocast (`training.set_default_dtype`)."""
    dtype = reader.text("dtype")
    lora = reader.gives("method") != "full"
    if dtype is not None:
        reader.becomes("dtype", base_dtype=dtype, **({"adapter_dtype": dtype} if lora else {}))
        if dtype in ("fp16", "float16", "half"):
            reader.note("torchtune refuses to train in fp16")
    reader.default("torchtune/training/precision.py: get_dtype", base_dtype="float32")
    if lora:
        reader.default("torchtune/training/precision.py: get_dtype", adapter_dtype=reader.gives("base_dtype"))
    reader.default(f"{RECIPE}: no autocast", mixed_precision="no")
    device = (reader.text("device") or "cuda").partition(":")[0]
    if device != "cuda":
        reader.uncounted("device", "a GPU of NVIDIA is planned")
    reader.ignores("device")


def read_checkpointing(reader: Reader) -> None:
    key = "enable_activation_checkpointing"
    on = reader.flag(key)
    mode = reader.text("ac_mode")
    if on is not None:
        reader.becomes(key, gradient_checkpointing=on)
    if mode is None or on or mode.lower() == "none":
        reader.ignores("ac_mode", why=f"{key} goes over it" if on else "")
    else:
        # only without the other (recipes/full_finetune_distributed.py: _setup_model)
        every: dict[str, object] = {}
        if mode.lower() == "selective" and reader.has("ac_option"):
            option = reader.raw("ac_option")
            every = {"checkpoint_every": plain(option) or 1}
            reader.becomes("ac_option", **every)
        reader.becomes("ac_mode", gradient_checkpointing=True)
    offloading = "enable_activation_offloading"
    if reader.flag(offloading):
        reader.becomes(offloading, checkpoint_offload=True)
    reader.ignores(offloading)
    reader.default(f"{RECIPE}: enable_activation_checkpointing", gradient_checkpointing=False)
    if reader.gives("gradient_checkpointing") is True:
        reader.default("torchtune/training/memory.py: set_activation_checkpointing", use_reentrant=False)


def read_loss(reader: Reader) -> None:
    loss = reader.mapping("loss")
    key = "loss._component_"
    name = reader.text(key)
    if name is None or loss is None:
        return
    if name in keys.LOSSES:
        reader.uncounted(key, keys.LOSSES[name])
    elif name.startswith("torchtune.rlhf."):
        reader.uncounted(key, keys.PREFERENCE)
    elif name == keys.CROSS_ENTROPY:
        reader.ignores(key)
    else:
        reader.uncounted(key, "a loss that is planned as cross-entropy")
    reader.ignores(*(f"loss.{argument}" for argument in loss))


def read_sharding(reader: Reader, recipe: str) -> None:
    """FSDP2 is torchtune's only way to use several GPUs (`training.shard_model`)."""
    told = [key for key in keys.DISTRIBUTED if not is_off(reader.raw(key))]
    if told:
        reader.becomes(told[0], strategy="fsdp2")
    elif not recipe.endswith("_single_device"):
        reader.default("recipes/lora_finetune_distributed.py: shard_model", strategy="fsdp2")
    for key in told:
        if key in keys.MOVES:
            reader.uncounted(key, keys.MOVES[key])
    if reader.has("fsdp_reshard_after_forward"):
        if reader.flag("fsdp_reshard_after_forward"):
            reader.ignores("fsdp_reshard_after_forward")
        else:
            reader.uncounted("fsdp_reshard_after_forward", "gathered weights stay until the backward pass")
    if plain(reader.raw("tensor_parallel_dim")) == 1:
        reader.ignores("tensor_parallel_dim")
    else:
        reader.moves({"tensor_parallel_dim": "each layer is split over GPUs"})
    reader.ignores("tensor_parallel_plan", why="counts with tensor_parallel_dim")


def read_job(reader: Reader) -> None:
    """Epochs, each followed by a checkpoint."""
    epochs, steps = reader.whole("epochs"), reader.whole("max_steps_per_epoch")
    if epochs is not None:
        reader.becomes_job("epochs", epochs=epochs)
    if steps is not None:
        reader.becomes_job("max_steps_per_epoch", max_steps=steps * (1 if epochs is None else epochs))
        reader.default_job(f"{RECIPE}: train", save_steps=steps)
    else:
        reader.note("torchtune saves after each epoch; --save-steps says after how many steps that is")
    if reader.gives("method") != "full" and not reader.flag("save_adapter_weights_only"):
        reader.note("torchtune's checkpoints hold the merged model too, and disk is planned for the adapter alone")
