"""Each way in which CUDA is not there has a sentence of its own; the errors are those of c10/cuda/CUDAFunctions.cpp."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from profiler.measure.device import no_cuda, nvml
from profiler.measure.device.no_cuda import explained, gpu_driver, why_no_cuda
from tests.profiler.conftest import Answers
from tests.profiler.measure.device.stand_in import stand_in

pytestmark = pytest.mark.usefixtures("no_driver")

TOO_OLD = (
    "The NVIDIA driver on your system is too old (found version 12020). Please update your GPU driver by downloading "
    "and installing a new version from the URL: http://www.nvidia.com/Download/index.aspx Alternatively, go to: "
    "https://pytorch.org to install a PyTorch version that has been compiled with your version of the CUDA driver."
)
NO_DRIVER = (
    "Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU and installed a driver from "
    "http://www.nvidia.com/Download/index.aspx"
)
NO_GPU = "No CUDA GPUs are available"
UNKNOWN = (
    "CUDA unknown error - this may be due to an incorrectly set up environment, e.g. changing env variable "
    "CUDA_VISIBLE_DEVICES after program start. Setting the available devices to be zero."
)
BUILD = "torch 2.13.0 for CUDA 13.0"


def test_a_build_for_the_cpu_and_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, cuda=None)
    assert why_no_cuda() == (
        f"there is no NVIDIA or AMD driver here, and torch {torch.__version__} is a build without CUDA; "
        "run this on a machine with a GPU, or measure on the CPU with --device cpu"
    )


def test_a_build_for_the_cpu_beside_an_nvidia_driver(driver: Answers, monkeypatch: pytest.MonkeyPatch) -> None:
    del driver
    stand_in(monkeypatch, cuda=None)
    reason = why_no_cuda() or ""
    assert reason.endswith("though the NVIDIA driver 535.104.05 is here; install a CUDA build of torch")


def test_a_build_for_the_cpu_beside_an_amd_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, cuda=None)
    monkeypatch.setattr(no_cuda, "KFD", tmp_path)
    assert gpu_driver() == "AMD GPU driver"
    assert (why_no_cuda() or "").endswith("though the AMD GPU driver is here; install a ROCm build of torch")


def test_a_card_that_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch)
    assert why_no_cuda() is None


def test_no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch).error = NO_DRIVER
    assert why_no_cuda() == (
        "there is no NVIDIA driver on this machine; install one, run this on a machine with a GPU, "
        "or measure on the CPU with --device cpu"
    )


def test_a_container_without_the_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = tmp_path / "version"
    module.write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.95.05  Tue Sep 23 10:11:16 UTC 2025\n")
    monkeypatch.setattr(nvml, "KERNEL_MODULE", module)
    reason = explained(NO_DRIVER, BUILD)
    assert reason.startswith("the NVIDIA driver 580.95.05 is loaded, but its library is not here; give the container")


def test_a_driver_too_old(driver: Answers) -> None:
    del driver
    assert explained(TOO_OLD, BUILD) == (
        "the NVIDIA driver 535.104.05 is too old: it speaks CUDA 12.2 at most, and this is torch 2.13.0 for CUDA 13.0; "
        "update the driver, or install a build of torch for CUDA 12.2 or older"
    )


def test_a_driver_that_was_updated_under_the_kernel_s_feet(driver: Answers) -> None:
    driver(init=18)
    assert explained("CUDA driver initialization failed, you might not have a CUDA gpu.", BUILD) == (
        "the NVIDIA driver was updated while the kernel module of before is still loaded; reboot the machine"
    )


@pytest.mark.parametrize(
    ("value", "words"), [("", "is set to nothing"), ("-1", "=-1 names"), ("9", "=9 names no card")]
)
def test_cards_that_are_hidden(driver: Answers, monkeypatch: pytest.MonkeyPatch, value: str, words: str) -> None:
    del driver
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    reason = explained(NO_GPU, BUILD)
    assert words in reason
    assert reason.endswith("unset it, or give the number of a card that is here: 0 to 1")


def test_a_number_that_nobody_can_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    assert "shows torch no card with CUDA_VISIBLE_DEVICES=3" in explained(NO_GPU, BUILD)


def test_mig_without_a_slice(driver: Answers) -> None:
    driver(mig=1)
    assert "in MIG mode and has no slice" in explained(NO_GPU, BUILD)


def test_a_driver_without_a_card(driver: Answers) -> None:
    driver(cards=0)
    assert explained(NO_GPU, BUILD).startswith("the NVIDIA driver 535.104.05 shows torch no card; see whether")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("CUDA error: no kernel image is available for execution on the device\nfoo", "(sm_75, sm_80) has no kernels"),
        ("CUDA error: all CUDA-capable devices are busy or unavailable", "in use by another process"),
        ("CUDA error: out of memory", "too little free memory"),
        ("CUDA error: uncorrectable ECC error encountered\nfoo", "(CUDA error: uncorrectable ECC error encountered)"),
    ],
)
def test_a_card_that_does_not_compute(monkeypatch: pytest.MonkeyPatch, error: str, words: str) -> None:
    stand_in(monkeypatch).kernel_error = error
    assert words in (why_no_cuda() or "")


@pytest.mark.parametrize("error", [TOO_OLD, NO_DRIVER, NO_GPU, UNKNOWN, "", "\x1b[2J\nx", "e" * 5000])
def test_every_reason_is_one_line_with_what_to_do(error: str) -> None:
    reason = explained(error, BUILD)
    assert reason.isprintable()
    assert ";" in reason or "," in reason
    assert len(reason) < 500


def test_what_torch_says_beside_is_left_out() -> None:
    assert "(CUDA unknown error - this may be due to an incorrectly set up environment" in explained(UNKNOWN, BUILD)
    assert "Setting the available devices" not in explained(UNKNOWN, BUILD)
