"""`Reader`: takes the settings out of a document one by one, and writes down what became of each."""

# os.path answers False for a path that may not be looked at or cannot be one; pathlib raises
# ruff: noqa: PTH110

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from planner.errors import InputError
from planner.run.kinds import Flag, Number, Whole
from planner.run.rules import RULES
from planner.run.wording import shown
from planner.trainer_configs.document import Document, find_file, printable, read_document
from planner.trainer_configs.types import Default, Json, Setting, TrainerConfig

if TYPE_CHECKING:
    from planner.trainer_configs.format import ConfigFormat

_WHOLE = re.compile(r"[+-]?[0-9]{1,30}(?:_[0-9]{1,30}){0,9}")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
_PLACEHOLDER = re.compile(r"\$\{[^}]*\}|\$\(|\$[A-Za-z_]|\{\{.*\}\}|%[A-Za-z_]+%")
_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")
_OFF = ("", "none", "null", "no", "off", "false")
PLACEHOLDER = "a placeholder, which is not filled in here"
MASKED = "***"
"""In the place of what nobody is to read."""
_SECRET = re.compile(
    r"(?:^|\.|-)(?:token|\w*(?:hub|hf|auth|access|api)_token|\w*(?:secret|password|passwd|api_key|access_key)\w*)$",
    re.IGNORECASE,
)
_MOST = 1e300
"""Beyond any number that a setting means; NaN is not within it either."""
_LONGEST = 40
"""Characters of a name that is put into a number, a switch or a word."""


