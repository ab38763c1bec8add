"""Whether others use the card, too."""

from __future__ import annotations

import os
from collections.abc import Sequence

from planner.catalogue.spelling import shown
from planner.units import MIB, format_bytes
from profiler.measure.device.base import Device
from profiler.measure.device.nvml import CardProcess

NO_CONTEXT = 96 * MIB
"""Less than a CUDA context (`planner/catalogue/data/contexts.csv` has 134 MiB as the smallest): the MPS server,
and what a driver keeps for itself on some cards and not on others, is no training beside this one."""

UNNAMED = 512 * MIB
"""What is in use and no process is named for, before it counts: the context's size is known by that much."""


def busy(device: Device) -> str | None:
    """One sentence on who else is on the card; None for nobody, and for what is no CUDA card.

    Call it before anything is loaded, and when no other process of one's own holds a CUDA context. Processes are
    NVML's, where they can be told from this one; what nobody is named for (a desktop, another container's, all
    where NVML does not answer) is told from the card's memory that is in use beside this process.
    """
    if device.kind != "cuda":
        return None
    card = device.card()
    running = (card.processes() if card else None) or ()
    others = [process for process in running if process.pid != os.getpid()]
    return (named(others) if len(others) < len(running) else None) or _unnamed(device)


def _unnamed(device: Device) -> str | None:
    found, allocator = device.described(), device.allocator()
    own = found.memory_bytes - (found.usable_bytes or found.memory_bytes) + (allocator.reserved if allocator else 0)
    others = found.memory_bytes - found.free_bytes - own
    if others < UNNAMED:
        return None
    return (
        f"{format_bytes(others)} of the card are in use by others that the driver does not name here (a desktop, "
        "another container), so that memory runs out earlier and steps may take longer; see nvidia-smi on the host, "
        "or choose another card by CUDA_VISIBLE_DEVICES"
    )


def named(others: Sequence[CardProcess]) -> str | None:
    """The sentence on these processes; None where none of them computes."""
    others = [process for process in others if process.bytes is None or process.bytes >= NO_CONTEXT]
    if not others:
        return None
    who = ", ".join(_said(process) for process in others[:3]) + (", ..." if len(others) > 3 else "")
    one = len(others) == 1
    return (
        f"{'another process is' if one else f'{len(others)} other processes are'} on the card ({who}), so that memory "
        f"runs out earlier and steps take longer; end {'it' if one else 'them'}, or choose another card by "
        "CUDA_VISIBLE_DEVICES"
    )


def _said(process: CardProcess) -> str:
    name = f" {shown(process.name, 40)}" if process.name else ""
    size = f", {format_bytes(process.bytes)}" if process.bytes is not None else ""
    return f"pid {process.pid}{name}{size}"
