"""How a simulation says how far it is."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, float], None]
"""Told of each phase as it begins, with the share of the work that is done."""


def silent(_phase: str, _share: float) -> None:
    """Say nothing."""
