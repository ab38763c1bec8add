"""Memory that runs out while steps are run: an outcome, and not an error."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Generator

from planner.units import GIB, MIB
from profiler.measure.device.base import Device
from profiler.measure.leveled import Leveled
from profiler.measure.types import MeasuredOutOfMemory


class RanOutOfMemory(Exception):
    """The device's memory was not enough."""

    def __init__(self, failure: MeasuredOutOfMemory) -> None:
        super().__init__(failure.message)
        self.failure = failure


@contextlib.contextmanager
def out_of_memory_told(device: Device, leveled: Leveled) -> Generator[None]:
    """Memory that runs out as `RanOutOfMemory`: what was there is free once that error is."""
    failure = None
    try:
        yield
    except Exception as error:
        if not device.is_out_of_memory(error):
            raise
        held = device.allocator()
        described = device.described()
        failure = MeasuredOutOfMemory(
            requested_bytes=requested_bytes(str(error)),
            allocated_bytes=held.allocated if held else None,
            reserved_bytes=held.reserved if held else None,
            capacity_bytes=described.usable_bytes or described.memory_bytes,
            instant=leveled.instant,
            step=leveled.step,
            message=_first_sentence(str(error)),
        )
    if failure is not None:
        raise RanOutOfMemory(failure)


def _first_sentence(message: str) -> str:
    """Without the check in torch's own source that comes before it on a CPU."""
    said = re.sub(r"^\[enforce fail at [^]]*\] .*?\. ", "", " ".join(message.split()))
    return said[:300].partition(". ")[0]


def requested_bytes(message: str) -> int | None:
    """What torch says that it tried to allocate: `Tried to allocate 2.00 GiB`, `you tried to allocate 64 bytes`."""
    found = re.search(r"[Tt]ried to allocate (\d+(?:\.\d+)?) (\w+)", message, re.ASCII)
    units = {"bytes": 1, "KiB": 1024, "MiB": MIB, "GiB": GIB}
    return round(float(found[1]) * units[found[2]]) if found and found[2] in units else None
