"""The device to measure on."""

from __future__ import annotations

import importlib

from planner.catalogue.spelling import shown
from planner.errors import InputError, NoUsableDevice
from planner.names import did_you_mean
from profiler.doctor.libraries import first_line
from profiler.measure.device.base import Device
from profiler.measure.device.no_cuda import gpu_driver, why_no_cuda

KINDS = ("cuda", "xpu", "mps", "cpu")
"""By preference; `cuda` is ROCm too, as torch has it."""


def find_device(kind: str | None = None) -> Device:
    """The device of that kind, or the first kind of `KINDS` that can be used.

    Raises `NoUsableDevice` where that kind cannot be used, with the reason, and `InputError` for a kind that
    there is not. A CUDA context is made here: it stays on the card until the process ends.
    """
    if kind is None:
        kind = next((kind for kind in KINDS if why_not(kind) is None), "cpu")
    reason = why_not(kind)
    if reason is not None:
        raise NoUsableDevice(reason)
    return _device(kind)


def why_not(kind: str) -> str | None:
    """One sentence on why there is no measuring on that kind of device; None where there is."""
    if kind not in KINDS:
        raise InputError(
            f"device '{shown(kind)}' is not known; give one of {', '.join(KINDS)} (which card of several is chosen by "
            f"CUDA_VISIBLE_DEVICES){did_you_mean(kind, KINDS)}",
            field="device",
        )
    return no_torch() or {"cuda": why_no_cuda, "xpu": _why_no_xpu, "mps": _why_no_mps}.get(kind, lambda: None)()


def overlooked() -> str | None:
    """Why the GPU that this machine has a driver for is not used, where `find_device()` takes the CPU; else None."""
    if gpu_driver() is None or any(why_not(kind) is None for kind in KINDS if kind != "cpu"):
        return None
    return why_not("cuda")


def no_torch() -> str | None:
    """Why torch cannot be imported; None where it can."""
    try:
        importlib.import_module("torch")
    except ModuleNotFoundError as error:
        if error.name == "torch":
            return 'measuring needs torch, which is not installed; pip install "lora-plan[verify]"'
        return _broken(error)
    except Exception as error:  # a missing library is an OSError, another version's file anything
        return _broken(error)
    return None


def _device(kind: str) -> Device:
    """Of the kind, whose module imports torch."""
    if kind == "cuda":
        from profiler.measure.device.cuda import Cuda

        return Cuda()
    if kind == "xpu":
        from profiler.measure.device.xpu import Xpu

        return Xpu()
    if kind == "mps":
        from profiler.measure.device.mps import Mps

        return Mps()
    from profiler.measure.device.cpu import Cpu

    return Cpu()


def _broken(error: Exception) -> str:
    return f"torch is installed but cannot be imported ({first_line(error)}); install it anew"


def _why_no_xpu() -> str | None:
    import torch

    if torch.xpu.is_available():
        return None
    if torch.version.xpu is None:
        return f"torch {torch.__version__} is a build without XPU; install a build of torch for Intel GPUs"
    return "torch finds no Intel GPU; install Intel's compute runtime (Level Zero), or choose another --device"


def _why_no_mps() -> str | None:
    import torch

    if torch.backends.mps.is_available():
        return None
    if not torch.backends.mps.is_built():
        return f"torch {torch.__version__} is a build without MPS, which there is for macOS on Apple chips alone"
    return "MPS needs an Apple chip and a macOS that torch supports; choose another --device"
