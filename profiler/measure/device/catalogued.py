"""Which card of the catalogue a device is."""

from __future__ import annotations

from planner.catalogue.gpus import Gpu, find_gpu, list_gpus
from planner.errors import InputError

FURTHEST = 0.08
"""How far a card's memory may be from the catalogue's, as a share: ECC, which some cards can switch on, takes 6 %
of an RTX 6000 Ada (`memory.csv`), and two sizes of one chip are further apart."""


def catalogued(name: str, memory_bytes: int) -> str | None:
    """The catalogue's name of the card that torch calls `name` and that has so much memory for programs.

    Where one name stands for cards of several sizes, their memory tells them apart; None for a card that is in
    the catalogue under no name, or with another memory (a MIG slice).
    """
    try:
        found = find_gpu(name).gpu
    except InputError:
        return None
    chip, form = (found.name.split("-")[place] for place in (0, -1))
    siblings = [gpu for gpu in list_gpus() if gpu.name.split("-")[0] == chip]
    siblings.sort(key=lambda gpu: (gpu is not found, not gpu.name.endswith(form)))
    fitting = [gpu for gpu in siblings if _off(gpu, memory_bytes) <= FURTHEST]
    return fitting[0].name if fitting else None


def _off(gpu: Gpu, memory_bytes: int) -> float:
    return abs(memory_bytes / gpu.torch_total_bytes - 1)
