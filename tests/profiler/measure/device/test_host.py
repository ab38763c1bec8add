"""The host's memory, against the operating system's own figures."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from profiler.measure.device import host

linux = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")


@linux
def test_resident_memory_grows_by_what_is_touched() -> None:
    before = host.resident_bytes()
    block = bytearray(os.urandom(1024)) * (64 * 1024)  # 64 MiB, each page written
    after = host.resident_bytes()
    assert before is not None and after is not None
    assert abs(after - before - len(block)) < 2 * 2**20


@linux
def test_total_and_available(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(host, "CGROUP", tmp_path)
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGESIZE")
    assert host.total_bytes() == total
    available = host.available_bytes()
    assert available is not None and 0 < available < total


def test_a_container_has_what_its_limit_leaves(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    machine(monkeypatch, tmp_path)
    (tmp_path / "memory.max").write_text(f"{2 * 2**30}\n")
    (tmp_path / "memory.current").write_text(f"{2**30}\n")
    (tmp_path / "memory.stat").write_text(f"anon 1\ninactive_file {2**29}\nactive_file 7\n")
    assert host.total_bytes() == 2 * 2**30
    assert host.available_bytes() == 2**30 + 2**29  # the cache of files can be dropped


def test_a_container_of_version_1(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    machine(monkeypatch, tmp_path)
    folder = tmp_path / "memory"
    folder.mkdir()
    (folder / "memory.limit_in_bytes").write_text(f"{3 * 2**30}\n")
    (folder / "memory.usage_in_bytes").write_text(f"{4 * 2**30}\n")
    (folder / "memory.stat").write_text(f"inactive_file 5\ntotal_inactive_file {2**29}\n")
    assert host.total_bytes() == 3 * 2**30
    assert host.available_bytes() == 0


@pytest.mark.parametrize("limit", ["max\n", "9223372036854771712\n"])
def test_a_container_without_a_limit(limit: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    machine(monkeypatch, tmp_path)
    (tmp_path / "memory.max").write_text(limit)
    (tmp_path / "memory.current").write_text("4096\n")
    assert host.total_bytes() == 16 * 2**30
    assert host.available_bytes() == 10 * 2**30


def test_a_system_that_says_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("STATM", "MEMINFO", "CPUINFO", "CGROUP"):
        monkeypatch.setattr(host, name, tmp_path / "nothing")
    monkeypatch.setattr(sys, "platform", "other")
    assert host.resident_bytes() is None
    assert host.total_bytes() is None
    assert host.available_bytes() is None
    assert host.processor() is None


def test_the_processor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text("processor\t: 0\nmodel name\t: AMD EPYC 7763: 64-Core Processor\n")
    monkeypatch.setattr(host, "CPUINFO", file)
    assert host.processor() == "AMD EPYC 7763: 64-Core Processor"


def machine(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """16 GiB, of which 10 are available, as proc(5) writes it."""
    meminfo = folder / "meminfo"
    meminfo.write_text(f"MemTotal:       {16 * 2**20} kB\nMemFree:  1 kB\nMemAvailable:   {10 * 2**20} kB\n")
    monkeypatch.setattr(host, "MEMINFO", meminfo)
    monkeypatch.setattr(host, "CGROUP", folder)