class Reader:
    """The settings of one document, and what a format makes of them.

    A key is a name at the top of the document, or names with dots between them for what is nested. A key whose value
    is null is as one that is not there. Text that holds a placeholder (`${MODEL}`) has no value that is known: it is
    uncounted, unless the format says that it moves nothing.

    The accessors (`whole`, `number`, `flag`, `text`, `names`) raise `InputError` naming the file, the key and what is
    wanted; they read numbers and switches that are written as text, as YAML and command lines have them. They do not
    take a key: that is for what says what became of it, one of `becomes`, `becomes_job`, `ignores`, `moves` and
    `uncounted`. Whatever no method took is uncounted at the end, as not known.
    """

    def __init__(self, document: Document, format: ConfigFormat) -> None:
        self.document = document
        self._format = format
        self._title, self._version = format.title, format.version
        self._run: dict[str, object] = {}
        self._run_defaults: dict[str, object] = {}
        self._job: dict[str, object] = {}
        self._job_defaults: dict[str, object] = {}
        self._keys: dict[str, str] = {}
        self._understood: list[Setting] = []
        self._defaulted: list[Default] = []
        self._ignored: list[Setting] = []
        self._uncounted: list[Setting] = []
        self._notes: list[str] = []
        self._taken: set[str] = set()

    # what is there

    def raw(self, key: str) -> Json:
        """The value as it is written; None where there is none, or a placeholder."""
        value = self._value(key)
        return None if is_placeholder(value) else value

    def has(self, key: str) -> bool:
        """Whether the document gives the key a value that is known."""
        return self.raw(key) is not None

    def whole(self, key: str) -> int | None:
        """A whole number."""
        value = plain(self.raw(key))
        if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
            value = int(value)
        if value is None or (isinstance(value, int) and not isinstance(value, bool)):
            return value
        raise self.wrong(key, "a whole number")

    def number(self, key: str) -> float | None:
        """A finite number."""
        value = plain(self.raw(key))
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not -_MOST <= value <= _MOST:
            raise self.wrong(key, "a number")
        return float(value)

    def flag(self, key: str) -> bool | None:
        """A switch."""
        value = self.raw(key)
        if value is None or isinstance(value, bool):
            return value
        word = str(value).strip().lower() if isinstance(value, str | int) else ""
        if word in _TRUE or word in _FALSE:
            return word in _TRUE
        raise self.wrong(key, "true or false")

    def text(self, key: str) -> str | None:
        """Text, without the space around it; of a number, how it is written."""
        value = self.raw(key)
        if value is None or isinstance(value, str):
            return None if value is None else value.strip()
        if isinstance(value, int | float):
            return str(value).lower()
        raise self.wrong(key, "text")

    def names(self, key: str) -> tuple[str, ...] | None:
        """A list of names, or names with commas between them."""
        value = self.raw(key)
        if value is None:
            return None
        if isinstance(value, str):
            return tuple(name for part in value.split(",") if (name := part.strip()))
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return tuple(cast("list[str]", value))
        raise self.wrong(key, "a list of names")

    def mapping(self, key: str) -> Mapping[str, Json] | None:
        """A mapping."""
        value = self.raw(key)
        if value is None or isinstance(value, dict):
            return value
        raise self.wrong(key, "a mapping")

    def wrong(self, key: str, wanted: str) -> InputError:
        """The error for a value that is not what is wanted."""
        value = self.raw(key)
        return InputError(f"{self.document.name}: {key} must be {wanted}, not {shown(value)}", field=key)

    def include(self, key: str) -> bool:
        """Put the settings of the file that a key at the top names (`deepspeed: zero2.json`) in the place of its name.

        The file is looked for as the trainer does, from the working directory, and then beside this one. Gives whether
        a mapping stands there now; a file that is not there leaves the key uncounted. Raises `InputError` for one that
        cannot be read.
        """
        value = self.raw(key)
        if isinstance(value, str):
            found = find_file(value, self.document.folder)
            if found is None:
                self.uncounted(key, "a file that is not here, so what it asks for is not known")
                return False
            settings = {**self.document.settings, key: dict(read_document(found).settings)}
            self.document = replace(self.document, settings=settings)
            self.note(f"{printable(found)} is read with it, which {key} names")
        return isinstance(self.raw(key), dict)

    # what becomes of it

    def becomes(self, key: str, **fields: object) -> None:
        """The setting gives these fields of the run; later calls go over earlier ones."""
        self._give(key, self._run, fields)

    def becomes_job(self, key: str, **fields: object) -> None:
        """The setting gives these fields of the job."""
        self._give(key, self._job, fields)

    def same(self, names: Mapping[str, str]) -> None:
        """Key -> the field of the run that it gives as it is written; keys that are not there are passed over."""
        for key, field in names.items():
            if self.has(key):
                self.becomes(key, **{field: plain(self.raw(key))})
            elif is_placeholder(self._written(key)):
                self.uncounted(key, PLACEHOLDER, field)

    def ignores(self, *keys: str, why: str = "") -> None:
        """The settings move neither memory nor time; keys that are not there are passed over."""
        for key in keys:
            if self._present(key) and key not in self._taken:
                self._ignored.append(Setting(key, self._written(key), why))
                self._taken.add(key)

    def moves(self, reasons: Mapping[str, str]) -> None:
        """Key -> what it does to memory where it is on, which is then uncounted; off it is ignored."""
        for key, why in reasons.items():
            if not self._present(key) or key in self._taken:
                continue
            if is_off(self.raw(key)) and not is_placeholder(self._written(key)):
                self.ignores(key)
            else:
                self.uncounted(key, why)

    def uncounted(self, key: str, why: str, *fields: str) -> None:
        """The setting moves memory (or may), and the run cannot say it.

        why: what it does, as the end of a sentence. fields: of the run, where giving them otherwise settles it.
        """
        self._uncounted.append(Setting(key, self._written(key), why, fields))
        self._taken.add(key)

    def default(self, source: str, **fields: object) -> None:
        """What the trainer gives fields of the run that no setting has given so far."""
        self._default(source, self._run, self._run_defaults, fields)

    def default_job(self, source: str, **fields: object) -> None:
        """What the trainer gives fields of the job that no setting has given so far."""
        self._default(source, self._job, self._job_defaults, fields)

    def gives(self, field: str) -> object:
        """What the run has in a field so far, from a setting or by default; None for nothing."""
        return self._run.get(field, self._run_defaults.get(field))

    def note(self, sentence: str) -> None:
        """Something to know of the reading."""
        self._notes.append(sentence)

    def taken_for(self, title: str, version: str) -> None:
        """Whose config it is after all, where the format reads those of others too."""
        self._title, self._version = title, version

    def finish(self, notes: Iterable[str] = ()) -> TrainerConfig:
        """All that was read. What nothing took is uncounted, as it may move memory, but for what is off."""
        for key, value in self._left():
            if is_placeholder(value):
                self.uncounted(key, PLACEHOLDER)
            elif self._is_merged(value):
                self.ignores(key, why="merged in where it is used")
            elif is_off(value) or self._written(key) == MASKED:
                self.ignores(key, why=f"not a setting of {self._version}, as far as is known here")
            else:
                self.uncounted(key, f"not a setting of {self._version}, as far as is known here")
        self._run = {name: _as_its_kind(name, value) for name, value in self._run.items()}
        model = self._run.get("model")
        if isinstance(model, str):
            self._run["model"] = _found(model, self.document.folder)
        return TrainerConfig(
            name=self.document.name,
            format=self._format.name,
            title=self._title,
            version=self._version,
            run=self._run,
            run_defaults=self._run_defaults,
            job=self._job,
            job_defaults=self._job_defaults,
            keys=self._keys,
            understood=tuple(self._understood),
            defaulted=tuple(self._defaulted),
            ignored=tuple(self._ignored),
            uncounted=tuple(self._uncounted),
            notes=(*notes, *self._notes),
        )

    def _give(self, key: str, to: dict[str, object], fields: Mapping[str, object]) -> None:
        to.update(fields)
        self._keys.update(dict.fromkeys(fields, key))
        text = ", ".join(f"{name} {_in_words(value)}" for name, value in fields.items())
        before = next((one for one in self._understood if one.key == key), None)
        if before is not None:
            self._understood.remove(before)
            text = f"{before.text}, {text}"
        self._understood.append(Setting(key, self._written(key), text))
        self._taken.add(key)

    def _default(
        self, source: str, given: Mapping[str, object], to: dict[str, object], fields: Mapping[str, object]
    ) -> None:
        for name, value in fields.items():
            if name not in given and name not in to:
                to[name] = value
                self._defaulted.append(Default(name, value, source))

    def _written(self, key: str) -> Json:
        value = self._value(key)
        return MASKED if isinstance(value, str) and _SECRET.search(key) else value

    def _value(self, key: str) -> Json:
        if key in self.document.settings:
            return self.document.settings[key]
        value: Json = dict(self.document.settings)
        for part in key.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        return value

    def _present(self, key: str) -> bool:
        return self._written(key) is not None

    def _is_merged(self, value: Json) -> bool:
        """Whether it is a mapping that YAML's `<<: *name` put at the top, where its settings stand."""
        top = self.document.settings
        return (
            isinstance(value, dict)
            and all(name in top for name in value)
            and any(top[name] == one for name, one in value.items())
        )

    def _left(self) -> Iterator[tuple[str, Json]]:
        """The settings that nothing took: the outermost ones of which no part was taken."""

        def below(prefix: str, settings: Mapping[str, Json]) -> Iterator[tuple[str, Json]]:
            for name, value in settings.items():
                key = f"{prefix}{name}"
                if key in self._taken or value is None:
                    continue
                if isinstance(value, dict) and any(taken.startswith(f"{key}.") for taken in self._taken):
                    yield from below(f"{key}.", value)
                else:
                    yield key, value

        yield from below("", self.document.settings)


