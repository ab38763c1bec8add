"""Typed, bounded access to a Hugging Face `config.json`, for the model families.

A family asks for what it needs by name and says what is allowed; whatever the file holds instead ends in
one sentence that names the key, its value and the file. A value of null counts as missing, as it does
for a `transformers` config that was saved with a default of None.
"""

from __future__ import annotations

import builtins
import math
from collections.abc import Mapping
from enum import Enum
from typing import Final, TypeVar, cast, overload

from planner.errors import InputError

T = TypeVar("T")
D = TypeVar("D")


class _Missing(Enum):
    MISSING = "missing"


_MISSING: Final = _Missing.MISSING

_HIDDEN = 2**20
_WIDE = 2**22
_LAYERS = 10_000
_VOCAB = 2**24
_EXPERTS = 2**16
_HEADS = 2**16
_POSITIONS = 2**27

LARGEST: dict[str, int] = {
    "hidden_size": _HIDDEN,
    "n_embd": _HIDDEN,
    "d_model": _HIDDEN,
    "word_embed_proj_dim": _HIDDEN,
    "embedding_size": _HIDDEN,
    "intermediate_size": _WIDE,
    "moe_intermediate_size": _WIDE,
    "shared_expert_intermediate_size": _WIDE,
    "ffn_hidden_size": _WIDE,
    "ffn_dim": _WIDE,
    "n_inner": _WIDE,
    "num_hidden_layers": _LAYERS,
    "n_layer": _LAYERS,
    "n_layers": _LAYERS,
    "num_layers": _LAYERS,
    "vocab_size": _VOCAB,
    "num_local_experts": _EXPERTS,
    "num_experts": _EXPERTS,
    "n_routed_experts": _EXPERTS,
    "n_shared_experts": _EXPERTS,
    "num_experts_per_tok": _EXPERTS,
    "num_attention_heads": _HEADS,
    "num_key_value_heads": _HEADS,
    "num_kv_heads": _HEADS,
    "n_head": _HEADS,
    "n_heads": _HEADS,
    "head_dim": _HEADS,
    "max_position_embeddings": _POSITIONS,
    "n_positions": _POSITIONS,
}
"""The largest value of a key that is taken for a size; beyond it the file is wrong, not the model large."""

LARGEST_INT = 2**31 - 1
"""The bound of integers that `LARGEST` does not name."""

LARGEST_LIST = 2**16
"""The most items that a list of a config may have."""


