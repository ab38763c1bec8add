"""Why torch cannot compute on a CUDA or ROCm card, in one sentence with what to do."""

from __future__ import annotations

import re
from pathlib import Path

from planner.catalogue.spelling import shown
from profiler.measure.device import nvml, visible

KFD = Path("/dev/kfd")
"""AMD's compute driver."""

_NO_CARD = (
    "No CUDA GPUs are available",
    "no CUDA-capable device",
    "No HIP GPUs are available",
    "invalid device ordinal",
)


def gpu_driver() -> str | None:
    """The driver of a GPU that torch could be built for, where there is a sign of one: `NVIDIA driver 580.95.05`."""
    version = nvml.driver_version()
    if version:
        return f"NVIDIA driver {version}"
    return "AMD GPU driver" if KFD.exists() else None


def why_no_cuda() -> str | None:
    """None where torch computes on a card. Imports torch, and makes a CUDA context where that succeeds."""
    import torch

    from profiler.measure.device import cuda

    build = f"torch {torch.__version__}"
    if cuda.built_for() is None:
        return _wrong_build(build)
    error = cuda.initialization_error()
    if error is None:
        return None
    if cuda.is_initialized():
        return _not_computing(error, f"{build} ({', '.join(cuda.compiled_for())})")
    return explained(error, f"{build} for {cuda.built_for()}")


def explained(error: str, build: str) -> str:
    """The sentence for what `torch.cuda.init` raised (c10/cuda/CUDAFunctions.cpp).

    build: torch's version and what it was built for.
    """
    driver = nvml.driver_version()
    if found := re.search(r"too old \(found version (\d+)\)", error):
        number = int(found.group(1))
        newest = f"CUDA {number // 1000}.{number % 1000 // 10}"
        return (
            f"the NVIDIA driver{f' {driver}' if driver else ''} is too old: it speaks {newest} at most, and this is "
            f"{build}; update the driver, or install a build of torch for {newest} or older"
        )
    if (hidden := _hidden()) is not None:
        return hidden
    reason = nvml.unavailable()
    if reason and "version mismatch" in reason.lower():
        loaded = f"the kernel module of {driver}" if driver else "the kernel module of before"
        return f"the NVIDIA driver was updated while {loaded} is still loaded; reboot the machine"
    if "no NVIDIA driver" in error:
        return _no_driver(driver)
    if any(words in error for words in _NO_CARD):
        return _no_card(driver)
    return (
        f"{build} cannot use CUDA ({_first_sentence(error)}), "
        "see whether nvidia-smi works; or measure on the CPU with --device cpu"
    )


def _wrong_build(build: str) -> str:
    driver = gpu_driver()
    if driver is None:
        return (
            f"there is no NVIDIA or AMD driver here, and {build} is a build without CUDA; "
            "run this on a machine with a GPU, or measure on the CPU with --device cpu"
        )
    kind = "CUDA" if driver.startswith("NVIDIA") else "ROCm"
    return f"{build} is a build without {kind}, though the {driver} is here; install a {kind} build of torch"


def _hidden() -> str | None:
    value = visible.setting()
    if value is None:
        return None
    uuids = [card.uuid() or "" for card in nvml.cards()]
    if value.strip() in ("", "-1") or (uuids and visible.left(value, uuids) == 0):
        return visible.hides_all(value, uuids)
    return None


def _no_driver(driver: str | None) -> str:
    if driver:
        return (
            f"the NVIDIA driver {driver} is loaded, but its library is not here; give the container access to the "
            "card (docker run --gpus all), or reinstall the driver"
        )
    return (
        "there is no NVIDIA driver on this machine; install one, run this on a machine with a GPU, "
        "or measure on the CPU with --device cpu"
    )


def _no_card(driver: str | None) -> str:
    if any(card.mig() for card in nvml.cards()):
        return (
            "the card is in MIG mode and has no slice that torch can use; make one (nvidia-smi mig -cgi), or leave MIG"
        )
    the_driver = f"the NVIDIA driver {driver}" if driver else "the driver"
    value = visible.setting()
    beside = f" with {visible.VARIABLE}={shown(value)}" if value is not None else ""
    return (
        f"{the_driver} shows torch no card{beside}; see whether nvidia-smi lists one, "
        "and give a container access to it (docker run --gpus all)"
    )


def _not_computing(error: str, build: str) -> str:
    """There is a card, and the first computation on it failed."""
    if "no kernel image" in error:
        return f"{build} has no kernels for this card; install a build of torch for its compute capability"
    if "busy or unavailable" in error:
        return "the card is in use by another process that shares it with none (compute mode); wait for it, or end it"
    if "out of memory" in error:
        return (
            "the card has too little free memory to begin with; end the other processes on it (nvidia-smi lists them)"
        )
    return f"the card cannot compute ({_first_sentence(error)}); see what nvidia-smi and the kernel log say of it"


def _first_sentence(error: str) -> str:
    line = next(iter(error.strip().splitlines()), "")
    return shown(re.split(r"(?<=[^.\d])\.\s", line)[0].rstrip("."), 200)
