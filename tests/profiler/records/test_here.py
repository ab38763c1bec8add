"""What is installed here, told without importing it."""

from __future__ import annotations

import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from profiler.records import here
from profiler.records.here import look


def test_versions_of_what_is_installed() -> None:
    found = look(["pytest", "python", "no-such-library", "not a name", ""]).versions
    assert found == {"pytest": metadata.version("pytest"), "python": platform.python_version()}


@pytest.mark.parametrize(
    ("text", "driver"),
    [
        (
            "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12 19:39:15 UTC 2024\n"
            "GCC version:  gcc version 11.4.0 (Ubuntu 11.4.0-1ubuntu1~22.04)\n",
            "535.183.01",
        ),
        (
            "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release Build  (dvs@host)\n",
            "580.95.05",
        ),
        ("something else", None),
        ("", None),
    ],
)
def test_the_driver(text: str, driver: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "version"
    monkeypatch.setattr(here, "NVIDIA", file)
    assert look([]).driver is None
    file.write_text(text)
    assert look([]).driver == driver


def test_nothing_heavy_is_imported() -> None:
    code = (
        "import sys; from profiler.records.here import look; from profiler.records.calibrate import calibrated; "
        "look(['torch', 'transformers', 'peft']); print([name for name in ('torch', 'transformers', 'peft', 'numpy', "
        "'pandas') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout == "[]\n"
