"""The CPU is a device like the others."""

from __future__ import annotations

import time

import pytest
import torch

from profiler.measure.device import host
from profiler.measure.device.base import Device
from profiler.measure.device.cpu import Cpu


def test_described() -> None:
    found = Cpu().described()
    assert found.kind == "cpu" and found.name
    assert found.memory_bytes == host.total_bytes()
    assert 0 < found.free_bytes <= found.memory_bytes
    assert (found.gpu, found.usable_bytes, found.driver, found.runtime) == (None, None, None, None)


def test_there_is_no_allocator() -> None:
    device: Device = Cpu()
    assert device.allocator() is None
    device.reset_peaks()
    device.empty_cache()
    device.synchronize()


def test_tensors_live_there() -> None:
    assert torch.ones(1, device=Cpu().torch_device).device.type == "cpu"


def test_seconds_between_marks(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter((1_000_000_000, 3_500_000_000))
    monkeypatch.setattr(time, "perf_counter_ns", lambda: next(ticks))
    device = Cpu()
    assert device.seconds(device.mark(), device.mark()) == 2.5


def test_torch_s_own_out_of_memory() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(10**15)
    assert Cpu().is_out_of_memory(caught.value)
    assert Cpu().is_out_of_memory(MemoryError())
    assert not Cpu().is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))


def test_memory_that_the_system_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "total_bytes", lambda: None)
    monkeypatch.setattr(host, "available_bytes", lambda: None)
    assert (Cpu().described().memory_bytes, Cpu().described().free_bytes) == (0, 0)
