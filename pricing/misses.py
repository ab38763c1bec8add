"""Why what nearly would do does not: on which card a method comes nearest to fitting."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# numpy's stubs are written in the syntax of Python 3.12; to 3.10 much of them is unknown

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from planner.memory.levels import interval
from planner.search.evaluate import Sheet
from planner.search.space import Space
from pricing.frontier import Place, rows_of
from pricing.offer import Offer
from pricing.recommendation import MemoryMiss

FARTHEST = 4.0
"""How many times what is usable a run may need to be called near, where others fit."""


def memory_miss(
    space: Space, sheets: Sequence[Sheet], method: str, offers: Mapping[tuple[int, str], Sequence[Offer]]
) -> MemoryMiss | None:
    """The card on which a method comes nearest to fitting and does not, by itself or, where it fits nowhere, in any
    number; None where it fits everywhere."""
    needed: dict[tuple[int, str], tuple[float, Place]] = {}
    fitting: set[tuple[int, str]] = set()
    for sheet in sheets:
        rows = rows_of(sheet, method)
        if not rows or not sheet.possible[rows].any():
            continue
        least = np.where(sheet.possible[rows][:, None, :, None], sheet.reserved[rows], np.inf)
        flat = least.reshape(-1, len(sheet.gpus))
        fits = set(np.flatnonzero(sheet.fits[rows].reshape(-1, len(sheet.gpus)).any(axis=0)).tolist())
        for card, gpu in enumerate(sheet.gpus):
            key = (sheet.num_gpus, gpu.name)
            if card in fits:
                fitting.add(key)
            setting, optimizer, split = (int(i) for i in np.unravel_index(flat[:, card].argmin(), least.shape[:3]))
            size = float(flat[:, card].min())
            if key not in needed or size < needed[key][0]:
                needed[key] = size, Place(sheet, rows[setting], optimizer, split, card)
    missed = [(key, *found) for key, found in needed.items() if key not in fitting and key in offers]
    alone = [miss for miss in missed if miss[0][0] == 1]
    if fitting and not alone:
        return None
    chosen = min(
        alone if fitting else missed, key=lambda miss: miss[1] / miss[2].sheet.usable[miss[2].card], default=None
    )
    if chosen is None:
        return None
    key, size, place = chosen
    if fitting and size > FARTHEST * place.sheet.usable[place.card]:
        return None
    sheet = place.sheet
    run = space.run(
        sheet.settings[place.setting],
        sheet.optimizers[place.optimizer],
        sheet.splits[place.split],
        sheet.num_gpus,
        sheet.strategy,
    )
    return MemoryMiss(
        method=method,
        run=run,
        gpu=key[1],
        needed_bytes=round(size),
        high_bytes=round(size * interval("reserved", 1.0, {}, sharded=sheet.strategy == "fsdp")[1]),
        usable_bytes=round(float(sheet.usable[place.card])),
        usd_per_hour=offers[key][0].usd_per_hour,
    )
