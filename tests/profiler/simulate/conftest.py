"""Backward passes on the simulated device, in processes where others ran before."""

from __future__ import annotations

from collections.abc import Generator

import pytest
import torch


@pytest.fixture(autouse=True)
def in_one_thread() -> Generator[None]:
    """As `trace.step` runs them: autograd's threads know only devices that were there at its first pass."""
    with torch.autograd.set_multithreading_enabled(False):
        yield
