"""Which device is taken, and why another is not."""

from __future__ import annotations

import importlib
import subprocess
import sys
from types import ModuleType

import pytest
import torch

from planner.errors import InputError, NoUsableDevice
from profiler.measure.device.cpu import Cpu
from profiler.measure.device.cuda import Cuda
from profiler.measure.device.find import KINDS, find_device, overlooked, why_not
from profiler.measure.device.mps import Mps
from profiler.measure.device.xpu import Xpu
from tests.profiler.conftest import Answers
from tests.profiler.measure.device.stand_in import UUID, stand_in

pytestmark = pytest.mark.usefixtures("no_driver")


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever torch and machine this is."""
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(torch.version, "xpu", None)
    monkeypatch.setattr(torch.xpu, "is_available", lambda: False)
    monkeypatch.setattr(torch.xpu, "current_device", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_built", lambda: False)


def test_the_cpu_where_there_is_nothing_else() -> None:
    assert isinstance(find_device(), Cpu)
    assert isinstance(find_device("cpu"), Cpu)
    assert why_not("cpu") is None
    assert overlooked() is None


def test_a_gpu_before_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert isinstance(find_device(), Mps)
    monkeypatch.setattr(torch.xpu, "is_available", lambda: True)
    assert isinstance(find_device(), Xpu)
    stand_in(monkeypatch)
    assert isinstance(find_device(), Cuda)
    assert isinstance(find_device("cpu"), Cpu)


@pytest.mark.parametrize("kind", ["cuda", "xpu", "mps"])
def test_what_is_asked_for_and_not_there_is_refused_in_a_sentence(kind: str) -> None:
    with pytest.raises(NoUsableDevice) as caught:
        find_device(kind)
    assert str(caught.value) == why_not(kind)
    assert f"torch {torch.__version__} is a build without {kind.upper()}" in str(caught.value)


def test_a_build_for_intel_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "xpu", "20250301")
    assert "finds no Intel GPU" in (why_not("xpu") or "")
    monkeypatch.setattr(torch.backends.mps, "is_built", lambda: True)
    assert "needs an Apple chip" in (why_not("mps") or "")


@pytest.mark.parametrize("kind", ["tpu", "cuda:1", "CUDA", "", "\x1b[2J"])
def test_a_kind_that_there_is_not(kind: str) -> None:
    with pytest.raises(InputError) as caught:
        find_device(kind)
    assert caught.value.field == "device"
    assert ", ".join(KINDS) in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_gpu_that_torch_cannot_use_is_told_beside_the_cpu(driver: Answers) -> None:
    del driver
    assert isinstance(find_device(), Cpu)
    assert overlooked() == (
        f"torch {torch.__version__} is a build without CUDA, though the NVIDIA driver 535.104.05 is here; "
        "install a CUDA build of torch"
    )


def test_a_gpu_without_kernels_is_told_however_often_it_is_asked(
    driver: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    del driver
    stand_in(monkeypatch).kernel_error = "CUDA error: no kernel image is available for execution on the device"
    assert isinstance(find_device(), Cpu)
    assert "has no kernels for this card" in (overlooked() or "")
    assert "has no kernels for this card" in (why_not("cuda") or "")


def test_a_gpu_that_is_used_is_not_overlooked(driver: Answers, monkeypatch: pytest.MonkeyPatch) -> None:
    del driver
    stand_in(monkeypatch)
    assert overlooked() is None


def test_no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    absent(monkeypatch, ModuleNotFoundError("No module named 'torch'", name="torch"))
    for kind in (None, "cuda", "cpu"):
        with pytest.raises(NoUsableDevice, match=r"torch, which is not installed; pip install"):
            find_device(kind)


@pytest.mark.parametrize(
    "error",
    [
        OSError("libcudart.so.12: cannot open shared object file: No such file or directory"),
        ModuleNotFoundError("No module named 'numpy'", name="numpy"),
        RuntimeError("operator torchvision::nms does not exist\nand more"),
    ],
)
def test_a_torch_that_is_broken(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    absent(monkeypatch, error)
    reason = why_not("cpu") or ""
    assert reason.startswith(f"torch is installed but cannot be imported ({str(error).splitlines()[0]})")
    assert "\n" not in reason


def test_the_same_card_by_nvml(driver: Answers, monkeypatch: pytest.MonkeyPatch) -> None:
    del driver
    stand_in(monkeypatch)
    card = find_device().card()
    assert card is not None
    assert card.uuid() == f"GPU-{UUID}"
    assert all(other.card() is None for other in (Cpu(), Xpu(), Mps()))


def test_finding_imports_no_torch_by_itself() -> None:
    code = "import sys, profiler.measure.device.find, profiler.doctor.doctor; sys.exit('torch' in sys.modules)"
    assert subprocess.run((sys.executable, "-c", code)).returncode == 0


def absent(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Importing torch raises this."""
    real = importlib.import_module

    def import_module(name: str, package: str | None = None) -> ModuleType:
        if name == "torch":
            raise error
        return real(name, package)

    monkeypatch.setattr(importlib, "import_module", import_module)
