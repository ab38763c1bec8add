"""What `examine` finds: on a machine without a GPU, with a card of stand-ins, and where things are broken."""

from __future__ import annotations

import importlib
import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

from profiler.doctor.diagnosis import OK, PROBLEM, WARNING, Diagnosis
from profiler.doctor.doctor import examine
from profiler.documents import from_document, to_document
from profiler.measure.device import host
from tests.profiler.conftest import Answers
from tests.profiler.measure.device.stand_in import Card, stand_in

OWN = f"{os.getpid()}:{500 * 2**20}"


@pytest.fixture
def card(driver: Answers, monkeypatch: pytest.MonkeyPatch) -> Card:
    """An A100 that this process is on, with bitsandbytes' library for it."""
    driver(processes=OWN)
    extension: Any = importlib.import_module("bitsandbytes.cextension")
    monkeypatch.setattr(extension, "lib", SimpleNamespace(_lib=SimpleNamespace(_name="/a/libbitsandbytes_cuda128.so")))
    monkeypatch.setattr(torch._C, "_dispatch_has_kernel_for_dispatch_key", lambda name, key: key == "CUDA")
    return stand_in(monkeypatch)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LORA_PLAN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def said(diagnosis: Diagnosis, level: str) -> str:
    return "\n".join(finding.text for finding in diagnosis.findings if finding.level == level)


