"""What a step of TRL's trainers does beside `Trainer`'s: lengths, packing, the loss, and steps that are not planned."""

from __future__ import annotations

import re

from planner.trainer_configs.document import Document
from planner.trainer_configs.formats.trl.keys import LENGTHS, OF_OTHER_STEPS, OTHER_STEPS, SFT_SIGNS
from planner.trainer_configs.reader import Reader, is_off

SFT_CONFIG = "trl/trainer/sft_config.py"
BASE_CONFIG = "trl/trainer/base_config.py"
SFT_TRAINER = "trl/trainer/sft_trainer.py"

CHUNKED = (
    "TRL 1.16 computes the loss in chunks and never holds all logits at once, which are planned whole: "
    "at the loss and in evaluation it holds less"
)
_NAMED = re.compile(rf"(?:^|[_\-./]){'(' + '|'.join(OTHER_STEPS) + ')'}(?=[_\-.]|$)", re.IGNORECASE)
_SFT_NAMED = re.compile(r"(?:^|[_\-./])sft(?:trainer)?(?=[_\-.]|$)", re.IGNORECASE)


def trainer_of(document: Document) -> str | None:
    """`sft`, or one of `OTHER_STEPS`, as the command or the settings say; None for plain `TrainingArguments`."""
    for word in (word.rpartition("/")[2] for word in document.words):
        named = _NAMED.search(word)
        if named is not None or _SFT_NAMED.search(word):
            return named[1].lower() if named is not None else "sft"
    for trainer, names in OF_OTHER_STEPS.items():
        if any(name in document.settings for name in names):
            return trainer
    # scripts of all kinds call the length so; TRL's YAML did until 0.19
    signs = [name for name in SFT_SIGNS if not (document.words and name == "max_seq_length")]
    return "sft" if any(name in document.settings for name in signs) else None


def read_steps(reader: Reader, trainer: str | None) -> None:
    """Say what becomes of what only TRL's configs have. trainer: as `trainer_of` tells it."""
    if trainer in OTHER_STEPS:
        _other_steps(reader, trainer)
    _length(reader)
    _packing(reader)
    if reader.has("activation_offloading"):
        _offloading(reader)
    template = reader.text("chat_template_path")
    if template is not None and not template.endswith((".jinja", ".j2")):
        why = "a cloned template can add tokens, which train with the head in full"
        reader.uncounted("chat_template_path", why)
    reader.ignores("chat_template_path")
    if reader.has("test_split_size"):
        size = reader.number("test_split_size") or 0.0
        if 0 < size < 1:
            reader.becomes_job("test_split_size", eval_split=size)
        reader.ignores("test_split_size", why="a number of rows; --eval-split takes a share")
    if reader.has("use_liger"):
        reader.becomes("use_liger", kernels="liger" if reader.flag("use_liger") else "hf")


def read_loss(reader: Reader, trainer: str | None) -> None:
    """Where the loss is in chunks: in `SFTTrainer`, but for smoothed labels (`SFTTrainer.compute_loss`)."""
    smoothed = not is_off(reader.raw("label_smoothing_factor")) and reader.raw("loss_type") != "dft"
    if trainer == "sft" and not smoothed:
        liger = "; liger's fused loss is planned in its place" if reader.gives("kernels") == "liger" else ""
        reader.uncounted("loss_type", f"TRL 1.16 computes the loss in chunks of its own{liger}" if liger else CHUNKED)
    reader.ignores("loss_type")


def step_defaults(reader: Reader, trainer: str | None) -> None:
    """The defaults of TRL's configs, which go before those of `TrainingArguments`."""
    if trainer is None:
        return
    reader.default(f"{BASE_CONFIG}: gradient_checkpointing", gradient_checkpointing=True)
    reader.default(f"{BASE_CONFIG}: bf16", mixed_precision="bf16")
    if trainer == "sft":
        if not _untruncated(reader):
            reader.default(f"{SFT_CONFIG}: max_length", sequence_length=1024)
        reader.default(f"{SFT_CONFIG}: packing", packing=False)
    shards_adapters = reader.gives("strategy") == "zero3" and reader.gives("method") in ("lora", "qlora")
    if shards_adapters and reader.gives("gradient_checkpointing") is True:
        reader.default(f"{SFT_TRAINER}: __init__, PEFT with ZeRO-3", use_reentrant=True)


