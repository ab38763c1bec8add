"""Small questions that the other modules here ask of a document."""

from __future__ import annotations

from collections.abc import Iterable

from planner.trainer_configs.reader import Reader


def ignores_given(reader: Reader, keys: Iterable[str], why: str = "") -> None:
    """Ignore those of the settings that nothing has taken, but not placeholders, whose value would have counted."""
    reader.ignores(*(key for key in keys if reader.has(key)), why=why)


def is_null(reader: Reader, key: str) -> bool:
    """Whether a key is there without a value, which to Axolotl is not always its default."""
    return key in reader.document.settings and reader.document.settings[key] is None


def whole_of(value: object) -> int:
    """A field of the run as a whole number; 0 for what is none, which the run refuses by itself."""
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
