"""The interface of a trainer's configs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from planner.trainer_configs.document import Document
from planner.trainer_configs.reader import Reader


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigFormat:
    """How the configs of one trainer are told and read."""

    name: str
    """As `--config-format` names it."""

    title: str
    """As its makers write it."""

    version: str
    """The release whose settings and defaults these are: `axolotl 0.19.0`."""

    signs: Callable[[Document], tuple[str, ...]]
    """The settings of a document that show it to be this trainer's; none where it is not."""

    read: Callable[[Reader], None]
    """Says of every setting what becomes of it."""

    includes: tuple[str, ...] = ()
    """Formats whose signs each config of this one has too, which is no reason to doubt."""
