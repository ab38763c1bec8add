"""The training stack that is simulated, imported when it is needed and without what fake tensors never use."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import warnings
from collections.abc import Callable, Generator
from importlib import metadata
from typing import Any

from planner.errors import InputError

LIBRARIES = ("torch", "transformers", "peft", "bitsandbytes")


def import_stack() -> None:
    """Import torch, transformers and PEFT.

    Raises `InputError` where one of them is missing or cannot be imported.
    """
    # nothing is loaded from the hub, and nothing is compiled: importing the compiler takes a second
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    with quiet():
        _import("torch")
        with uncompiled():
            for library in LIBRARIES:
                _import(library)


def versions(kernels: str = "hf") -> tuple[tuple[str, str], ...]:
    """The version of each library that runs, without importing it.

    kernels: of the run. Raises `InputError` where a library is not installed.
    """
    found: list[tuple[str, str]] = []
    for library in (*LIBRARIES, "liger-kernel") if kernels == "liger" else LIBRARIES:
        try:
            found.append((library, metadata.version(library)))
        except metadata.PackageNotFoundError:
            raise _missing(library) from None
    return tuple(found)


@contextlib.contextmanager
def quiet() -> Generator[None]:
    """What the libraries have to say about themselves is not for the user of a simulation."""
    with silenced(*LIBRARIES, level=logging.CRITICAL), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def silenced(*libraries: str, level: int = logging.ERROR) -> Generator[None]:
    """Of what the libraries log, only what is of a level or above it."""
    loggers = [logging.getLogger(library) for library in libraries]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(level)
    try:
        yield
    finally:
        for logger, its_own in zip(loggers, before, strict=True):
            logger.setLevel(its_own)


@contextlib.contextmanager
def uncompiled() -> Generator[None]:
    """`torch.compile` gives functions back as they are: fake tensors never run what it makes of them."""
    from unittest import mock

    with mock.patch("torch.compile", _not_compiled):
        yield


def _import(library: str) -> None:
    try:
        importlib.import_module(library)
    except ImportError as error:
        if error.name == library:
            raise _missing(library) from None
        raise InputError(
            f"{library} is installed but cannot be imported ({str(error).splitlines()[0][:200]}); "
            'repair it with: pip install --upgrade "lora-plan[verify]"'
        ) from None


def _missing(library: str) -> InputError:
    if library not in LIBRARIES:
        return InputError(f"this run needs {library}, which is not installed; pip install {library}")
    return InputError(
        f'simulating runs the real training stack, and {library} is not installed; pip install "lora-plan[verify]"'
    )


def _not_compiled(function: Callable[..., Any] | None = None, **_: Any) -> Any:
    return _itself if function is None else function


def _itself(function: Callable[..., Any]) -> Callable[..., Any]:
    return function
