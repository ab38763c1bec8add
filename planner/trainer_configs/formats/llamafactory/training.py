"""How LLaMA-Factory trains: sequences, attention, kernels, checkpointing and optimizer (0.9.5)."""

from __future__ import annotations

from planner.trainer_configs.formats.hf_arguments import KWARGS, SWITCHES, read_checkpointing_kwargs
from planner.trainer_configs.formats.llamafactory.method import MODEL, model_type
from planner.trainer_configs.reader import Reader, is_off, plain

DATA = "llamafactory/hparams/data_args.py"

STAGES = {
    "rm": "reward modelling runs two sequences a sample, and a value head",
    "ppo": "PPO generates, and holds a value head, a reward model and a reference model",
    "dpo": "DPO runs two sequences a sample, and mostly a reference model",
    "kto": "KTO runs a second sequence a sample, and a reference model",
}
"""`stage` -> what its steps hold besides, which is not planned; `sft` and `pt` hold what is."""

_ATTENTION = {
    "auto": "sdpa",
    "sdpa": "sdpa",
    "fa2": "flash_attention_2",
    "fa3": "flash_attention_3",
    "disabled": "eager",
}

_OWN_ATTENTION = {
    ("gemma2", "auto"): "flash_attention_2",
    **{("gpt_oss", asked): "flash_attention_3" for asked in _ATTENTION},
}
"""`model_type` and `flash_attn` -> what `configure_attn_implementation` (model/model_utils/attention.py) takes."""

_GALORE = {
    "adamw_torch": "galore_adamw",
    "adafactor": "galore_adafactor",
    "adamw_8bit": "galore_adamw_8bit",
    "adamw_bnb_8bit": "galore_adamw_8bit",
    "paged_adamw_8bit": "galore_adamw_8bit",
}
"""`optim` -> the optimizer that `use_galore` makes of it (train/trainer_utils.py: _create_galore_optimizer)."""


def read_stage(reader: Reader) -> None:
    """Take the stage of training: only supervised fine-tuning and pre-training are planned."""
    stage = (reader.text("stage") or "sft").lower()
    if reader.has("stage") and stage not in ("sft", "pt"):
        reader.uncounted("stage", STAGES.get(stage, "a stage that is not known here"))
    else:
        reader.ignores("stage")


def read_sequences(reader: Reader) -> None:
    """Take the length of sequences, and how they are packed."""
    key = "cutoff_len"
    if reader.has(key):
        length = reader.whole(key) or 0
        # all collators but that of pre-training pad to multiples of 8 (train/*/workflow.py: pad_to_multiple_of)
        padded = length if reader.text("stage") == "pt" else -(-length // 8) * 8
        reader.becomes(key, sequence_length=padded)
    for key in ("packing", "sft_packing"):
        if reader.has(key):
            reader.becomes(key, packing=reader.flag(key))
    if reader.flag("neat_packing"):
        reader.becomes("neat_packing", packing=True)
        if reader.gives("attention") != "flash_attention_2":
            reader.uncounted("neat_packing", "a mask of every two positions keeps packed samples apart")
    reader.ignores("neat_packing")
    size = reader.number("val_size")
    if size is not None and 0 < size < 1:
        reader.becomes_job("val_size", eval_split=size)
    elif size:
        reader.ignores("val_size", why="a number of examples; --eval-split says their share")
    reader.ignores("val_size")


def read_attention(reader: Reader) -> None:
    """Take the implementation of attention, and whose kernels run."""
    key = "flash_attn"
    if reader.has(key):
        asked = (reader.text(key) or "").lower()
        reader.becomes(key, attention=_OWN_ATTENTION.get((model_type(reader), asked), _ATTENTION.get(asked, asked)))
    if reader.has("enable_liger_kernel"):
        reader.becomes("enable_liger_kernel", kernels="liger" if reader.flag("enable_liger_kernel") else "hf")
    if reader.flag("use_unsloth"):
        reader.becomes("use_unsloth", kernels="unsloth")
    reader.ignores("use_unsloth")


def read_checkpointing(reader: Reader) -> None:
    """Take what decides over checkpointing, which is on by default (model/model_utils/checkpointing.py).

    `gradient_checkpointing` of `TrainingArguments` switches it on once more, with its own arguments, and never off.
    """
    off = "disable_gradient_checkpointing"
    disabled = reader.flag(off) or False
    name = next((key for key in SWITCHES if reader.has(key)), None)
    again = name is not None and reader.flag(name) is True
    if name is not None and again:
        reader.becomes(name, gradient_checkpointing=True)
        reader.ignores(off, why=f"{name} goes over it" if disabled else "")
        read_checkpointing_kwargs(reader)
        reader.ignores("use_reentrant_gc", why=f"{name} goes over it")
    else:
        if reader.has(off):
            reader.becomes(off, gradient_checkpointing=not disabled)
        reader.ignores(*KWARGS, why="counts with gradient_checkpointing")
    reader.ignores(*SWITCHES, why="" if disabled else f"it is checkpointed all the same, until {off} is on")
    if disabled and not again:
        reader.ignores("use_reentrant_gc", "use_unsloth_gc", why="nothing is checkpointed")
        return
    if reader.flag("use_unsloth_gc") and not disabled:
        # its function runs blocks without a graph first, as reentrant checkpointing does
        reader.becomes("use_unsloth_gc", checkpoint_offload=True, use_reentrant=True)
        reader.ignores("use_reentrant_gc", why="use_unsloth_gc goes over it")
    elif reader.gives("strategy") == "fsdp2":
        reader.ignores("use_reentrant_gc", why="off with FSDP2")
    elif not again and reader.has("use_reentrant_gc"):
        reader.becomes("use_reentrant_gc", use_reentrant=reader.flag("use_reentrant_gc"))
    reader.ignores("use_unsloth_gc")


def read_optimizer(reader: Reader) -> None:
    """Take GaLore, which makes another optimizer of `optim`."""
    if reader.flag("use_galore"):
        asked = (reader.text("optim") or "adamw_torch").lower()
        layerwise = "_layerwise" if reader.flag("galore_layerwise") else ""
        reader.becomes("use_galore", optimizer=_GALORE.get(asked, f"galore_{asked}") + layerwise)
        reader.ignores("optim", why="use_galore goes over it")
    reader.ignores("use_galore")


def read_gpus(reader: Reader) -> None:
    """Take the number of Ray's workers, which have a GPU each."""
    workers = plain(reader.raw("ray_num_workers"))
    if workers is not None and workers != 1:
        reader.becomes("ray_num_workers", num_gpus=workers)
    reader.ignores("ray_num_workers")


def training_defaults(reader: Reader) -> None:
    """What LLaMA-Factory gives the fields that are read here."""
    reader.default(f"{DATA}: cutoff_len", sequence_length=2048)
    reader.default(f"{DATA}: packing", packing=reader.text("stage") == "pt")
    own = _OWN_ATTENTION.get((model_type(reader), "auto"), "sdpa")
    reader.default(f"{MODEL}: flash_attn", attention=own)
    reader.default(f"{MODEL}: disable_gradient_checkpointing", gradient_checkpointing=True)
    if reader.gives("gradient_checkpointing") is not True:
        return
    if not is_off(reader.raw("disable_gradient_checkpointing")):
        return
    if reader.gives("strategy") == "fsdp2":
        reader.default("llamafactory/model/model_utils/checkpointing.py", use_reentrant=False)
    reader.default(f"{MODEL}: use_reentrant_gc", use_reentrant=True)
