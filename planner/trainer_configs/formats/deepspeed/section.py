"""A mapping of settings within DeepSpeed's, and what they become one by one."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from planner.trainer_configs.formats.deepspeed.keys import VERSION
from planner.trainer_configs.reader import Reader, is_off, is_placeholder
from planner.trainer_configs.types import Json


class Section:
    """The mapping under a key; "" is the document's top."""

    def __init__(self, reader: Reader, at: str) -> None:
        self.reader = reader
        self.at = at
        self.mapping: Mapping[str, Json] = (reader.mapping(at) if at else reader.document.settings) or {}

    def key(self, name: str) -> str:
        return f"{self.at}.{name}" if self.at else name

    def given(self, name: str) -> str | None:
        """The key of a setting with a value of its own: neither null nor `auto`."""
        key = self.key(name)
        return key if self.reader.has(key) and self.reader.raw(key) != "auto" else None

    def is_on(self, name: str) -> bool:
        """Whether a switch, the device of an offload, or a number of GPUs is more than nothing."""
        key = self.given(name)
        value = None if key is None else self.reader.raw(key)
        return not is_off(value) and (value is True or value != 1)

    def moves(self, name: str, switch: str, why: str) -> None:
        """A setting or section is uncounted where it is on, by itself or by `switch` in it."""
        key = self.key(name)
        value = self.mapping.get(name)
        if switch and isinstance(value, dict):
            on = is_placeholder(value.get(switch)) or Section(self.reader, key).is_on(switch)
        else:
            on = self.is_on(name)
        if on:
            self.reader.moves({key: why})
        elif not is_placeholder(value):
            self.reader.ignores(key)

    def autos(self) -> None:
        """What is left to the trainer."""
        names = (name for name, value in self.mapping.items() if value == "auto")
        self.reader.ignores(*map(self.key, names), why="auto: filled in by the trainer")

    def rest(self, known: Collection[str]) -> None:
        """What is none of DeepSpeed's settings."""
        for name, value in self.mapping.items():
            if name not in known and value is not None:
                placeholder = is_placeholder(value)
                why = "a placeholder, which is not filled in here" if placeholder else f"not a setting of {VERSION}"
                self.reader.uncounted(self.key(name), why)
