"""From what was typed to a `TrainingRun`."""

from __future__ import annotations

import re
from collections.abc import Collection, Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lora_plan.arguments import Arguments
from lora_plan.errors import UsageError
from lora_plan.run_options import FLAGS
from planner.errors import InputError
from planner.run import TrainingRun, read_fields
from planner.run.kinds import Number, Whole
from planner.run.rules import RULES
from planner.run.wording import shown

if TYPE_CHECKING:
    from planner.trainer_configs import Reading

PRECISIONS: dict[str, dict[str, object]] = {
    "bf16": {"base_dtype": "bfloat16", "mixed_precision": "bf16"},
    "fp16": {"base_dtype": "float16", "mixed_precision": "fp16"},
    "fp32": {"base_dtype": "float32", "mixed_precision": "no"},
    "bf16-mixed": {"base_dtype": "float32", "mixed_precision": "bf16"},
    "fp16-mixed": {"base_dtype": "float32", "mixed_precision": "fp16"},
    "bf16-pure": {"base_dtype": "bfloat16", "mixed_precision": "no"},
    "fp16-pure": {"base_dtype": "float16", "mixed_precision": "no"},
}
"""What --precision stands for."""


@dataclass(frozen=True, slots=True)
class GivenRun:
    """What the command line says of a run."""

    fields: dict[str, object]
    """Fields of `TrainingRun`, as they were typed."""
    precision: str | None
    run_file: str | None
    configs: tuple[str, ...] = ()
    """Files of trainers."""
    config_format: str | None = None

    @property
    def says_anything(self) -> bool:
        """Whether a run was given at all."""
        return bool(self.fields or self.configs) or self.precision is not None or self.run_file is not None


@dataclass(frozen=True, slots=True)
class StatedRun:
    """What was said of a run, laid together and not validated yet."""

    fields: dict[str, object]
    """Of `TrainingRun`, flags over those of the files."""
    typed: frozenset[str]
    """Those that flags give."""
    file: str | None
    """The run file."""
    reading: Reading | None
    """Of the trainers' configs."""

    @contextmanager
    def naming(self) -> Generator[None]:
        """Errors about a field raised within name the flag, or the file that has it."""
        try:
            yield
        except InputError as error:
            raise InputError(self._named(str(error), error.field), field=error.field) from None

    def run(self) -> TrainingRun:
        """The validated run. Raises `InputError` naming the flag or the file."""
        if self.reading is not None and "model" not in self.fields:
            open_one = next((one for one in self.reading.uncounted if "model" in one.fields), None)
            names = " and ".join(config.name for config in self.reading.configs)
            what = "names no model" if open_one is None else f"leaves {open_one.key} to {shown(open_one.value)}"
            raise InputError(f"{names} {what}; name the model with --model", field="model")
        with self.naming():
            run = TrainingRun(**self.fields)
            if self.reading is not None and "model" not in self.typed:
                from planner.plan import loaded_config

                loaded_config(run.model)  # a name that is not known is the file's
            return run

    def _named(self, message: str, field: str | None) -> str:
        if field is None:
            return message
        if field not in self.typed and field in self.fields:
            origin = self.file or (self.reading.origin(field) if self.reading is not None else None)
            return message if origin is None else f"{origin}: {message}"
        if field in FLAGS and message.startswith(f"{field} "):
            return FLAGS[field] + message.removeprefix(field)
        return message


def given_run(arguments: Arguments) -> GivenRun:
    """What was said of a run, among a command's arguments."""
    fields: dict[str, object] = {name: arguments[name] for name in RULES if arguments[name] is not None}
    return GivenRun(
        fields,
        arguments.text("precision"),
        arguments.text("run_file"),
        tuple(arguments.texts("config")),
        arguments.text("config_format"),
    )


def run_of(given: GivenRun) -> TrainingRun:
    """The validated run: flags over the files' fields. Raises `InputError` naming the flag or the file."""
    return stated_run(given).run()


def run_and_config(given: GivenRun, file: str | None = None) -> tuple[TrainingRun, Reading | None]:
    """The validated run, and what was read of trainers' configs for it.

    file: a run file or a trainer's config, told by its content, to read in place of those that were given. Raises
    `InputError` naming the flag or the file.
    """
    stated = stated_run(given if file is None else replace(given, run_file=None, configs=(file,)))
    return stated.run(), stated.reading


def stated_run(given: GivenRun, leave_open: Collection[str] = ()) -> StatedRun:
    """What was said of a run: flags over the files' fields. Raises `InputError`.

    leave_open: fields that a trainer's own default is not to fill.
    """
    if given.run_file is not None and given.configs:
        raise UsageError("--run and --config both give the run; give one of them", field="config")
    if given.config_format is not None and not given.configs:
        raise UsageError("--config-format is about a config; name its file with --config", field="config_format")
    typed = _flag_fields(given)
    if given.configs:
        from planner.trainer_configs import lay_together, read_config

        configs = [read_config(path, given.config_format) for path in given.configs]
        reading = lay_together(configs, typed, leave_open)
        return StatedRun({**reading.fields, **typed}, frozenset(typed), None, reading)
    from_file = _file_fields(given.run_file) if given.run_file is not None else {}
    return StatedRun({**from_file, **typed}, frozenset(typed), given.run_file, None)


def _flag_fields(given: GivenRun) -> dict[str, object]:
    return {name: _value(name, value) for name, value in given.fields.items()} | _precision(given)


def number(text: str, flag: str, wanted: str) -> float:
    """A number that was typed. Raises `InputError` naming the flag and what is wanted."""
    try:
        return float(text)
    except ValueError:
        raise InputError(
            f"{flag} must be {wanted}, not {text[:80]!r}", field=flag.lstrip("-").replace("-", "_")
        ) from None


def _file_fields(path: str) -> dict[str, object]:
    try:
        return read_fields(path)
    except InputError as error:
        if error.field == "gpu":
            raise InputError(
                f"{path}: gpu is no part of a run; remove it and name the card with --gpu", field="gpu"
            ) from None
        raise


def _precision(given: GivenRun) -> dict[str, object]:
    if given.precision is None:
        return {}
    for field in ("base_dtype", "mixed_precision"):
        if field in given.fields:
            raise InputError(
                f"--precision sets base_dtype and mixed_precision; give it or {FLAGS[field]}, not both",
                field=field,
            )
    preset = PRECISIONS.get(given.precision.strip().lower().replace("_", "-"))
    if preset is None:
        from planner.names import did_you_mean

        raise InputError(
            f"--precision must be one of {', '.join(PRECISIONS)}, not {given.precision[:80]!r}"
            f"{did_you_mean(given.precision, PRECISIONS)}",
            field="precision",
        )
    return preset


def _value(field: str, value: object) -> object:
    """Digits as their number, where the field holds one; what is no number is for the run to refuse."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    if isinstance(RULES[field], Whole) and re.fullmatch(r"[+-]?[0-9]{1,40}", text):
        return int(text)
    if isinstance(RULES[field], Number) and len(text) <= 40:
        try:
            return float(text)
        except ValueError:
            return value
    return value
