"""A provider's name for a card, and the card of the catalogue that it is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from planner.catalogue import Gpu, find_gpu, list_gpus
from planner.catalogue.spelling import squash_gpu
from planner.errors import InputError
from planner.units import GIB

_SAME = {
    # GCP's A3 Mega machines hold H100 SXM cards with faster networking (sky/catalog/data_fetchers/fetch_gcp.py)
    "h100mega": "H100-SXM",
    "h100-80mega": "H100-SXM",
    # suffixes of the server and workstation editions on Vast, RunPod and in gpuhunt; both have 96 GB and 600 W
    "rtxpro6000s": "RTX-PRO-6000",
    "rtxpro6000se": "RTX-PRO-6000",
    "rtxpro6000ws": "RTX-PRO-6000",
    "rtxpro6000wk": "RTX-PRO-6000",
    "rtxpro6000-96gb": "RTX-PRO-6000",
}
"""Names that nobody types for a card but that price lists use, squashed."""

_FORMS = ("SXM", "PCIe", "NVL")
_MEMORY_TOLERANCE = 0.10
"""Providers say 24, 22.35 or 22.5 GiB of the same L4: on the box, 24e9 bytes in GiB, or what the driver reports. Two
cards of one name differ by 18 % at least (H100: 80 and 94 GB)."""


@dataclass(frozen=True, slots=True)
class Card:
    """A card of the catalogue, and what the name it was found by left open."""

    gpu: str
    note: str = ""


@lru_cache(maxsize=4096)
def catalogue_card(name: str, memory_gib: float | None = None, hint: str = "") -> Card | None:
    """The card that a provider calls `name`; None where the catalogue has none, or where it could be of two sizes.

    `memory_gib` is what one card has, by the provider; `hint` is text that may name the form besides, as the instance
    type `gpu_1x_h100_pcie` does. Where only the form is open (SXM or PCIe), SXM is taken and the note says so.
    """
    found = [gpu for gpu in _named(name) if _holds(gpu, memory_gib)]
    found = _of_form(found, name) if _forms(name) else _of_form(found, hint)
    if not found:
        return None
    if len({round(gpu.marketing_gb) for gpu in found}) > 1:
        return None
    best = next((gpu for gpu in found if "SXM" in gpu.name), found[0])
    if len(found) == 1:
        return Card(best.name)
    forms = " or ".join(form for form in _FORMS if any(form in gpu.name for gpu in found))
    return Card(best.name, f"{forms} is not said; {best.name} taken")


def _named(name: str) -> list[Gpu]:
    """All cards that the name may mean."""
    same = _SAME.get(squash_gpu(name))
    try:
        match = find_gpu(same or name)
    except InputError:
        return []
    if match.note is None:
        return [match.gpu]
    key = squash_gpu(name)
    family = re.match(r"[a-z]+\d+", key)
    if family is None:
        return [match.gpu]
    size = re.search(r"(\d+)gb?$|(?<=\d)-(\d+)", key)
    members = [gpu for gpu in list_gpus() if squash_gpu(gpu.name).startswith(family[0])]
    if size is not None:
        members = [gpu for gpu in members if gpu.marketing_gb == float(size[1] or size[2])]
    return members


def _holds(gpu: Gpu, memory_gib: float | None) -> bool:
    if memory_gib is None:
        return True
    sizes = (gpu.marketing_gb, gpu.memory_bytes / GIB)
    return any(abs(memory_gib - size) <= _MEMORY_TOLERANCE * size for size in sizes)


def _forms(text: str) -> list[str]:
    return [form for form in _FORMS if form.casefold() in text.casefold()]


def _of_form(gpus: list[Gpu], text: str) -> list[Gpu]:
    """Those that are of a form that the text names; all of them where it names none, or where they have no form."""
    forms = _forms(text)
    return [gpu for gpu in gpus if not forms or not _forms(gpu.name) or _forms(gpu.name) == forms]