def _other_steps(reader: Reader, trainer: str) -> None:
    names = [name for settings in OF_OTHER_STEPS.values() for name in settings if name in reader.document.settings]
    asked = any(_NAMED.search(word.rpartition("/")[2]) for word in reader.document.words)
    own = next((name for name in OF_OTHER_STEPS.get(trainer, ()) if name in names), None)
    key = " ".join(reader.document.words) if asked or own is None else own
    title = "DPO, or of ORPO or CPO without the reference," if trainer == "dpo" and not asked else trainer.upper()
    reader.uncounted(key, f"a step of {title} holds {OTHER_STEPS[trainer]}, which are not planned")
    vllm = [name for name in reader.document.settings if name.startswith("vllm_")]
    reader.ignores(*names, *vllm, why=f"of {trainer.upper()}, which is planned as supervised fine-tuning")


def _untruncated(reader: Reader) -> bool:
    """Whether samples keep their length: `max_length: null`."""
    settings = reader.document.settings
    return "max_length" in settings and is_off(settings["max_length"])


def _length(reader: Reader) -> None:
    found = [key for key in LENGTHS if reader.has(key) and not is_off(reader.raw(key))]
    if not found and reader.has("target_max_len"):
        # qlora.py cuts the two parts of a sample by themselves, and lays them end to end
        lengths = [reader.whole(key) or 0 for key in ("source_max_len", "target_max_len")]
        reader.becomes("target_max_len", sequence_length=sum(lengths))
        reader.becomes("source_max_len", sequence_length=sum(lengths))
    if _untruncated(reader):
        reader.uncounted("max_length", "no sample is cut, so the longest decides; --seq-len", "sequence_length")
    elif found:
        reader.same({found[0]: "sequence_length"})
        reader.ignores(*found[1:], why=f"{found[0]} is taken")
    reader.same(dict.fromkeys((key for key in LENGTHS if key not in found and key != "max_length"), "sequence_length"))
    _padded(reader)


def _padded(reader: Reader) -> None:
    """Batches are padded to a multiple after they are cut (`DataCollatorForLanguageModeling`)."""
    key = "pad_to_multiple_of"
    if not reader.has(key) or is_off(reader.raw(key)) or reader.text(key) == "auto":
        reader.ignores(key)
        return
    multiple, length = reader.whole(key) or 1, reader.gives("sequence_length") or 1024
    if isinstance(length, str) and length.strip().isdecimal() and len(length) < 12:
        length = int(length)
    if isinstance(length, int) and multiple > 0 and length % multiple:
        reader.becomes(key, sequence_length=-(-length // multiple) * multiple)
    reader.ignores(key, why="the longest sequence is such a multiple")


def _packing(reader: Reader) -> None:
    reader.same({"packing": "packing"})
    strategy = (reader.text("packing_strategy") or "bfd").lower()
    flash = str(reader.gives("attention") or "sdpa").startswith("flash")
    if reader.has("packing") and reader.flag("packing") and strategy != "wrapped" and not flash:
        # the batch is one row, whose documents SDPA and eager attention keep apart by a mask of its square
        reader.uncounted("packing", "the batch is one row with a mask of rows x rows, and planned without", "attention")
    reader.ignores("packing_strategy")


def _offloading(reader: Reader) -> None:
    """`OffloadActivations` moves every saved tensor to the host, which with checkpointing are the blocks' inputs."""
    key = "activation_offloading"
    checkpoints = reader.gives("gradient_checkpointing") is not False
    if not reader.flag(key):
        reader.ignores(key)
    elif checkpoints:
        reader.becomes(key, checkpoint_offload=True)
    else:
        reader.uncounted(key, "what the forward pass saves waits in host memory, and is planned on the GPU")