@pytest.fixture
def cpu_only(no_driver: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever torch this is."""
    for name in ("cuda", "hip", "xpu"):
        monkeypatch.setattr(torch.version, name, None)
    monkeypatch.setattr(torch.xpu, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.mark.usefixtures("cpu_only")
def test_a_machine_without_a_gpu(cache: Path) -> None:
    found = examine()
    assert (found.python, found.system) == (platform.python_version(), platform.platform())
    assert (found.runtime, found.driver, found.cards) == ("CPU", None, ())
    assert found.usable is not None and found.usable.kind == "cpu"
    assert found.host_total_bytes == host.total_bytes()
    assert found.cache_folder == str(cache / "simulations")
    assert found.disk_free_bytes is not None
    assert abs(found.disk_free_bytes - shutil.disk_usage(cache.parent).free) < 2**30
    assert "verify would measure on" in said(found, OK)
    assert "4-bit kernels for cpu" in said(found, OK)
    assert not said(found, PROBLEM)


def test_a_card_that_is_ready(card: Card) -> None:
    found = examine()
    assert [(finding.level, finding.text) for finding in found.findings] == [
        (OK, f"verify would measure on {card.name} (cuda), which has 38.9 GiB free"),
        (OK, "bitsandbytes has loaded libbitsandbytes_cuda128.so, with 4-bit kernels for cuda"),
    ]
    assert (found.driver, found.driver_cuda, found.runtime) == ("535.104.05", "12.2", "CUDA 12.8")
    assert [(one.index, one.name, one.compute_capability) for one in found.cards] == [
        (0, "NVIDIA A100-SXM4-40GB", "8.0"),
        (1, "Tesla T4", "7.5"),
    ]
    assert found.cards[0].processes == ()
    assert (found.cards[0].total_bytes, found.cards[0].free_bytes) == (40960 * 2**20, 40960 * 2**20 - 3 * 2**30)
    assert from_document(Diagnosis, json.loads(json.dumps(to_document(found)))) == found


@pytest.mark.usefixtures("card")
def test_a_card_that_is_not_alone_is_hot_and_cut(driver: Answers, monkeypatch: pytest.MonkeyPatch) -> None:
    driver(processes=f"{OWN} 4242:{5 * 2**30}", reasons=0x20, mig=1)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    found = examine()
    warnings = said(found, WARNING)
    assert warnings.count("pid 4242 python3, 5.0 GiB") == 1
    assert "card 0 (NVIDIA A100-SXM4-40GB) is in MIG mode" in warnings
    assert "card 0 (NVIDIA A100-SXM4-40GB) is slowed down by heat" in warnings
    assert "CUDA_VISIBLE_DEVICES=0 leaves 1 of 2 cards" in warnings
    assert found.cuda_visible_devices == "0"
    assert not said(found, PROBLEM)


def test_a_driver_too_old(card: Card) -> None:
    card.error = "The NVIDIA driver on your system is too old (found version 12020). Please update your GPU driver."
    found = examine()
    assert found.usable is not None and found.usable.kind == "cpu"
    assert "it speaks CUDA 12.2 at most" in said(found, PROBLEM)


def test_a_card_that_breaks_down_on_the_way(card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(device: object) -> tuple[int, int]:
        raise RuntimeError("CUDA error: unspecified launch failure\nCUDA kernel errors might be reported later")

    monkeypatch.setattr(torch.cuda, "mem_get_info", lost)
    found = examine()
    assert found.usable is None
    assert said(found, PROBLEM) == (
        "the device cannot be used (CUDA error: unspecified launch failure); see what nvidia-smi says of it"
    )
    assert card.initialized


@pytest.mark.usefixtures("card", "no_driver")
def test_nvml_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    import pynvml

    monkeypatch.setattr(pynvml, "nvmlLib", None)
    assert "NVML does not answer (NVML Shared Library Not Found)" in said(examine(), WARNING)


def test_bitsandbytes_without_a_backend(card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    extension: Any = importlib.import_module("bitsandbytes.cextension")
    monkeypatch.setattr(extension, "lib", SimpleNamespace(_lib=SimpleNamespace(_name="/a/libbitsandbytes_cpu.so")))
    problem = said(examine(), PROBLEM)
    assert "has no backend for CUDA 12.8: it loaded libbitsandbytes_cpu.so, which is for the CPU" in problem
    assert card.initialized


@pytest.mark.usefixtures("cpu_only")
def test_bitsandbytes_without_kernels_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch._C, "_dispatch_has_kernel_for_dispatch_key", lambda name, key: False)
    assert "plain torch operators stand in" in said(examine(), WARNING)


@pytest.mark.usefixtures("cpu_only")
def test_no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.import_module

    def import_module(name: str, package: str | None = None) -> ModuleType:
        if name == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")
        return real(name, package)

    monkeypatch.setattr(importlib, "import_module", import_module)
    found = examine()
    assert (found.runtime, found.usable, found.bitsandbytes) == (None, None, None)
    assert "torch, which is not installed; pip install" in said(found, PROBLEM)


@pytest.mark.usefixtures("cpu_only")
def test_a_disk_that_is_full(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(total=2**40, used=2**40, free=2**20))
    found = examine()
    assert f"the disk of '{cache / 'simulations'}' has only 1.0 MiB free" in said(found, WARNING)
    assert found.disk_free_bytes == 2**20


@pytest.mark.usefixtures("cpu_only")
def test_no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("profiler.doctor.doctor.default_folder", lambda: None)
    found = examine()
    assert (found.cache_folder, found.disk_free_bytes) == (None, None)
    assert "set LORA_PLAN_CACHE" in said(found, WARNING)


def test_no_stack_at_all(tmp_path: Path, nvml_library: Path) -> None:
    """As a process of its own: torch and bitsandbytes broken, a driver there."""
    for name in ("torch", "bitsandbytes"):
        (tmp_path / f"{name}.py").write_text("raise OSError('libcudart.so.12: cannot open shared object file')\n")
    code = "from profiler.doctor.doctor import examine; found = examine(); print(found.findings[0].text, found.driver)"
    root = Path(__file__).parents[3]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join((str(tmp_path), str(root))),
        "LD_LIBRARY_PATH": str(nvml_library.parent),
    }
    done = subprocess.run((sys.executable, "-c", code), env=environment, capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout == (
        "torch is installed but cannot be imported (libcudart.so.12: cannot open shared object file); "
        "install it anew 535.104.05\n"
    )
