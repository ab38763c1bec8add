"""From what was typed to a `TrainingRun`."""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from lora_plan.arguments import Arguments
from lora_plan.run_options import FLAGS
from planner.errors import InputError
from planner.run import TrainingRun, read_fields
from planner.run.kinds import Number, Whole
from planner.run.rules import RULES

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


def given_run(arguments: Arguments) -> GivenRun:
    """What was said of a run, among a command's arguments."""
    fields: dict[str, object] = {name: arguments[name] for name in RULES if arguments[name] is not None}
    return GivenRun(fields, arguments.text("precision"), arguments.text("run_file"))


def run_of(given: GivenRun) -> TrainingRun:
    """The validated run: flags over the file's fields. Raises `InputError` naming the flag or the file."""
    with naming_flags(given):
        return TrainingRun(**fields_of(given))


def fields_of(given: GivenRun) -> dict[str, object]:
    """What was said of a run, not validated yet: flags over the file's fields. Raises `InputError`."""
    from_file = _file_fields(given.run_file) if given.run_file is not None else {}
    return from_file | _flag_fields(given)


@contextmanager
def naming_flags(given: GivenRun) -> Generator[None]:
    """Errors about a field raised within name the flag, or the file that has it."""
    try:
        yield
    except InputError as error:
        message = str(error)
        if given.run_file is not None and error.field in _file_fields(given.run_file).keys() - _flag_fields(given):
            message = f"{given.run_file}: {message}"
        elif error.field in FLAGS and message.startswith(f"{error.field} "):
            message = FLAGS[error.field] + message.removeprefix(error.field)
        raise InputError(message, field=error.field) from None


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
