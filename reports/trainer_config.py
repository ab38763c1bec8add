"""What was read of trainers' configs: what the plan lacks of it, and what became of every setting."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, cast

from reports.page import Page

if TYPE_CHECKING:
    from planner.trainer_configs import Default, Reading, Setting, TrainerConfig

LONGEST = 60
"""Characters of a setting's value that are shown."""

_GLUE = "\u00a0"
"""Keeps a setting and its value on one line."""


def uncounted_lines(reading: Reading | None, page: Page) -> list[str]:
    """The warning that belongs to a verdict: settings that move memory, and that no figure counts."""
    if reading is None or not reading.uncounted:
        return []
    return [
        page.style(line, "yellow")
        for words in in_words(reading.uncounted)
        for line in page.wrap(f"not counted: {words}", rest="    ")
    ]


def config_sections(reading: Reading | None, page: Page) -> list[str]:
    """A section for each file: settings that were understood, filled in by the trainer, overridden and ignored."""
    if reading is None:
        return []
    lines: list[str] = []
    for config in reading.configs:
        lines += ["", *_section(config, reading, page)] if lines else _section(config, reading, page)
    return lines


def config_json(reading: Reading) -> dict[str, object]:
    """The reading as JSON-like data."""
    return {
        "files": [
            {
                "file": config.name,
                "format": config.format,
                "version": config.version,
                "understood": [_setting_json(setting) for setting in config.understood],
                "defaulted": [
                    {"field": one.field, "value": _plain(one.value), "source": one.source} for one in config.defaulted
                ],
                "ignored": [_setting_json(setting) for setting in config.ignored],
            }
            for config in reading.configs
        ],
        "overridden": [setting.key for setting in reading.overridden],
        "uncounted": [_setting_json(setting) for setting in reading.uncounted],
    }


def with_config(data: dict[str, object], reading: Reading | None) -> dict[str, object]:
    """JSON-like data with what was read of a config in it, where there was one."""
    return data if reading is None else {**data, "config": config_json(reading)}


def in_words(settings: Iterable[Setting]) -> list[str]:
    """`torch_compile true (compiled graphs keep other tensors)`; settings that do the same stand together.

    Of what the trainer does by itself, and is not there, the key alone.
    """
    alike: dict[str, list[str]] = {}
    for setting in settings:
        value = "" if setting.value is None else f" {shown_value(setting.value)}"
        alike.setdefault(setting.text, []).append(f"{shown_value(setting.key)}{value}")
    return [f"{', '.join(names)}{f' ({why})' if why else ''}" for why, names in alike.items()]


def shown_value(value: object) -> str:
    """A setting's key or value on one line, shortened, without what a terminal would take for its own."""
    import json

    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def ignored_in_words(config: TrainerConfig) -> list[str]:
    """Ignored settings: those with a reason by themselves, the others by their keys together."""
    plain = [shown_value(setting.key) for setting in config.ignored if not setting.text]
    return [
        *([", ".join(plain)] if plain else []),
        *(f"{shown_value(setting.key)}: {setting.text}" for setting in config.ignored if setting.text),
    ]


def own_defaults(config: TrainerConfig, reading: Reading) -> list[Default]:
    """What the trainer filled in, and nothing went over."""
    kept = {**reading.fields, **reading.job}
    return [one for one in config.defaulted if kept.get(one.field) == one.value]


def _section(config: TrainerConfig, reading: Reading, page: Page) -> list[str]:
    gone = {setting.key for setting in reading.overridden}
    understood = [
        f"{shown_value(setting.key)} {shown_value(setting.value)}"
        for setting in config.understood
        if setting.key not in gone
    ]
    rows = {
        "understood": understood,
        "by default": [f"{one.field} {shown_value(_plain(one.value))}" for one in own_defaults(config, reading)],
        "overridden": [shown_value(setting.key) for setting in config.understood if setting.key in gone],
        "ignored": [shown_value(setting.key) for setting in config.ignored],
    }
    width = max(map(len, rows)) + 2
    return [
        page.heading(f"Read from {config.name}, as {config.title} ({config.version})"),
        *(
            line.replace(_GLUE, " ")
            for label, items in rows.items()
            if items
            for line in page.wrap(_joined(items), first=f"  {label:<{width}}", rest=" " * (width + 2))
        ),
    ]


def _joined(items: Sequence[str]) -> str:
    return ", ".join(item.replace(" ", _GLUE) if len(item) < 40 else item for item in items)


def _setting_json(setting: Setting) -> dict[str, object]:
    return {"key": setting.key, "value": setting.value, "text": setting.text}


def _plain(value: object) -> object:
    return list(cast("tuple[object, ...]", value)) if isinstance(value, tuple) else value