def plain(value: Json) -> Json:
    """Text that is a number as that number (`"4"`, `"2e-4"`); anything else as it is."""
    if not isinstance(value, str) or len(value) > _LONGEST:
        return value
    text = value.strip()
    if _WHOLE.fullmatch(text):
        return int(text)
    return float(text) if _NUMBER.fullmatch(text) else value


def is_placeholder(value: Json) -> bool:
    """Whether text is to be filled in by something else: `${MODEL}`, `$MODEL`, `{{ model }}`."""
    return isinstance(value, str) and _PLACEHOLDER.search(value) is not None


def is_off(value: Json) -> bool:
    """Whether a value leaves out what its key is about: null, false, 0, empty, `none`."""
    if isinstance(value, str):
        return value.strip().lower() in _OFF or plain(value) == 0
    return value is None or value is False or value == 0 or value == [] or value == {}


def _as_its_kind(field: str, value: object) -> object:
    """A number or a switch that is written as text, as command lines have them, where the field is one."""
    rule = RULES.get(field)
    if isinstance(value, str) and isinstance(rule, Whole | Number):
        return plain(value)
    if isinstance(value, str) and isinstance(rule, Flag) and value.strip().lower() in (*_TRUE, *_FALSE):
        return value.strip().lower() in _TRUE
    return value


def _found(model: str, folder: Path) -> str:
    """A model's path as it leads there: from the working directory, as trainers have it, or beside the config."""
    beside = folder / model
    is_path = model.startswith(".") or "/" in model
    return str(beside) if is_path and not os.path.exists(model) and os.path.exists(beside) else model


def _in_words(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list | tuple):
        return " ".join(map(str, cast("list[object]", value)))
    return f"{value:g}" if isinstance(value, float) else str(value)
