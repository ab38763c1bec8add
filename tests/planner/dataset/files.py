"""Data files for tests, and what the reader says of bad ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from planner.dataset import profile_dataset
from planner.errors import InputError


def file(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def lines(*rows: object) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def sentence(path: Path, **options: Any) -> str:
    """The error for a file, with FILE for its path."""
    with pytest.raises(InputError) as caught:
        profile_dataset(path, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message.replace(str(path), "FILE")
