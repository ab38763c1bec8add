"""A driver that is not there, and one that a stub library plays."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pynvml
import pytest

from profiler.measure.device import no_cuda, nvml

SOURCE = Path(__file__).parent / "nvml_stub.c"

Answers = Callable[..., None]


@pytest.fixture
def no_driver(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither NVIDIA's nor AMD's, whatever machine this is."""

    def not_found(name: str) -> Any:
        raise OSError(f"{name}: cannot open shared object file: No such file or directory")

    monkeypatch.setattr(pynvml, "nvmlLib", None)
    monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
    monkeypatch.setattr(pynvml, "CDLL", not_found)
    monkeypatch.setattr(nvml, "KERNEL_MODULE", tmp_path / "no" / "version")
    monkeypatch.setattr(no_cuda, "KFD", tmp_path / "no" / "kfd")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.fixture(scope="session")
def nvml_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`libnvidia-ml.so.1`, as the dynamic loader would find it in its folder."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler")
    library = tmp_path_factory.mktemp("nvml") / "libnvidia-ml.so.1"
    subprocess.run((compiler, "-shared", "-fPIC", "-O1", "-Wall", "-o", str(library), str(SOURCE)), check=True)
    return library


@pytest.fixture
def driver(no_driver: None, nvml_library: Path, monkeypatch: pytest.MonkeyPatch) -> Answers:
    """The stub as the driver's library; called with names and values, it sets what the stub answers."""
    monkeypatch.setattr(pynvml, "nvmlLib", ctypes.CDLL(str(nvml_library)))

    def answers(**values: object) -> None:
        for name, value in values.items():
            monkeypatch.setenv(f"STUB_{name.upper()}", str(value))

    return answers
