"""transformers' `TrainingArguments`: what each of its settings is for a run. Trainers built on `Trainer` take them all.

Defaults: transformers 5.23.0, training_args.py.
"""

from __future__ import annotations

from collections.abc import Collection

from planner.trainer_configs.formats.hf_arguments.checkpointing import (
    KWARGS,
    SWITCHES,
    read_checkpointing,
    read_checkpointing_kwargs,
)
from planner.trainer_configs.formats.hf_arguments.keys import FORMER, HARMLESS, MOVES, OTHER_HOURS, SAME, without, words
from planner.trainer_configs.formats.hf_arguments.sharding import read_sharding
from planner.trainer_configs.reader import Reader, is_off, plain

__all__ = [
    "FORMER",
    "HARMLESS",
    "KWARGS",
    "MOVES",
    "SAME",
    "SWITCHES",
    "evaluates",
    "read_checkpointing_kwargs",
    "read_training_arguments",
    "training_arguments_defaults",
    "words",
]

SOURCE = "transformers/training_args.py"
"""Where the defaults are, of transformers 5.23.0."""


def read_training_arguments(
    reader: Reader, *, besides: Collection[str] = (), checkpoints: bool = False, fsdp_version: int = 2
) -> None:
    """Take every setting of `TrainingArguments` that stands at the top of the document.

    besides: those that the trainer reads in a way of its own, before or after; `gradient_checkpointing` stands for all
    of checkpointing. checkpoints: whether it recomputes activations where no setting says so. fsdp_version: which FSDP
    it is where no setting says so, 2 in transformers 5.23 and 1 in 5.6.
    """
    reader.same({key: field for key, field in SAME.items() if key not in besides})
    for read in (_precision, _evaluation, _saving, _length, _kernels, _cache):
        read(reader, besides)
    if "gradient_checkpointing" not in besides:
        read_checkpointing(reader, checkpoints)
    # FSDP has a checkpointing of its own, which goes over it
    read_sharding(reader, besides, fsdp_version)
    reader.moves({key: why for key, why in MOVES.items() if key not in besides})
    for key, why in OTHER_HOURS.items():
        reader.ignores(*without(besides, key), why=why)
    reader.ignores(*without(besides, *HARMLESS, *FORMER))


def training_arguments_defaults(reader: Reader) -> None:
    """What `TrainingArguments` gives the fields that nothing has given; a trainer's own defaults go before these."""

    def default(setting: str, **fields: object) -> None:
        reader.default(f"{SOURCE}: {setting}", **fields)

    default("per_device_train_batch_size", micro_batch_size=8)
    default("gradient_accumulation_steps", gradient_accumulation_steps=1)
    default("optim", optimizer="adamw_torch_fused")
    default("max_grad_norm", max_grad_norm=1.0)
    default("bf16, fp16", mixed_precision="no")
    default("activation_checkpointing", gradient_checkpointing=False)
    if reader.gives("gradient_checkpointing") is True:
        reader.default("transformers/modeling_utils.py: activation_checkpointing_enable", use_reentrant=False)
    if evaluates(reader):
        default("per_device_eval_batch_size", eval_batch_size=8)
    else:
        default("eval_strategy", eval_batch_size=0)
    default("use_liger_kernel", kernels="hf")
    reader.default("transformers/trainer.py", trainer="transformers")
    reader.default_job(f"{SOURCE}: num_train_epochs", epochs=3.0)
    reader.default_job(f"{SOURCE}: save_steps", save_steps=500)


def evaluates(reader: Reader) -> bool:
    """Whether the run evaluates, in training or after it, while the optimizer's states are there."""
    strategy = reader.raw(_evaluation_key(reader))
    planned = strategy is not None and not is_off(strategy) and str(strategy).rpartition(".")[2].lower() != "no"
    return planned or any(not is_off(reader.raw(key)) for key in ("do_eval", "do_predict", "eval_on_start"))


