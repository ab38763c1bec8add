"""The libraries of a simulation: imported, missing, broken."""

from __future__ import annotations

import importlib
import logging
import warnings
from importlib import metadata
from typing import Any

import pytest
import torch

from planner.errors import InputError
from profiler.simulate import stack


def failing(monkeypatch: pytest.MonkeyPatch, library: str, error: ImportError) -> None:
    really = importlib.import_module

    def import_module(name: str, package: str | None = None) -> Any:
        if name == library:
            raise error
        return really(name, package)

    monkeypatch.setattr(importlib, "import_module", import_module)


def test_all_of_it_is_imported() -> None:
    compiler = torch.compile
    stack.import_stack()
    assert torch.compile is compiler


@pytest.mark.parametrize("library", stack.LIBRARIES)
def test_a_missing_library_is_named_with_what_installs_it(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, library, ModuleNotFoundError(f"No module named '{library}'", name=library))
    with pytest.raises(InputError, match=rf'{library} is not installed; pip install "lora-plan\[verify\]"'):
        stack.import_stack()


@pytest.mark.parametrize(
    "error",
    [
        ModuleNotFoundError("No module named 'accelerate'", name="accelerate"),
        ImportError("cannot import name 'x' from 'transformers'\nand more", name="transformers"),
        ImportError("libcudart.so: cannot open shared object file"),
    ],
    ids=["a library of its own", "another version", "a shared object"],
)
def test_a_library_that_is_there_but_broken_is_to_be_repaired(
    error: ImportError, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, "peft", error)
    with pytest.raises(InputError, match="peft is installed but cannot be imported") as caught:
        stack.import_stack()
    assert str(error).splitlines()[0] in str(caught.value)
    assert "\n" not in str(caught.value)


def test_versions_are_those_installed() -> None:
    assert stack.versions() == tuple((library, metadata.version(library)) for library in stack.LIBRARIES)


def test_the_version_of_what_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack, "LIBRARIES", ("torch", "no-such-library"))
    with pytest.raises(InputError, match="no-such-library is not installed"):
        stack.versions()


def test_what_libraries_say_is_not_passed_on(caplog: pytest.LogCaptureFixture) -> None:
    levels = [logging.getLogger(library).level for library in stack.LIBRARIES]
    with warnings.catch_warnings(record=True) as caught:
        with stack.quiet():
            for library in stack.LIBRARIES:
                logging.getLogger(library).error("a word on itself")
            warnings.warn("about itself", UserWarning, stacklevel=1)
        assert caught == []
    assert caplog.records == []
    assert [logging.getLogger(library).level for library in stack.LIBRARIES] == levels
