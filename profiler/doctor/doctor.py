"""What this machine has for `lora-plan verify`, and what keeps it from measuring."""

from __future__ import annotations

import importlib
import os
import platform
import shutil
from pathlib import Path
from typing import Any

from planner.catalogue.spelling import shown, shown_path
from planner.errors import NoUsableDevice
from planner.units import GIB, format_bytes
from profiler.doctor.diagnosis import OK, PROBLEM, WARNING, Diagnosis, Finding, FoundCard
from profiler.doctor.libraries import BitsAndBytes, bitsandbytes, first_line, installed, no_bitsandbytes
from profiler.measure.device import host, nvml, visible
from profiler.measure.device.busy import busy, named
from profiler.measure.device.find import find_device, no_torch, overlooked
from profiler.measure.types import MeasuredDevice
from profiler.simulate.cache import default_folder

LEAST_DISK = GIB
"""Records and simulations are small, and a disk that is full loses them."""


def examine() -> Diagnosis:
    """Looks at everything; what is missing or broken is a finding, never an error.

    Imports torch and bitsandbytes, and makes a CUDA context where there is a card: tens of seconds on a slow disk.
    """
    # before torch makes a context on it: what is free then is free for a run
    cards = tuple(_found(index, card) for index, card in enumerate(nvml.cards()))
    usable, crowded, broken = _taken()
    library = bitsandbytes() if no_torch() is None else None
    folder = default_folder()
    disk = _disk_free(folder)
    cuda = nvml.driver_cuda()
    findings = [
        _device_finding(usable, broken),
        *_gpu_findings(usable, cards, crowded),
        *([_bitsandbytes_finding(usable, library)] if usable and library else []),
        *_disk_findings(folder, disk),
    ]
    return Diagnosis(
        python=platform.python_version(),
        system=platform.platform(),
        runtime=_runtime() if no_torch() is None else None,
        driver=nvml.driver_version(),
        driver_cuda=f"{cuda[0]}.{cuda[1]}" if cuda else None,
        cuda_visible_devices=visible.setting(),
        cards=cards,
        libraries=installed(),
        bitsandbytes=library,
        host_total_bytes=host.total_bytes(),
        host_available_bytes=host.available_bytes(),
        cache_folder=str(folder) if folder else None,
        disk_free_bytes=disk,
        usable=usable,
        findings=tuple(findings),
    )


def _taken() -> tuple[MeasuredDevice | None, str | None, str | None]:
    """The device that verify would take, who else is on it, and why there is none."""
    try:
        device = find_device()
        return device.described(), busy(device), None
    except NoUsableDevice as error:
        return None, None, str(error)
    except RuntimeError as error:  # torch's own, of a card that breaks down on the way
        return (
            None,
            None,
            f"the device cannot be used ({first_line(error)}); see what nvidia-smi says of it",
        )


def _found(index: int, card: nvml.Card) -> FoundCard:
    running = card.processes()
    return FoundCard(
        index=index,
        name=card.name(),
        uuid=card.uuid(),
        total_bytes=card.total_bytes(),
        free_bytes=card.free_bytes(),
        compute_capability=card.compute_capability(),
        mig=card.mig(),
        temperature_c=card.temperature_c(),
        slowed_by=card.slowed_by(),
        processes=tuple(one for one in running if one.pid != os.getpid()) if running is not None else None,
    )


def _runtime() -> str | None:
    torch: Any = importlib.import_module("torch")
    from profiler.measure.device.cuda import built_for

    return built_for() or (f"XPU {torch.version.xpu}" if torch.version.xpu else "CPU")


def _device_finding(usable: MeasuredDevice | None, broken: str | None) -> Finding:
    if usable is None:
        return Finding(PROBLEM, broken or "there is no device to measure on")
    free = format_bytes(usable.free_bytes)
    text = f"verify would measure on {usable.name} ({usable.kind}), which has {free} free"
    if usable.kind == "cpu":
        return Finding(OK, f"{text}; a CPU says what a run allocates, not how fast a GPU is")
    return Finding(OK, text)


def _gpu_findings(usable: MeasuredDevice | None, cards: tuple[FoundCard, ...], crowded: str | None) -> list[Finding]:
    found: list[Finding] = []
    if usable and usable.kind == "cpu" and (reason := overlooked()):
        found.append(Finding(PROBLEM, reason))
    if usable and usable.kind == "cuda" and (usable.runtime or "").startswith("CUDA") and (why := nvml.unavailable()):
        found.append(
            Finding(
                WARNING,
                f"NVML does not answer ({why}), so that other processes, power and the process' own memory on the card "
                "stay unknown; pip install nvidia-ml-py, or see whether nvidia-smi works",
            )
        )
    if crowded:
        found.append(Finding(WARNING, crowded))
    for card in cards:
        name = f"card {card.index} ({card.name or 'unnamed'})"
        others = named(card.processes or ())
        if others and not crowded:
            found.append(Finding(WARNING, f"{name}: {others}"))
        if card.mig:
            found.append(
                Finding(
                    WARNING,
                    f"{name} is in MIG mode: a run gets one slice, with a part of its memory and rate; "
                    "choose the slice by CUDA_VISIBLE_DEVICES=MIG-..., or leave MIG (nvidia-smi -mig 0)",
                )
            )
        if "heat" in (card.slowed_by or ()):
            found.append(
                Finding(
                    WARNING, f"{name} is slowed down by heat, and so are steps timed now; let it cool, or see its fans"
                )
            )
    hidden = _hidden(cards)
    return [*found, Finding(WARNING, hidden)] if hidden else found


def _hidden(cards: tuple[FoundCard, ...]) -> str | None:
    """That only some of the cards are to be seen; that none is, `overlooked` says."""
    value = visible.setting()
    left = visible.left(value, [card.uuid or "" for card in cards]) if value is not None else len(cards)
    if value is None or left == 0 or left >= len(cards):
        return None
    return f"CUDA_VISIBLE_DEVICES={shown(value)} leaves {left} of {len(cards)} cards; unset it to see them all"


def _bitsandbytes_finding(usable: MeasuredDevice, library: BitsAndBytes) -> Finding:
    reason = no_bitsandbytes(usable.kind)
    if reason is not None:
        return Finding(PROBLEM, reason)
    loaded = f"bitsandbytes has loaded {library.library}" if library.library else "bitsandbytes has no native library"
    if usable.kind not in library.kernels:
        return Finding(
            WARNING,
            f"{loaded} and has no 4-bit kernels of its own for {usable.kind}: plain torch operators stand in, which "
            "take more time and memory than on CUDA; install a newer bitsandbytes, or measure without quantization",
        )
    return Finding(OK, f"{loaded}, with 4-bit kernels for {usable.kind}")


def _disk_free(folder: Path | None) -> int | None:
    if folder is None:
        return None
    try:
        here = next(place for place in (folder, *folder.parents) if place.exists())
        return shutil.disk_usage(here).free
    except (OSError, StopIteration):
        return None


def _disk_findings(folder: Path | None, free: int | None) -> list[Finding]:
    if folder is None:
        return [Finding(WARNING, "no home folder is known, so that nothing is cached; set LORA_PLAN_CACHE to a folder")]
    if free is not None and free < LEAST_DISK:
        text = f"the disk of {shown_path(folder)} has only {format_bytes(free)} free; make room, or set LORA_PLAN_CACHE"
        return [Finding(WARNING, text)]
    return []
