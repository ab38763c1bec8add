"""What NVIDIA's driver says of a card, asked through its library NVML.

Any question can go unanswered: NVML is not there on other vendors' cards, a laptop's GPU tells no power, WSL no
processes. Then the answer is None, never an error.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

Answer = TypeVar("Answer")

KERNEL_MODULE = Path("/proc/driver/nvidia/version")
"""`NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.95.05  ...`; seen in containers too, which the rest is not."""

_SLOWED_BY = {
    0x04: "the power cap",  # nvmlClocksEventReasonSwPowerCap, and so on: nvml.h
    0x08: "a hardware limit",
    0x20: "heat",
    0x40: "heat",
    0x80: "the power supply",
}


@dataclass(frozen=True, slots=True)
class CardProcess:
    """A process that computes on a card."""

    pid: int
    """The driver may give the host's number to a container, which knows the process by another."""
    bytes: int | None
    """Its memory on the card; None where the driver does not tell."""
    name: str | None
    """Its executable, without the folder."""


class Card:
    """A card, or a MIG slice of one, as NVML has it."""

    def __init__(self, nvml: Any, handle: Any) -> None:
        self._nvml = nvml
        self._handle = handle

    def name(self) -> str | None:
        """`NVIDIA A100-SXM4-80GB`"""
        return self._ask("nvmlDeviceGetName")

    def uuid(self) -> str | None:
        """`GPU-...`, or `MIG-...` of a slice."""
        return self._ask("nvmlDeviceGetUUID")

    def total_bytes(self) -> int | None:
        """All memory, what the driver keeps for itself too."""
        return self._memory("total")

    def free_bytes(self) -> int | None:
        """What no process holds."""
        return self._memory("free")

    def used_bytes(self) -> int | None:
        """What all processes and the driver hold together."""
        return self._memory("used")

    def compute_capability(self) -> str | None:
        """`8.0`"""
        version = self._ask("nvmlDeviceGetCudaComputeCapability")
        return f"{version[0]}.{version[1]}" if version else None

    def power_w(self) -> float | None:
        """Watts of the whole board; the driver's mean over up to a second (nvmlDeviceGetPowerUsage, in milliwatts)."""
        milliwatts = self._ask("nvmlDeviceGetPowerUsage")
        return milliwatts / 1000 if milliwatts is not None else None

    def sm_clock_mhz(self) -> int | None:
        """The multiprocessors' clock."""
        return self._ask("nvmlDeviceGetClockInfo", self._nvml.NVML_CLOCK_SM)

    def temperature_c(self) -> int | None:
        """Of the chip."""
        return self._ask("nvmlDeviceGetTemperature", self._nvml.NVML_TEMPERATURE_GPU)

    def slowed_by(self) -> tuple[str, ...] | None:
        """What keeps the clock down just now, in words; empty for nothing but idleness and settings."""
        reasons = self._ask("nvmlDeviceGetCurrentClocksEventReasons")
        if reasons is None:  # its name before driver 535
            reasons = self._ask("nvmlDeviceGetCurrentClocksThrottleReasons")
        if reasons is None:
            return None
        return tuple(dict.fromkeys(words for bit, words in _SLOWED_BY.items() if reasons & bit))

    def mig(self) -> bool | None:
        """Whether this is a MIG slice, or a card that is cut into such."""
        is_slice = self._ask("nvmlDeviceIsMigDeviceHandle")
        if is_slice is not None and is_slice.value:
            return True
        mode = self._ask("nvmlDeviceGetMigMode")
        return bool(mode[0]) if mode is not None else None

    def processes(self) -> tuple[CardProcess, ...] | None:
        """All that compute on it, this one too."""
        running = self._ask("nvmlDeviceGetComputeRunningProcesses")
        if running is None:
            return None
        return tuple(CardProcess(one.pid, one.usedGpuMemory or None, self._executable(one.pid)) for one in running)

    def process_bytes(self, pid: int) -> int | None:
        """What the driver counts for one process: its CUDA context, PyTorch's reserved memory and what else it holds.

        None where the process is not in the driver's list, and where it is listed with 0 bytes, as drivers do
        for a process in a container (NVIDIA/open-gpu-kernel-modules pull request 614).
        """
        running: Any = self._ask("nvmlDeviceGetComputeRunningProcesses") or ()
        return next((one.usedGpuMemory or None for one in running if one.pid == pid), None)

    def _memory(self, part: str) -> int | None:
        memory = self._ask("nvmlDeviceGetMemoryInfo")
        return int(getattr(memory, part)) if memory is not None else None

    def _executable(self, pid: int) -> str | None:
        command = _answered(self._nvml, lambda: self._nvml.nvmlSystemGetProcessName(pid))
        return re.split(r"[/\\]", command.split(" ")[0])[-1] or None if command else None

    def _ask(self, question: str, *arguments: Any) -> Any:
        return _answered(self._nvml, lambda: getattr(self._nvml, question)(self._handle, *arguments))


def unavailable() -> str | None:
    """Why NVML cannot be asked, in its own words (`Driver Not Loaded`); None where it can."""
    try:
        nvml: Any = importlib.import_module("pynvml")
    except ImportError:
        return "the package nvidia-ml-py is not installed"
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        return str(error)
    return None


def driver_version() -> str | None:
    """The NVIDIA driver's version, `580.95.05`; None where there is none, or none that this process may see."""
    nvml = _opened()
    version = _answered(nvml, nvml.nvmlSystemGetDriverVersion) if nvml else None
    return version or _kernel_module()


def driver_cuda() -> tuple[int, int] | None:
    """The newest CUDA version that the driver speaks: (13, 0)."""
    nvml = _opened()
    number = _answered(nvml, nvml.nvmlSystemGetCudaDriverVersion) if nvml else None
    return (number // 1000, number % 1000 // 10) if number else None


def open_card(uuid: str) -> Card | None:
    """The card or MIG slice that torch calls by this UUID, with or without `GPU-` or `MIG-` before it."""
    nvml = _opened()
    if nvml is None:
        return None
    for name in (uuid,) if uuid.startswith(("GPU-", "MIG-")) else (f"GPU-{uuid}", f"MIG-{uuid}"):
        handle = _answered(nvml, lambda name=name: nvml.nvmlDeviceGetHandleByUUID(name))
        if handle is not None:
            return Card(nvml, handle)
    return None


def cards() -> tuple[Card, ...]:
    """All of this machine, whatever CUDA_VISIBLE_DEVICES says, in the order of nvidia-smi."""
    nvml = _opened()
    if nvml is None:
        return ()
    handles = [
        _answered(nvml, lambda index=index: nvml.nvmlDeviceGetHandleByIndex(index))
        for index in range(_answered(nvml, nvml.nvmlDeviceGetCount) or 0)
    ]
    return tuple(Card(nvml, handle) for handle in handles if handle is not None)


def _opened() -> Any:
    """`pynvml`, initialized; None where it cannot be. Nothing shuts it down before the process ends."""
    return None if unavailable() else importlib.import_module("pynvml")


def _answered(nvml: Any, question: Callable[[], Answer]) -> Answer | None:
    try:
        return question()
    except (nvml.NVMLError, UnicodeError, AttributeError):  # the last: a pynvml of before the question
        return None


def _kernel_module() -> str | None:
    try:
        found = re.search(r"\s(\d+(?:\.\d+)+)\s", KERNEL_MODULE.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return None
    return found.group(1) if found else None
