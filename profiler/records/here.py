"""What the stack on this machine is, as far as it can be told without importing any of it."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

NVIDIA = Path("/proc/driver/nvidia/version")
"""Linux: `NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.95.05  Tue Sep 23 10:11:16 UTC 2025`."""

_VERSION = re.compile(r"\b[0-9]{3}\.[0-9]+(\.[0-9]+)?\b")


@dataclass(frozen=True, slots=True)
class Here:
    """This machine's libraries, driver and settings."""

    versions: Mapping[str, str]
    """Library -> its version, of those that are installed; python among them."""
    driver: str | None
    """Of NVIDIA's cards; None where it cannot be told."""
    environment: Mapping[str, str]


def look(libraries: Iterable[str]) -> Here:
    """The versions of these libraries here, the driver and the environment."""
    versions: dict[str, str] = {}
    for name in libraries:
        if name == "python":
            versions[name] = platform.python_version()
            continue
        try:
            versions[name] = metadata.version(name)
        except (metadata.PackageNotFoundError, ValueError):
            continue
    return Here(versions, _driver(NVIDIA), os.environ)


def _driver(file: Path) -> str | None:
    try:
        found = _VERSION.search(file.read_text(encoding="utf-8", errors="replace")[:1000])
    except OSError:
        return None
    return found[0] if found else None
