"""The nearest known name to one that was mistyped."""

from __future__ import annotations

from collections.abc import Iterable

LONGEST_NAME = 120
"""Longer words are nobody's typing slip, and comparing them is slow."""


def nearest(word: str, candidates: Iterable[str]) -> str | None:
    """The candidate a person most likely meant by `word`, or None when none is close.

    Case, `-`, `_` and spaces do not count. A word that candidates begin with finds the shortest
    of them (`adam` finds `adamw_torch`, not `adamax`); any other the one with the most in common.
    """
    import difflib

    key = _key(word)
    if not key or len(key) > LONGEST_NAME:
        return None
    by_key: dict[str, str] = {}
    for candidate in candidates:
        by_key.setdefault(_key(candidate), candidate)
    begun = [name for name in by_key if len(key) >= 3 and name.startswith(key)]
    if begun:
        return by_key[min(begun, key=len)]
    close = difflib.get_close_matches(key, by_key, n=1, cutoff=0.6)
    return by_key[close[0]] if close else None


def did_you_mean(word: str, candidates: Iterable[str]) -> str:
    """`"; did you mean 'x'?"` to put behind an error message, or `""` when nothing is close."""
    name = nearest(word, candidates)
    return f"; did you mean {name!r}?" if name is not None else ""


def _key(name: str) -> str:
    return name.casefold().replace("-", "").replace("_", "").replace(" ", "")