class Config:
    """One level of a config, with the file it is from.

    Every reader takes a key and alternates of it (`c.int("hidden_size", "n_embd")`): the first that is
    there and not null counts. Without a `default`, a key that is missing raises `InputError`, as does
    a value of another type, or one out of bounds.
    """

    __slots__ = ("_prefix", "_values", "origin")

    def __init__(self, values: Mapping[str, object], origin: str, prefix: str = "") -> None:
        self._values = values
        self._prefix = prefix
        self.origin = origin
        """Where the config is from, as errors name it: a path, an id, the catalogue."""

    def has(self, key: str) -> bool:
        """Whether `key` is there, with a value other than null."""
        return self._values.get(key) is not None

    def states(self, key: str) -> builtins.bool:
        """Whether `key` is there, if only as null: for keys whose null is not their default."""
        return key in self._values

    @overload
    def int(self, *keys: str, minimum: builtins.int = 1, maximum: builtins.int | None = None) -> builtins.int: ...
    @overload
    def int(
        self, *keys: str, minimum: builtins.int = 1, maximum: builtins.int | None = None, default: D
    ) -> builtins.int | D: ...
    def int(
        self,
        *keys: str,
        minimum: builtins.int = 1,
        maximum: builtins.int | None = None,
        default: D | _Missing = _MISSING,
    ) -> builtins.int | D:
        """An integer from `minimum` to `maximum` (by default the bound `LARGEST` gives for the key)."""
        key, value = self._find(keys, default)
        if key is None:
            return cast("D", value)
        if isinstance(value, bool) or not isinstance(value, builtins.int):
            raise self._wrong_type(key, value, "an integer", _as_int(value))
        highest = LARGEST.get(key, LARGEST_INT) if maximum is None else maximum
        if not minimum <= value <= highest:
            raise self._error(key, _shown(value), f"write an integer from {minimum:,} to {highest:,}")
        return value

    @overload
    def float(
        self, *keys: str, minimum: builtins.float | None = None, maximum: builtins.float | None = None
    ) -> builtins.float: ...
    @overload
    def float(
        self,
        *keys: str,
        minimum: builtins.float | None = None,
        maximum: builtins.float | None = None,
        default: D,
    ) -> builtins.float | D: ...
    def float(
        self,
        *keys: str,
        minimum: builtins.float | None = None,
        maximum: builtins.float | None = None,
        default: D | _Missing = _MISSING,
    ) -> builtins.float | D:
        """A finite number from `minimum` to `maximum`, where given; an integer is taken as one."""
        key, value = self._find(keys, default)
        if key is None:
            return cast("D", value)
        if isinstance(value, bool) or not isinstance(value, builtins.int | builtins.float):
            raise self._wrong_type(key, value, "a number", _as_float(value))
        number = _finite(value)
        if number is None:
            raise self._error(key, _shown(value), "write a finite number")
        if (minimum is not None and number < minimum) or (maximum is not None and number > maximum):
            raise self._error(key, _shown(value), f"write a number {_between(minimum, maximum)}")
        return number

    @overload
    def bool(self, *keys: str) -> builtins.bool: ...
    @overload
    def bool(self, *keys: str, default: D) -> builtins.bool | D: ...
    def bool(self, *keys: str, default: D | _Missing = _MISSING) -> builtins.bool | D:
        """True or false; numbers and text are refused."""
        key, value = self._find(keys, default)
        if key is None:
            return cast("D", value)
        if not isinstance(value, builtins.bool):
            raise self._wrong_type(key, value, "true or false", _as_bool(value))
        return value

    @overload
    def str(self, *keys: builtins.str) -> builtins.str: ...
    @overload
    def str(self, *keys: builtins.str, default: D) -> builtins.str | D: ...
    def str(self, *keys: builtins.str, default: D | _Missing = _MISSING) -> builtins.str | D:
        """A text that is not empty."""
        key, value = self._find(keys, default)
        if key is None:
            return cast("D", value)
        if not isinstance(value, builtins.str):
            raise self._wrong_type(key, value, "text", None)
        if not value.strip():
            raise self._error(key, _shown(value), "write a text that is not empty")
        return value

    @overload
    def list(self, *keys: builtins.str, of: type[T], length: builtins.int | None = None) -> builtins.list[T]: ...
    @overload
    def list(
        self, *keys: builtins.str, of: type[T], length: builtins.int | None = None, default: D
    ) -> builtins.list[T] | D: ...
    def list(
        self,
        *keys: builtins.str,
        of: type[T],
        length: builtins.int | None = None,
        default: D | _Missing = _MISSING,
    ) -> builtins.list[T] | D:
        """A list whose items are all `of` one type (bool is not int), of `length` items where given."""
        key, value = self._find(keys, default)
        if key is None:
            return cast("D", value)
        if not isinstance(value, builtins.list):
            raise self._wrong_type(key, value, "a list", None)
        items = cast("list[object]", value)
        if length is not None and len(items) != length:
            raise self._wrong_length(key, items, f"write {length:,}")
        if len(items) > LARGEST_LIST:
            raise self._wrong_length(key, items, f"write at most {LARGEST_LIST:,}")
        for index, item in enumerate(items):
            if not isinstance(item, of) or (of is builtins.int and isinstance(item, builtins.bool)):
                raise self._wrong_type(f"{key}[{index}]", item, _TYPES.get(of, of.__name__), None)
        return cast("builtins.list[T]", items)

    def sub(self, key: builtins.str) -> Config:
        """The mapping under `key` (such as `text_config`), as a config of its own."""
        found, value = self._find((key,), _MISSING)
        if found is None or not isinstance(value, dict):
            raise self._wrong_type(key, value, "a mapping", None)
        return Config(cast("dict[str, object]", value), self.origin, f"{self._prefix}{key}.")

    def _find(self, keys: tuple[builtins.str, ...], default: object) -> tuple[builtins.str | None, object]:
        """The first of `keys` that is there and its value; or (None, the default)."""
        for key in keys:
            value = self._values.get(key)
            if value is not None:
                return key, value
        if default is not _MISSING:
            return None, default
        names = " or ".join(f"'{self._prefix}{key}'" for key in keys)
        raise InputError(f"{self.origin} has no {names}; add it", field="model")

    def _wrong_type(
        self, key: builtins.str, value: object, wanted: builtins.str, instead: builtins.str | None
    ) -> InputError:
        """The error for a value of another type; `instead` is how the same value would be written right."""
        advice = f"write {wanted if instead is None else instead}"
        if isinstance(value, dict | builtins.list):
            return self._error(key, _kind(cast("object", value)), advice)
        return self._error(key, f"{_shown(value)}, which is {_kind(value)}", advice)

    def _wrong_length(self, key: builtins.str, items: builtins.list[object], advice: builtins.str) -> InputError:
        return InputError(f"'{self._prefix}{key}' in {self.origin} has {len(items):,} items; {advice}", field="model")

    def _error(self, key: builtins.str, shown: builtins.str, advice: builtins.str) -> InputError:
        return InputError(f"'{self._prefix}{key}' in {self.origin} is {shown}; {advice}", field="model")


_TYPES: dict[type, str] = {int: "an integer", float: "a number", str: "text", bool: "true or false"}


def _kind(value: object) -> str:
    """What a JSON value is, in words."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a truth value"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "text"
    if isinstance(value, list):
        return "a list"
    return "a mapping" if isinstance(value, dict) else type(value).__name__


def _shown(value: object) -> str:
    """A value short enough for a sentence."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**60:
        return "a number of more than 60 digits"
    if isinstance(value, str):
        value = value if len(value) <= 60 else value[:60] + "..."
        return '"' + value.encode("unicode_escape").decode("ascii").replace('"', '\\"') + '"'
    return {"None": "null", "True": "true", "False": "false"}.get(str(value), str(value))


def _as_int(value: object) -> str | None:
    """How an integer that was written as text or as a fraction is written right."""
    if isinstance(value, float) and math.isfinite(value) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    if isinstance(value, str) and len(value) <= 20:
        try:
            return str(int(value))
        except ValueError:
            return None
    return None


def _as_float(value: object) -> str | None:
    if isinstance(value, str) and len(value) <= 40:
        try:
            number = float(value)
        except ValueError:
            return None
        return str(number) if math.isfinite(number) else None
    return None


def _as_bool(value: object) -> str | None:
    if isinstance(value, str):
        return value.lower() if value.lower() in ("true", "false") else None
    if isinstance(value, int):
        return {0: "false", 1: "true"}.get(value)
    return None


def _finite(value: float) -> float | None:
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _between(minimum: float | None, maximum: float | None) -> str:
    if minimum is None:
        return f"of at most {maximum}"
    return f"of at least {minimum}" if maximum is None else f"from {minimum} to {maximum}"
