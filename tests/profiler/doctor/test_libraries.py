"""The libraries, and bitsandbytes' backend."""

from __future__ import annotations

import importlib
from importlib import metadata
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

from profiler.doctor.libraries import bitsandbytes, installed, no_bitsandbytes


def test_versions_are_those_that_are_installed() -> None:
    versions = {library.name: library.version for library in installed()}
    for name in ("torch", "transformers", "peft", "bitsandbytes", "accelerate", "nvidia-ml-py"):
        assert versions[name] == metadata.version(name)


def test_a_library_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "peft")
    assert {library.name: library.version for library in installed()}["peft"] is None


def test_what_bitsandbytes_has_loaded() -> None:
    extension: Any = importlib.import_module("bitsandbytes.cextension")
    found = bitsandbytes()
    assert found.error is None
    assert found.library is not None and extension.lib._lib._name.endswith(found.library)
    assert "cpu" in found.kernels


def test_a_library_that_could_not_be_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    extension: Any = importlib.import_module("bitsandbytes.cextension")
    monkeypatch.setattr(extension, "lib", extension.ErrorHandlerMockBNBNativeLibrary("no binary"))
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    assert bitsandbytes().library is None
    assert no_bitsandbytes("cpu") is None, "plain torch operators stand in"
    assert no_bitsandbytes("cuda") == (
        f"bitsandbytes {metadata.version('bitsandbytes')} has no backend for CUDA 13.0: it could load no native "
        "library; install a bitsandbytes that is built for CUDA 13.0 (python -m bitsandbytes says more)"
    )


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("libbitsandbytes_cuda130.so", None),
        ("libbitsandbytes_rocm64.so", None),
        ("libbitsandbytes_cpu.so", "it loaded libbitsandbytes_cpu.so, which is for the CPU"),
    ],
)
def test_which_library_serves_a_card(file: str, reason: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    extension: Any = importlib.import_module("bitsandbytes.cextension")
    monkeypatch.setattr(extension, "lib", SimpleNamespace(_lib=SimpleNamespace(_name=f"/a/folder/{file}")))
    found = no_bitsandbytes("cuda")
    assert found is None if reason is None else reason in (found or "")


def test_no_bitsandbytes(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "bitsandbytes")
    assert (no_bitsandbytes("cpu") or "").startswith("bitsandbytes is not installed")


def test_a_broken_bitsandbytes(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.import_module

    def import_module(name: str, package: str | None = None) -> ModuleType:
        if name.startswith("bitsandbytes"):
            raise RuntimeError("bitsandbytes: failed to load backend foo\nand more")
        return real(name, package)

    monkeypatch.setattr(importlib, "import_module", import_module)
    assert bitsandbytes().error == "bitsandbytes: failed to load backend foo"
    assert "cannot be imported (bitsandbytes: failed to load backend foo); install it anew" in (
        no_bitsandbytes("cuda") or ""
    )


def without(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    real = metadata.version

    def version(name: str) -> str:
        if name == missing:
            raise metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(metadata, "version", version)
