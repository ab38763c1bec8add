"""Which cards CUDA_VISIBLE_DEVICES leaves."""

from __future__ import annotations

import os
from collections.abc import Sequence

from planner.catalogue.spelling import shown

VARIABLE = "CUDA_VISIBLE_DEVICES"


def setting() -> str | None:
    """What the variable is set to; None where it is not set."""
    return os.environ.get(VARIABLE)


def left(value: str, uuids: Sequence[str]) -> int:
    """How many of the cards with these UUIDs are left.

    A card is named by its number or by its UUID or the beginning of one. The list ends before the first that names
    no card, and a card that is named twice leaves none (CUDA C++ Programming Guide, "CUDA Environment Variables").
    """
    chosen: list[int | str] = []
    for entry in map(str.strip, value.split(",")):
        card = _card(entry, uuids)
        if card is None:
            break
        if card in chosen:
            return 0
        chosen.append(card)
    return len(chosen)


def hides_all(value: str, uuids: Sequence[str]) -> str:
    """The sentence for a value that leaves none of the cards."""
    if not value.strip():
        what = f"{VARIABLE} is set to nothing, which hides every card"
    else:
        what = f"{VARIABLE}={shown(value)} names no card of this machine"
    if not uuids:
        return f"{what}; unset it, or name a card by its number"
    numbers = "0" if len(uuids) == 1 else f"0 to {len(uuids) - 1}"
    return f"{what}; unset it, or give the number of a card that is here: {numbers}"


def _card(entry: str, uuids: Sequence[str]) -> int | str | None:
    """The number of the card; of a MIG slice, whose UUIDs are not among the cards', its name."""
    if entry.startswith("MIG-"):
        return entry
    if entry.isascii() and entry.isdigit():
        return int(entry) if int(entry) < len(uuids) else None
    of_that_name = [index for index, uuid in enumerate(uuids) if entry and uuid.casefold().startswith(entry.casefold())]
    return of_that_name[0] if len(of_that_name) == 1 else None
