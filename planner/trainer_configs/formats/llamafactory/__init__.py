"""LLaMA-Factory: the YAML and JSON files of `llamafactory-cli train`, and its command lines."""

from __future__ import annotations

from planner.trainer_configs.document import Document
from planner.trainer_configs.format import ConfigFormat
from planner.trainer_configs.formats.hf_arguments import read_training_arguments, training_arguments_defaults
from planner.trainer_configs.formats.llamafactory.keys import FORMER, HARMLESS, MOVES, MOVES_OFF, OF_DATA, SIGNS
from planner.trainer_configs.formats.llamafactory.method import method_defaults, read_method
from planner.trainer_configs.formats.llamafactory.shipped import fill_in_shipped
from planner.trainer_configs.formats.llamafactory.training import (
    STAGES,
    read_attention,
    read_checkpointing,
    read_gpus,
    read_optimizer,
    read_sequences,
    read_stage,
    training_defaults,
)
from planner.trainer_configs.launcher import read_launcher
from planner.trainer_configs.reader import PLACEHOLDER, Reader, is_placeholder

_OPEN = {
    "cutoff_len": "sequence_length",
    "finetuning_type": "method",
    "flash_attn": "attention",
    "lora_alpha": "alpha",
    "lora_target": "target_modules",
    "quantization_bit": "quantization",
}
"""Setting -> the field that is open where the setting is to be filled in by something else."""


def _signs(document: Document) -> tuple[str, ...]:
    """Two settings of its own, or one that nothing else could be."""
    settings = document.settings
    if any(word.rpartition("/")[2].startswith("llamafactory") for word in document.words):
        return (" ".join(document.words),)
    found = [key for key in SIGNS if key in settings]
    if settings.get("stage") in ("sft", "pt", *STAGES):
        found.append("stage")
    return tuple(found) if len(found) > 1 or "finetuning_type" in settings else ()


def _read(reader: Reader) -> None:
    read_launcher(reader)
    _placeholders(reader)
    fill_in_shipped(reader)
    read_stage(reader)
    read_method(reader)
    read_attention(reader)
    read_sequences(reader)
    read_checkpointing(reader)
    read_optimizer(reader)
    read_gpus(reader)
    _trains(reader)
    besides = ("gradient_checkpointing", *(("optim",) if reader.flag("use_galore") else ()))
    # it takes transformers up to 5.6.0, in which FSDP is the first unless it is told otherwise
    read_training_arguments(reader, besides=besides, fsdp_version=1)
    reader.moves(MOVES)
    for key, why in MOVES_OFF.items():
        if reader.flag(key) is False:
            reader.uncounted(key, why)
    reader.ignores(*OF_DATA, why="give --dataset or --examples for hours and cost")
    reader.ignores(*HARMLESS, *FORMER, *MOVES_OFF)
    method_defaults(reader)
    training_defaults(reader)
    training_arguments_defaults(reader)


def _placeholders(reader: Reader) -> None:
    for key, field in _OPEN.items():
        if is_placeholder(reader.document.settings.get(key)):
            reader.uncounted(key, PLACEHOLDER, field)


def _trains(reader: Reader) -> None:
    """`do_train` is off by default, and files that are shown to others often leave it out."""
    if reader.flag("do_train") is False:
        reader.uncounted("do_train", "nothing is trained, and it is planned as if it were")
    elif not reader.has("do_train"):
        reader.note("do_train is not on, without which LLaMA-Factory does not train; it is planned as if it were")


FORMAT = ConfigFormat(
    name="llamafactory",
    title="LLaMA-Factory",
    version="llamafactory 0.9.5",
    signs=_signs,
    read=_read,
    includes=("trl",),
)
