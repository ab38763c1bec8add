"""Frozen results as JSON documents, and the same results again from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints

from planner.errors import InputError
from planner.run import TrainingRun

Result = TypeVar("Result")


class NotADocument(Exception):
    """A document that no result of the wanted kind was written to."""


def to_document(result: object) -> dict[str, object]:
    """A dataclass in what JSON can say; tuples become lists."""
    return cast("dict[str, object]", _plain(result))


def from_document(kind: type[Result], document: Mapping[str, object]) -> Result:
    """The result of that kind which `to_document` made this of. Raises `NotADocument` for any other document."""
    return _read(kind, document)


def _plain(value: object) -> object:
    if isinstance(value, TrainingRun):
        # defaults are drawn anew, so that the run still knows which of its fields were given
        return {name: item for name, item in value.to_dict().items() if name not in value.defaulted}
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in cast("dict[str, object]", value).items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in cast("tuple[object, ...]", value)]
    return value


def _read(kind: Any, value: object) -> Any:
    """The value as what its annotation says."""
    arguments = get_args(kind)
    if get_origin(kind) is UnionType:
        inner = next(argument for argument in arguments if argument is not NoneType)
        return None if value is None else _read(inner, value)
    if get_origin(kind) is tuple:
        return _tuple(arguments, value)
    if get_origin(kind) is dict:
        return {name: _read(arguments[1], item) for name, item in _mapping(value).items()}
    if kind is TrainingRun:
        return _run(_mapping(value))
    if is_dataclass(kind):
        return _dataclass(kind, _mapping(value))
    if type(value) is not kind:
        raise NotADocument
    return value


def _tuple(kinds: tuple[Any, ...], value: object) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise NotADocument
    items = cast("list[object]", value)
    if kinds[-1] is ...:
        kinds = (kinds[0],) * len(items)
    if len(items) != len(kinds):
        raise NotADocument
    return tuple(map(_read, kinds, items))


def _dataclass(kind: Any, value: Mapping[str, object]) -> Any:
    hints = get_type_hints(kind)
    if value.keys() != hints.keys():
        raise NotADocument
    return kind(**{name: _read(hint, value[name]) for name, hint in hints.items()})


def _run(value: Mapping[str, object]) -> TrainingRun:
    try:
        return TrainingRun(**value)
    except InputError:
        raise NotADocument from None


def _mapping(value: object) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise NotADocument
    return cast("Mapping[str, object]", value)
