"""torchtune's configs: components by the names of their builders, and the settings of its recipes.

What the recipes do is that of torchtune 0.6.1: `recipes/*.py`.
"""

from __future__ import annotations

from dataclasses import replace

from planner.errors import InputError
from planner.trainer_configs.document import OPTION, Document, printable
from planner.trainer_configs.format import ConfigFormat
from planner.trainer_configs.formats.torchtune import keys, recipe
from planner.trainer_configs.formats.torchtune.command import is_command, read_command
from planner.trainer_configs.formats.torchtune.interpolation import filled_in, referred_to
from planner.trainer_configs.formats.torchtune.model import read_model
from planner.trainer_configs.formats.torchtune.optimizer import read_optimizer
from planner.trainer_configs.launcher import read_launcher
from planner.trainer_configs.reader import Reader


def _signs(document: Document) -> tuple[str, ...]:
    if is_command(document):
        return ("tune run",)
    return tuple(
        f"{name}._component_"
        for name, value in document.settings.items()
        if isinstance(value, dict) and isinstance(value.get("_component_"), str)
    )


def _read(reader: Reader) -> None:
    name = _read_command(reader)
    shared = referred_to(reader.document.settings)
    reader.document = replace(reader.document, settings=filled_in(reader.document.settings))
    _refuse_other_recipes(reader)
    read_model(reader, "model" if reader.has("model") or not reader.has("policy_model") else "policy_model")
    if reader.has("policy_model"):
        reader.uncounted("policy_model._component_", keys.REINFORCED)
    recipe.read_batch(reader)
    recipe.read_data(reader)
    recipe.read_precision(reader)
    recipe.read_checkpointing(reader)
    read_optimizer(reader)
    recipe.read_loss(reader)
    recipe.read_sharding(reader, name)
    recipe.read_job(reader)
    reader.moves(keys.MOVES)
    reader.ignores(*keys.HARMLESS)
    reader.ignores(*keys.HOST, why="checkpoints pass through host memory")
    reader.ignores(*keys.NOT_READ, why="no recipe of torchtune 0.6.1 reads it")
    reader.ignores(*keys.OF_REINFORCEMENT)
    reader.ignores(*sorted(shared), why="other settings take their value from it")
    _defaults(reader)


def _read_command(reader: Reader) -> str:
    """The config that a command line names, in the place of the command; the name of its recipe, if it has one."""
    if not is_command(reader.document):
        return ""
    reader.document, name, path = read_command(reader.document)
    reader.note(f"{printable(path)} is read with it, which --config names")
    read_launcher(reader, mixed_precision=False)
    return name


def _refuse_other_recipes(reader: Reader) -> None:
    for key, what in keys.NO_TRAINING.items():
        if reader.has(key) and not reader.has("optimizer"):
            raise InputError(
                f"{reader.document.name} is torchtune's config for {what} ({key}), which trains nothing; "
                "give that of a fine-tuning recipe",
                field=OPTION,
            )


def _defaults(reader: Reader) -> None:
    """What the recipes and their modules do where no setting says otherwise."""
    reader.default(f"{recipe.RECIPE}: clip_grad_norm", max_grad_norm=0)
    reader.default(f"{recipe.RECIPE}: no evaluation", eval_batch_size=0)
    reader.default(f"{recipe.RECIPE}: _loss_step frees the logits", trainer="transformers")
    reader.default("torchtune/modules/attention_utils.py: _sdpa_or_flex_attention", attention="sdpa")
    reader.default("torchtune/modules: its own", kernels="hf")


FORMAT = ConfigFormat(name="torchtune", title="torchtune", version="torchtune 0.6.1", signs=_signs, read=_read)
