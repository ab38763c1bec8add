"""The host's memory: what this process holds of it, and what there is. Bytes; None where the system does not say."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

STATM = Path("/proc/self/statm")
MEMINFO = Path("/proc/meminfo")
CPUINFO = Path("/proc/cpuinfo")
CGROUP = Path("/sys/fs/cgroup")


def resident_bytes() -> int | None:
    """Memory of this process that is in RAM, shared pages too (resident set size, proc(5))."""
    try:
        return int(STATM.read_bytes().split()[1]) * os.sysconf("SC_PAGESIZE")
    except (OSError, ValueError, IndexError):
        return None


def total_bytes() -> int | None:
    """All of the machine's RAM, or the part of it that a container may use."""
    machine = _meminfo("MemTotal") or _sysctl("hw.memsize")
    limit = _limit()
    return min(machine, limit) if machine and limit else machine


def available_bytes() -> int | None:
    """What can be had without swapping: `MemAvailable` of Linux, and in a container what its limit leaves.

    Of macOS, pages that are free at once, which is less.
    """
    machine = _meminfo("MemAvailable") or _pages_free()
    limit, used = _limit(), _used()
    return min(machine, max(limit - used, 0)) if machine and limit and used is not None else machine


def processor() -> str | None:
    """The processor's model, as /proc/cpuinfo or sysctl has it."""
    lines = _read(CPUINFO).splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return model or _sysctl_text("machdep.cpu.brand_string") or None


def _limit() -> int | None:
    """Of the container's control group: version 2, then 1, which says "none" by a number near 2**63."""
    number = _number(CGROUP / "memory.max") or _number(CGROUP / "memory" / "memory.limit_in_bytes")
    return number if number and number < 2**60 else None


def _used() -> int | None:
    """Of the same group, without the file cache that the kernel can drop (`inactive_file`)."""
    for folder, name, total in ((CGROUP, "memory.current", ""), (CGROUP / "memory", "memory.usage_in_bytes", "total_")):
        used = _number(folder / name)
        if used is not None:
            statistics = dict(line.split(" ", 1) for line in _read(folder / "memory.stat").splitlines() if " " in line)
            droppable = statistics.get(f"{total}inactive_file", "")
            return max(used - int(droppable), 0) if droppable.isdigit() else used
    return None


def _meminfo(field: str) -> int | None:
    for line in _read(MEMINFO).splitlines():
        name, _, rest = line.partition(":")
        amount = rest.split()
        if name == field and amount and amount[0].isdigit():
            return int(amount[0]) * 1024  # it says kB, and means KiB
    return None


def _pages_free() -> int | None:
    pages, size = _sysctl("vm.page_free_count"), _sysctl("hw.pagesize")
    return pages * size if pages and size else None


def _sysctl(name: str) -> int | None:
    text = _sysctl_text(name)
    return int(text) if text.isdigit() else None


def _sysctl_text(name: str) -> str:
    if sys.platform != "darwin":
        return ""
    try:
        return subprocess.run(("sysctl", "-n", name), capture_output=True, text=True, timeout=5).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def _number(file: Path) -> int | None:
    text = _read(file).strip()
    return int(text) if text.isdigit() else None


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
