"""What NVML says, through pynvml and its real structures, from a stub of the library."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from profiler.measure.device import nvml
from profiler.measure.device.nvml import CardProcess
from tests.profiler.conftest import Answers

FIRST = "aaaaaaaa-0000-0000-0000-000000000001"
SLICE = "cccccccc-0000-0000-0000-000000000003"
ALL = " nvmlDeviceGet".join(
    ("", "Name", "UUID", "MemoryInfo", "CudaComputeCapability", "PowerUsage", "ClockInfo", "Temperature", "MigMode")
) + (
    " nvmlDeviceGetCurrentClocksEventReasons nvmlDeviceGetCurrentClocksThrottleReasons nvmlDeviceIsMigDeviceHandle"
    " nvmlDeviceGetComputeRunningProcesses_v3 "
)


def card(uuid: str = FIRST) -> nvml.Card:
    found = nvml.open_card(uuid)
    assert found is not None
    return found


@pytest.mark.usefixtures("driver")
def test_a_card_is_found_by_the_uuid_that_torch_gives() -> None:
    assert card(FIRST).name() == "NVIDIA A100-SXM4-40GB"
    assert card(f"GPU-{FIRST}").uuid() == f"GPU-{FIRST}"
    assert nvml.open_card("dddddddd-0000-0000-0000-000000000004") is None


@pytest.mark.usefixtures("driver")
def test_figures_of_a_card() -> None:
    a100 = card()
    assert a100.total_bytes() == 40960 * 2**20
    assert a100.used_bytes() == 3 * 2**30
    assert a100.free_bytes() == 40960 * 2**20 - 3 * 2**30
    assert a100.compute_capability() == "8.0"
    assert a100.power_w() == 271.828
    assert a100.sm_clock_mhz() == 1410
    assert a100.temperature_c() == 61
    assert a100.mig() is False


@pytest.mark.usefixtures("driver")
def test_the_driver() -> None:
    assert nvml.unavailable() is None
    assert nvml.driver_version() == "535.104.05"
    assert nvml.driver_cuda() == (12, 2)
    assert [found.name() for found in nvml.cards()] == ["NVIDIA A100-SXM4-40GB", "Tesla T4"]


def test_processes(driver: Answers) -> None:
    driver(processes=f"4242:{5 * 2**30} 77:? 78:0 {os.getpid()}:{2**30}")
    assert card().processes() == (
        CardProcess(4242, 5 * 2**30, "python3"),
        CardProcess(77, None, "jupyter"),  # WDDM and WSL do not tell
        CardProcess(78, None, "jupyter"),  # nor do some drivers in a container
        CardProcess(os.getpid(), 2**30, "jupyter"),
    )
    assert card().process_bytes(os.getpid()) == 2**30
    assert card().process_bytes(77) is None
    assert card().process_bytes(78) is None
    assert card().process_bytes(1) is None


def test_no_processes(driver: Answers) -> None:
    driver(processes="")
    assert card().processes() == ()


@pytest.mark.parametrize("code", [2, 3, 4, 15, 999])
def test_what_a_card_refuses_is_not_known(driver: Answers, code: int) -> None:
    a100 = card()
    driver(refused=ALL, code=code)
    questions = (
        a100.name,
        a100.uuid,
        a100.total_bytes,
        a100.free_bytes,
        a100.used_bytes,
        a100.compute_capability,
        a100.power_w,
        a100.sm_clock_mhz,
        a100.temperature_c,
        a100.slowed_by,
        a100.mig,
        a100.processes,
    )
    assert [question() for question in questions] == [None] * len(questions)
    assert a100.process_bytes(4242) is None


def test_mig(driver: Answers) -> None:
    driver(mig=1)
    assert card().mig() is True
    assert card(SLICE).mig() is True
    driver(mig=0)
    assert card().mig() is False
    assert nvml.cards()[1].mig() is None  # a T4 says that it is not supported


@pytest.mark.parametrize(
    ("bits", "words"),
    [(0x1, ()), (0x4, ("the power cap",)), (0x60, ("heat",)), (0x24, ("the power cap", "heat")), (0x102, ())],
)
def test_what_slows_a_card_down(driver: Answers, bits: int, words: tuple[str, ...]) -> None:
    driver(reasons=bits)
    assert card().slowed_by() == words


def test_older_drivers_say_it_by_another_name(driver: Answers) -> None:
    driver(refused=" nvmlDeviceGetCurrentClocksEventReasons ", code=13)
    assert card().slowed_by() == ("the power cap",)


@pytest.mark.parametrize(
    ("code", "words"),
    [(9, "Driver Not Loaded"), (4, "Insufficient Permissions"), (18, "version mismatch")],
)
def test_a_driver_that_does_not_answer(driver: Answers, code: int, words: str) -> None:
    driver(init=code)
    assert words in (nvml.unavailable() or "")
    assert nvml.driver_version() is None
    assert nvml.driver_cuda() is None
    assert nvml.cards() == ()
    assert nvml.open_card(FIRST) is None


@pytest.mark.usefixtures("no_driver")
def test_no_library() -> None:
    assert nvml.unavailable() == "NVML Shared Library Not Found"
    assert nvml.cards() == ()


@pytest.mark.usefixtures("no_driver")
def test_no_pynvml(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert nvml.unavailable() == "the package nvidia-ml-py is not installed"
    assert nvml.driver_version() is None


@pytest.mark.parametrize(
    "line",
    [
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.95.05  Tue Sep 23 10:11:16 UTC 2025",
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release Build  (root@x)",
    ],
)
@pytest.mark.usefixtures("no_driver")
def test_the_kernel_module_has_a_version_where_the_library_is_missing(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "version"
    file.write_text(f"{line}\nGCC version:  gcc version 12.3.0\n", encoding="utf-8")
    monkeypatch.setattr(nvml, "KERNEL_MODULE", file)
    assert nvml.driver_version() == "580.95.05"


def test_the_loader_finds_the_library(nvml_library: Path) -> None:
    code = "from profiler.measure.device import nvml; print([card.name() for card in nvml.cards()])"
    environment = {**os.environ, "LD_LIBRARY_PATH": str(nvml_library.parent)}
    done = subprocess.run((sys.executable, "-c", code), env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['NVIDIA A100-SXM4-40GB', 'Tesla T4']"
