"""CUDA, against a stand-in for the calls that only a card answers."""

from __future__ import annotations

import os

import pytest
import torch

from planner.catalogue.gpus import context_of, find_gpu
from profiler.measure.device import cuda
from profiler.measure.device.base import AllocatorLevels
from profiler.measure.device.cuda import Cuda, built_for, compiled_for
from tests.profiler.conftest import Answers
from tests.profiler.measure.device.stand_in import Card, stand_in

pytestmark = pytest.mark.usefixtures("no_driver")


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Card:
    return stand_in(monkeypatch)


def test_described(card: Card, driver: Answers) -> None:
    driver(processes=f"{os.getpid()}:{500 * 2**20}")
    found = Cuda().described()
    assert (found.kind, found.name, found.gpu) == ("cuda", card.name, "A100-40GB-SXM")
    assert found.memory_bytes == card.total
    assert found.free_bytes == card.total - 500 * 2**20
    assert found.usable_bytes == card.total - 500 * 2**20
    assert (found.driver, found.runtime, found.compute_capability) == ("535.104.05", "CUDA 12.8", "8.0")


def test_usable_memory_is_an_empty_card_s_whatever_is_on_it_now(card: Card, driver: Answers) -> None:
    driver(processes=f"{os.getpid()}:{500 * 2**20 + 2**30}")
    device = Cuda()
    card.others = 2**33
    card.allocate(2**30)
    found = device.described()
    assert found.usable_bytes == card.total - 500 * 2**20
    assert found.free_bytes == card.total - 500 * 2**20 - 2**30 - 2**33


def test_without_nvml_the_context_is_the_catalogue_s(card: Card) -> None:
    found = Cuda().described()
    assert found.driver is None
    assert found.usable_bytes == card.total - context_of("8.0")[0]
    assert abs(found.usable_bytes - find_gpu("a100-40").gpu.usable_bytes) < 2**20


def test_the_allocator_s_levels(card: Card) -> None:
    device = Cuda()
    assert device.allocator() == AllocatorLevels(0, 0, 0, 0, 0)
    card.allocate(5 * 2**20)
    card.free(3 * 2**20)
    card.retries = 2
    assert device.allocator() == AllocatorLevels(2 * 2**20, 5 * 2**20, 5 * 2**20, 5 * 2**20, 2)
    device.reset_peaks()
    assert device.allocator() == AllocatorLevels(2 * 2**20, 5 * 2**20, 2 * 2**20, 5 * 2**20, 2)
    device.empty_cache()
    assert device.allocator().reserved == 2 * 2**20


def test_seconds_between_marks_once_the_card_is_past_them(card: Card) -> None:
    device = Cuda()
    begin = device.mark()
    card.clock_ms += 1234.5
    end = device.mark()
    with pytest.raises(RuntimeError, match="not ready"):
        device.seconds(begin, end)
    device.synchronize()
    assert device.seconds(begin, end) == 1.2345


def test_a_limit_makes_a_smaller_card(card: Card) -> None:
    device = Cuda()
    device.limit(2**30)
    card.allocate(2**29)
    with pytest.raises(torch.cuda.OutOfMemoryError) as caught:
        card.allocate(2**29 + 1)
    assert device.is_out_of_memory(caught.value)
    device.limit(2 * card.total)
    assert card.fraction == 1.0


@pytest.mark.parametrize(
    ("error", "ran_out"),
    [
        (torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), True),
        (RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("CUDA error: device-side assert triggered"), False),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"), False),
        (MemoryError(), False),
        (ValueError("out of memory"), False),
    ],
)
@pytest.mark.usefixtures("card")
def test_what_is_an_out_of_memory(error: BaseException, ran_out: bool) -> None:
    assert Cuda().is_out_of_memory(error) is ran_out


def test_the_card_is_the_one_that_a_trainer_has_chosen(card: Card) -> None:
    card.index = 1
    assert Cuda().torch_device == torch.device("cuda:1")


def test_torch_says_why_it_does_not_compute(card: Card) -> None:
    card.error = "No CUDA GPUs are available"
    assert cuda.initialization_error() == card.error


def test_a_card_that_fails_at_first_goes_on_failing(card: Card) -> None:
    card.kernel_error = "CUDA error: no kernel image is available for execution on the device"
    assert cuda.initialization_error() == card.kernel_error
    assert torch.cuda.is_initialized()
    assert cuda.initialization_error() == card.kernel_error


@pytest.mark.usefixtures("card")
def test_what_torch_has_kernels_for() -> None:
    assert compiled_for() == ("sm_75", "sm_80")


def test_asking_leaves_nothing_behind(card: Card) -> None:
    assert cuda.initialization_error() is None
    assert card.statistics()["reserved_bytes"]["all"]["current"] == 0


def test_a_run_that_is_under_way_is_not_disturbed(card: Card) -> None:
    card.allocate(2**30)
    card.free(2**30)
    assert cuda.initialization_error() is None
    assert card.reserved == 2**30


def test_rocm_is_called_by_cuda_s_names(monkeypatch: pytest.MonkeyPatch, driver: Answers) -> None:
    card = stand_in(monkeypatch, cuda=None, hip="6.4.43482-0f2d60242")
    card.name, card.total = "AMD Instinct MI300X", 196_588 * 2**20
    properties = card.properties()
    properties.gcnArchName = "gfx942:sramecc+:xnack-"
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
    found = Cuda().described()
    assert built_for() == "ROCm 6.4"
    assert (found.gpu, found.runtime, found.compute_capability) == ("MI300X", "ROCm 6.4", "gfx942")
    assert found.driver is None, "an NVIDIA driver beside it is not its driver"
    assert Cuda().card() is None


def test_a_build_for_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, cuda=None)
    assert built_for() is None
