"""How error messages speak of a value, and when two spellings are the same word."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Iterable
from functools import lru_cache
from typing import cast

from planner.errors import InputError

_SHORT = reprlib.Repr()
_SHORT.maxstring = 80


@lru_cache(maxsize=1024)
def spelling_key(word: str) -> str:
    """What is left of a word when its case and separators do not count: `Int8-LoRA` → `int8lora`."""
    return re.sub(r"[-_.\s]", "", word.casefold().replace("³", "3"))


def shown(value: object) -> str:
    """A value as an error message shows it: on one line, shortened, always printable."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and value.bit_length() > 64:
        return f"a whole number of {value.bit_length():,} bits"
    if isinstance(value, str | int | float):
        return _SHORT.repr(value)
    if isinstance(value, list | tuple):
        items = list(cast("Iterable[object]", value))
        # Only names are listed: a number in a list may be too long to print (sys.set_int_max_str_digits).
        return _SHORT.repr(items) if all(isinstance(item, str) for item in items) else "a list"
    return "a mapping" if isinstance(value, dict) else f"a value of type {type(value).__name__}"


def kind_of(value: object) -> str:
    """What a value is, where it may be of a file that nobody is to read: `text`, `a list`."""
    if isinstance(value, bool | int | float):
        return "a switch" if isinstance(value, bool) else "a number"
    return "text" if isinstance(value, str) else "a list" if isinstance(value, list) else "nothing of the kind"


def refused(name: str, value: object, allowed: str, hint: str = "") -> InputError:
    """The error for a field whose value is not what is `allowed`."""
    return InputError(f"{name} must be {allowed}, not {shown(value)}{hint}", field=name)


def either(words: Iterable[str]) -> str:
    """`a, b or c`."""
    *most, last = words
    return f"{', '.join(most)} or {last}" if most else last
