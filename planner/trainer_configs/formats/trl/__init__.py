"""TRL: YAML and JSON of its command line, command lines, and plain `TrainingArguments` of transformers."""

from __future__ import annotations

from dataclasses import replace

from planner.trainer_configs.document import Document
from planner.trainer_configs.format import ConfigFormat
from planner.trainer_configs.formats.hf_arguments import read_training_arguments, training_arguments_defaults
from planner.trainer_configs.formats.trl.keys import HARMLESS, MOVES, OF_DATA, PLAIN, SIGNS, VERSION
from planner.trainer_configs.formats.trl.method import method_defaults, read_method
from planner.trainer_configs.formats.trl.model import read_model
from planner.trainer_configs.formats.trl.training import read_loss, read_steps, step_defaults, trainer_of
from planner.trainer_configs.launcher import LAUNCHER_OPTIONS, read_launcher, read_launcher_options
from planner.trainer_configs.reader import Reader

_OF_IMAGES = ("mm_", "image_", "pretrain_mm_", "tune_mm_")
_ALLOCATOR = ("PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF")


def _signs(document: Document) -> tuple[str, ...]:
    if document.words and document.words[0].rpartition("/")[2] == "trl":
        return (" ".join(document.words),)
    return tuple(key for key in SIGNS if key in document.settings)


def _read(reader: Reader) -> None:
    _named_config(reader)
    trainer = trainer_of(reader.document)
    trl = trainer is not None
    read_model(reader)
    read_method(reader, trl=trl)
    read_training_arguments(reader, besides=("use_cache",) if trl else (), checkpoints=trl)
    _reentrant(reader)
    _launcher(reader, trl=trl)
    read_steps(reader, trainer)
    _images(reader)
    reader.moves(MOVES)
    _environment(reader)
    reader.ignores("use_cache", why="SFTTrainer turns it off")
    reader.ignores(*OF_DATA, why="give --dataset or --examples for hours and cost")
    reader.ignores(*HARMLESS)
    step_defaults(reader, trainer)
    method_defaults(reader, trl=trl)
    training_arguments_defaults(reader)
    read_loss(reader, trainer)
    if not trl:
        reader.taken_for(*PLAIN)
        reader.note(
            "nothing in it is TRL's, so defaults are those of TrainingArguments, where gradient checkpointing and bf16 "
            "are off"
        )
        if reader.gives("sequence_length") is None:
            reader.uncounted("max_length", "nothing says how long a sequence is; --seq-len does", "sequence_length")


def _named_config(reader: Reader) -> None:
    """Put what the file of `--config` says below the options that stand beside it (`TrlParser`)."""
    document = reader.document
    name = reader.text("config") if document.words and reader.has("config") else None
    if name is None or not reader.include("config"):
        return
    below = reader.mapping("config") or {}
    given = {key: value for key, value in document.settings.items() if key != "config"}
    reader.document = replace(document, settings={**below, **given})


def _launcher(reader: Reader, *, trl: bool) -> None:
    """The launcher's options, of which `trl sft` takes some among its own and from its config.

    It has a say in autocast's dtype where the config turns neither bf16 nor fp16 on, which TRL's do by themselves.
    """
    on = bool(reader.flag("bf16") or reader.flag("fp16")) or (trl and not reader.has("bf16"))
    words = reader.document.words
    if not words or words[0].rpartition("/")[2] == "trl":
        names = [name for name in reader.document.settings if name in LAUNCHER_OPTIONS or name.startswith("fsdp_")]
        names = [name for name in names if not name.startswith("fsdp_") or "use_fsdp" in names]
        read_launcher_options(reader, {name: name for name in names}, mixed_precision=not on)
    read_launcher(reader, mixed_precision=not on)
    launched = words and words[0].rpartition("/")[2] in ("accelerate", "trl", "deepspeed")
    if launched and reader.gives("num_gpus") is None:
        reader.note(f"{words[0]} starts a process for each GPU that it finds, and one is planned; --gpus says how many")


def _reentrant(reader: Reader) -> None:
    """The setting of PEFT's examples/sft, which puts it into `gradient_checkpointing_kwargs`."""
    if reader.gives("gradient_checkpointing") in (True, None):
        reader.same({"use_reentrant": "use_reentrant"})
    reader.ignores("use_reentrant", why="nothing is checkpointed")


def _images(reader: Reader) -> None:
    """What LLaVA's scripts say of images beside `vision_tower`, which is what moves memory."""
    if reader.has("vision_tower"):
        names = [name for name in reader.document.settings if name.startswith(_OF_IMAGES)]
        reader.ignores(*names, why="counts with vision_tower")


def _environment(reader: Reader) -> None:
    """`env:` of a config, which TRL sets before anything else."""
    for name in reader.mapping("env") or {} if reader.has("env") else {}:
        if name in _ALLOCATOR:
            reader.uncounted(f"env.{name}", "the allocator caches in another way, which moves the reserved level alone")
        else:
            reader.ignores(f"env.{name}")


FORMAT = ConfigFormat(name="trl", title="TRL", version=VERSION, signs=_signs, read=_read)
