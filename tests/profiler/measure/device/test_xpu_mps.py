"""Intel's and Apple's GPUs, against stand-ins: no such GPU has run this."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch.mps import event

from profiler.measure.device import mps as mps_module
from profiler.measure.device.base import AllocatorLevels
from profiler.measure.device.mps import Mps
from profiler.measure.device.xpu import Xpu

GIB = 2**30


class Clock:
    """An event of either: its number is when it was recorded, in milliseconds."""

    now = 0.0

    def __init__(self, enable_timing: bool = False) -> None:
        assert enable_timing

    def record(self) -> None:
        self.at = Clock.now

    def elapsed_time(self, end: Clock) -> float:
        return end.at - self.at


@pytest.fixture(autouse=True)
def first(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first of Intel's GPUs is the current one."""
    monkeypatch.setattr(torch.xpu, "current_device", lambda: 0)


def test_xpu(monkeypatch: pytest.MonkeyPatch) -> None:
    properties = SimpleNamespace(name="Intel(R) Arc(TM) B580", total_memory=12 * GIB, driver_version="1.6.33578")
    statistics = {
        "allocated_bytes": {"all": {"current": 1, "peak": 2}},
        "reserved_bytes": {"all": {"current": 3, "peak": 4}},
    }
    monkeypatch.setattr(torch.xpu, "get_device_properties", lambda device: properties)
    monkeypatch.setattr(torch.xpu, "mem_get_info", lambda device: (11 * GIB, 12 * GIB))
    monkeypatch.setattr(torch.xpu, "memory_stats_as_nested_dict", lambda device: statistics)
    monkeypatch.setattr(torch.xpu, "Event", Clock)
    device = Xpu()
    found = device.described()
    assert (found.name, found.memory_bytes, found.free_bytes) == (properties.name, 12 * GIB, 11 * GIB)
    assert (found.driver, found.gpu) == ("1.6.33578", None)
    assert device.allocator() == AllocatorLevels(1, 3, 2, 4, 0)
    begin = device.mark()
    monkeypatch.setattr(Clock, "now", 2500.0)
    assert device.seconds(begin, device.mark()) == 2.5
    assert device.is_out_of_memory(torch.OutOfMemoryError("XPU out of memory."))
    assert device.is_out_of_memory(RuntimeError("level_zero backend failed: UR_RESULT_ERROR_OUT_OF_DEVICE_MEMORY"))
    assert not device.is_out_of_memory(RuntimeError("UR_RESULT_ERROR_DEVICE_LOST"))


def test_an_xpu_that_does_not_tell_its_free_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def mem_get_info(device: object) -> tuple[int, int]:
        raise RuntimeError("The device doesn't support querying the available free memory.")

    properties = SimpleNamespace(name="Intel(R) Graphics", total_memory=8 * GIB, driver_version="1")
    monkeypatch.setattr(torch.xpu, "get_device_properties", lambda device: properties)
    monkeypatch.setattr(torch.xpu, "mem_get_info", mem_get_info)
    assert Xpu().described().free_bytes == 8 * GIB


def test_mps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: 12 * GIB)
    monkeypatch.setattr(torch.mps, "driver_allocated_memory", lambda: GIB)
    monkeypatch.setattr(mps_module, "Event", Clock)
    device = Mps()
    found = device.described()
    assert (found.memory_bytes, found.free_bytes, found.usable_bytes) == (12 * GIB, 11 * GIB, 12 * GIB)
    assert device.allocator() is None
    begin = device.mark()
    monkeypatch.setattr(Clock, "now", 500.0)
    assert device.seconds(begin, device.mark()) == 0.5
    assert device.is_out_of_memory(RuntimeError("MPS backend out of memory (MPS allocated: 17.00 GB, ...)"))
    assert not device.is_out_of_memory(RuntimeError("MPS: unsupported"))


def test_the_calls_are_torch_s() -> None:
    for name in ("get_device_properties", "mem_get_info", "memory_stats_as_nested_dict", "Event", "synchronize"):
        assert hasattr(torch.xpu, name)
    for name in ("recommended_max_memory", "driver_allocated_memory", "synchronize", "empty_cache"):
        assert hasattr(torch.mps, name)
    assert hasattr(event.Event, "elapsed_time")
