"""The libraries that a measurement runs on: their versions, and whether bitsandbytes has kernels for the device."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from planner.catalogue.spelling import shown
from profiler.simulate.stack import quiet

LIBRARIES = ("torch", "transformers", "peft", "bitsandbytes", "accelerate", "nvidia-ml-py")

_KEYS = {"cpu": "CPU", "cuda": "CUDA", "xpu": "XPU", "mps": "MPS"}
"""Kind of device -> the key that torch dispatches its operators by; ROCm's is CUDA too."""

_OPERATOR = "bitsandbytes::dequantize_4bit"
"""What every step of a 4-bit run calls."""


@dataclass(frozen=True, slots=True)
class Library:
    """One that a measurement uses."""

    name: str
    version: str | None
    """None where it is not installed."""


@dataclass(frozen=True, slots=True)
class BitsAndBytes:
    """What bitsandbytes can do here."""

    library: str | None
    """Its native library's file, `libbitsandbytes_cuda130.so`; None where none could be loaded."""
    kernels: tuple[str, ...]
    """Kinds of device that it has 4-bit kernels of its own for; on others plain torch operators stand in."""
    error: str | None
    """Why it cannot be imported; None where it can."""


def installed() -> tuple[Library, ...]:
    """Each library with its version, none of them imported."""
    return tuple(Library(name, _version(name)) for name in LIBRARIES)


def bitsandbytes() -> BitsAndBytes:
    """Imports it, silently, and sees what it has loaded."""
    try:
        with quiet():
            importlib.import_module("bitsandbytes")
            extension: Any = importlib.import_module("bitsandbytes.cextension")
            torch: Any = importlib.import_module("torch")
            has_kernel = torch._C._dispatch_has_kernel_for_dispatch_key
            kernels = tuple(kind for kind, key in _KEYS.items() if has_kernel(_OPERATOR, key))
    except Exception as error:  # what a broken library raises is anything
        return BitsAndBytes(None, (), first_line(error))
    return BitsAndBytes(_file(extension), kernels, None)


def no_bitsandbytes(kind: str) -> str | None:
    """One sentence on why bitsandbytes can do nothing on that kind of device; None where it can."""
    version = _version("bitsandbytes")
    if version is None:
        return "bitsandbytes is not installed, which quantized runs and 8-bit optimizers need; pip install bitsandbytes"
    found = bitsandbytes()
    if found.error is not None:
        return f"bitsandbytes {version} cannot be imported ({found.error}); install it anew"
    if kind != "cuda":
        return None
    file = found.library or ""
    if "cuda" in file or "rocm" in file or "hip" in file:
        return None
    from profiler.measure.device.cuda import built_for

    runtime = built_for() or "this device"
    loaded = f"loaded {file}, which is for the CPU" if file else "could load no native library"
    return (
        f"bitsandbytes {version} has no backend for {runtime}: it {loaded}; "
        f"install a bitsandbytes that is built for {runtime} (python -m bitsandbytes says more)"
    )


def first_line(error: BaseException) -> str:
    """What an error of another library says first, safe to print."""
    return shown(next(iter(str(error).strip().splitlines()), type(error).__name__), 200)


def _file(extension: Any) -> str | None:
    """The file behind bitsandbytes' `lib`; a stand-in that raises when it is called has none."""
    loaded: Any = getattr(extension, "lib", None)
    name: object = getattr(getattr(loaded, "_lib", None), "_name", None)
    return Path(name).name if isinstance(name, str) else None


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