def _evaluation_key(reader: Reader) -> str:
    """`evaluation_strategy` until transformers 4.45."""
    return "eval_strategy" if reader.has("eval_strategy") else "evaluation_strategy"


def _precision(reader: Reader, besides: Collection[str]) -> None:
    bf16, fp16 = (None if key in besides else reader.flag(key) for key in ("bf16", "fp16"))
    if bf16:
        reader.becomes("bf16", mixed_precision="bf16")
        if fp16:
            reader.uncounted("fp16", "Trainer refuses it beside bf16, which is planned")
    elif fp16:
        reader.becomes("fp16", mixed_precision="fp16")
    elif bf16 is False and reader.gives("mixed_precision") is None:
        # without both a launcher's choice counts (`TrainingArguments.__post_init__`)
        reader.becomes("bf16", mixed_precision="no")
    reader.ignores(*without(besides, "bf16", "fp16"))


def _evaluation(reader: Reader, besides: Collection[str]) -> None:
    keys = ("per_device_eval_batch_size", "per_gpu_eval_batch_size")
    strategies = ("eval_strategy", "evaluation_strategy", "do_eval", "do_predict", "eval_on_start")
    on = evaluates(reader)
    if on:
        reader.same(dict.fromkeys(without(besides, *keys), "eval_batch_size"))
    else:
        reader.ignores(*without(besides, *keys), why="nothing is evaluated")
    reader.ignores(*without(besides, *strategies), why="evaluation is planned, as large as its batch" if on else "")


def _saving(reader: Reader, besides: Collection[str]) -> None:
    if "save_steps" in besides:
        return
    strategy = (reader.text("save_strategy") or "steps").rpartition(".")[2].lower()
    if strategy == "no":
        reader.becomes_job("save_strategy", save_steps=0)
        reader.ignores("save_steps", why="no checkpoints are saved")
    elif strategy != "steps":
        reader.ignores("save_strategy", why="checkpoints are counted by steps; --save-steps says after how many")
        reader.ignores("save_steps", why="checkpoints are not saved by steps")
    elif reader.has("save_steps"):
        steps = reader.number("save_steps")
        if steps is not None and 0 < steps < 1:
            reader.ignores("save_steps", why="a share of all steps; --save-steps says after how many")
        else:
            reader.becomes_job("save_steps", save_steps=plain(reader.raw("save_steps")))
    reader.ignores("save_strategy")


def _length(reader: Reader, besides: Collection[str]) -> None:
    if "num_train_epochs" not in besides and reader.has("num_train_epochs"):
        reader.becomes_job("num_train_epochs", epochs=plain(reader.raw("num_train_epochs")))
    if "max_steps" not in besides and reader.has("max_steps"):
        steps = reader.whole("max_steps") or 0
        if steps > 0:
            reader.becomes_job("max_steps", max_steps=steps)
        else:
            reader.ignores("max_steps", why="epochs decide")


def _kernels(reader: Reader, besides: Collection[str]) -> None:
    if "use_liger_kernel" not in besides and reader.has("use_liger_kernel"):
        reader.becomes("use_liger_kernel", kernels="liger" if reader.flag("use_liger_kernel") else "hf")
    if "adafactor" not in besides:
        if reader.flag("adafactor"):
            reader.becomes("adafactor", optimizer="adafactor")
        reader.ignores("adafactor")
    backend = (reader.text("ddp_backend") or "nccl").lower()
    if backend != "nccl":
        reader.uncounted("ddp_backend", "communicators are planned as NCCL's")
    reader.ignores("ddp_backend")


def _cache(reader: Reader, besides: Collection[str]) -> None:
    if "torch_empty_cache_steps" in besides or not reader.has("torch_empty_cache_steps"):
        return
    if reader.whole("torch_empty_cache_steps") == 1:
        reader.becomes("torch_empty_cache_steps", empty_cache=True)
    else:
        reader.uncounted("torch_empty_cache_steps", "the cache is planned as if it were never emptied")
