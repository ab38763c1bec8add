"""How names of the catalogue are compared: without case, separators and vendor words."""

from __future__ import annotations

import re

_BETWEEN_DIGITS = re.compile(r"(?<=\d)[\s_.-]+(?=\d)")
_ELSEWHERE = re.compile(r"(?<!\d)[\s_.-]+|[\s_.-]+(?!\d)")
_VENDOR_WORDS = frozenset({"nvidia", "amd", "geforce", "tesla", "quadro", "instinct", "gpu"})


def squash(name: str) -> str:
    """A name without case and separators: `Llama_3.1 8B` and `llama-3.1-8b` are both `llama3-1-8b`.

    Spaces, `_`, `-` and `.` count only between two digits, where they tell `opt-1.3b` from `opt-13b`, and
    are all alike there.
    """
    return _ELSEWHERE.sub("", _BETWEEN_DIGITS.sub("-", name.casefold())) if name else ""


def squash_gpu(name: str) -> str:
    """A card's name, squashed, without vendor and brand: `NVIDIA GeForce RTX 4090` is `rtx4090`."""
    words = re.split(r"[\s_/-]+", name.casefold())
    return squash(" ".join(word for word in words if word not in _VENDOR_WORDS))


def shown(text: str, longest: int = 120) -> str:
    """What a user typed, of at most about `longest` characters and safe to print on any terminal."""
    short = text if len(text) <= longest else text[:longest] + "..."
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in short)


def shown_path(path: object) -> str:
    """A path in quotes, at its whole length unless that is absurd."""
    return f"'{shown(str(path), 1000)}'"
