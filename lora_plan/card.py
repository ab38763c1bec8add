"""The options that name a card, and the card that they name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lora_plan.arguments import Arguments, Option
from lora_plan.errors import UsageError
from lora_plan.options import number
from lora_plan.run_options import GPU, RUN_OPTIONS

if TYPE_CHECKING:
    from planner.catalogue import Gpu

RUN_AND_CARD_OPTIONS = (
    *(option for option in RUN_OPTIONS if option.panel != GPU),
    Option("gpu", "--gpu", GPU, "NAME", "A card that `lora-plan gpus` lists, as a100-80."),
    Option("gpu_memory", "--gpu-memory", GPU, "GIB", "A card of your own: its GiB in nvidia-smi."),
    Option("gpu_file", "--gpu-file", GPU, "FILE", "A card of your own, from a YAML, TOML or JSON file."),
    *(option for option in RUN_OPTIONS if option.panel == GPU),
)
"""The options of every command that puts a run on a card."""


def check_card(arguments: Arguments) -> None:
    """Raises `UsageError` where two cards are named, or none to check against."""
    cards = {"--gpu": "gpu", "--gpu-memory": "gpu_memory", "--gpu-file": "gpu_file"}
    given = [flag for flag, name in cards.items() if arguments[name] is not None]
    if len(given) > 1:
        raise UsageError(f"{given[0]} and {given[1]} name two cards; give one of them", field="gpu")
    if arguments.on("check") and not given:
        raise UsageError("--check needs a card to check against; name it with --gpu", field="gpu")


def card_of(arguments: Arguments) -> Gpu | str | None:
    """A card by its name or as a `Gpu`; None where none is named. Raises `InputError`."""
    memory, file = arguments.text("gpu_memory"), arguments.text("gpu_file")
    if memory is not None:
        from planner.catalogue import own_gpu

        return own_gpu(number(memory, "--gpu-memory", "a number of GiB, such as 24"))
    if file is not None:
        from planner.catalogue import read_gpu_file

        return read_gpu_file(file)
    return arguments.text("gpu")
