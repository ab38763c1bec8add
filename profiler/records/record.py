"""`Record`: a measurement that is kept, with everything that moves it; and the text that it is stored and shared as."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import cast

from planner.catalogue.files import parse_mapping
from planner.catalogue.spelling import shown
from planner.errors import Abstention, InputError
from planner.plan import loaded_config, resolved_run
from profiler.documents import NotADocument, from_document, to_document
from profiler.measure.types import Measurement
from profiler.records.check import problem
from profiler.records.key import canonical, digest, key_parts, run_parts, settings

FORMAT = 1
"""Of the text of a record."""

LONGEST = 131_072
"""Characters of a record's text: a cell of CSV that Python's `csv`, and so `validate --corpus`, still reads."""

MOST_SAMPLES = 256
"""Timed steps that are kept one by one; the mean and its interval are of all of them."""

TIME = "%Y-%m-%dT%H:%M:%SZ"
FIELDS = frozenset(("lora_plan_record", "id", "when", "key", "config", "environment", "measurement"))
NOT_FINITE = ("nan", "inf", "-inf")
"""How a loss that JSON has no number for is written."""


class NotStored(InputError):
    """A record could not be kept; the message is one sentence with the reason and what to do."""


@dataclass(frozen=True, slots=True)
class Record:
    """One stored measurement. It never changes: `id` is made of all the rest."""

    id: str
    """SHA-256 of everything below, as 64 hexadecimal digits."""
    when: str
    """UTC, as `2026-07-29T10:11:12Z`."""
    key: str
    """SHA-256 of `key_parts`: records with the same key can be compared."""
    config: Mapping[str, object]
    """The model's config, so that a record says what was run without the model's name."""
    environment: tuple[tuple[str, str], ...]
    """Variables of `SETTINGS` that were set."""
    measurement: Measurement
    run_key: str
    """SHA-256 of `run_parts`, which a plan of the same run of the same model has too."""
    text: str
    """The record as one line of JSON in ASCII, which `read_text` reads back: what is stored and shared, whatever fields
    a later release has besides."""


def record_of(
    measurement: Measurement,
    *,
    when: datetime | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Record:
    """The record of a measurement that was made just now, in this process's environment.

    Raises `InputError` where the run's model cannot be found any more, and `NotStored` where a record cannot hold it.
    """
    run = measurement.run
    with suppress(Abstention):  # of what the planner does not know, the attention is as the run has it
        run = resolved_run(run)[2]
    measurement = replace(_thinned(measurement), run=run)
    config = loaded_config(run.model).config
    document = _document(measurement)
    set_here = dict(settings(environment, measurement.device.kind))
    content: dict[str, object] = {
        "lora_plan_record": FORMAT,
        "when": (when or datetime.now(timezone.utc)).astimezone(timezone.utc).strftime(TIME),
        "config": config,
        "environment": set_here,
        "measurement": document,
    }
    try:
        content["key"] = digest(key_parts(document, config, set_here))
        text = canonical({**content, "id": digest(content)})
    except ValueError:
        raise NotStored("the measurement is not stored: it has a figure that is no finite number") from None
    if len(text) > LONGEST:
        raise NotStored(
            f"the measurement is not stored: with the model's config its record has {len(text):,} characters, and at "
            f"most {LONGEST:,} are kept; leave what is not about the model's shape out of the config"
        )
    try:
        return read_text(text, "it")
    except InputError as error:
        raise NotStored(f"the measurement is not stored: {error}") from None


def read_text(text: str, origin: str) -> Record:
    """The record that `to_text` wrote. Raises `InputError` for anything else, which begins with `origin`."""
    if len(text) > LONGEST:
        raise InputError(f"{origin} has {len(text):,} characters, and a record at most {LONGEST:,}; leave it out")
    document = parse_mapping(text.encode("utf-8", "replace"), origin, field="records")
    version = document.get("lora_plan_record")
    if type(version) is int and version > FORMAT:
        raise InputError(f"{origin} is a record of a newer lora-plan (format {version:,}); update lora-plan to read it")
    if version != FORMAT or document.keys() != FIELDS:
        raise _no_record(origin, "its fields are not those of a record")
    config, environment = _mapping(document["config"]), _mapping(document["environment"])
    fields = _mapping(document["measurement"])
    if config is None or fields is None or environment is None or not _all_text(environment):
        raise _no_record(origin, "its config, its environment or its measurement is none")
    if not _is_moment(document["when"]):
        raise _no_record(origin, f"its date is {shown(str(document['when']), 40)}")
    measurement = _measurement(fields, origin)
    content = {name: value for name, value in document.items() if name != "id"}
    try:
        key, made_of = digest(key_parts(fields, config, environment)), digest(content)
        run_key = digest(run_parts(cast("Mapping[str, object]", fields["run"]), config))
    except ValueError:
        raise _no_record(origin, "it has a figure that is no finite number") from None
    if document["key"] != key:
        raise _no_record(origin, "its key does not match its content, so it was changed")
    if document["id"] != made_of:
        raise _no_record(origin, "its id does not match its content, so it was changed")
    return Record(
        id=made_of,
        when=cast("str", document["when"]),
        key=key,
        config=config,
        environment=tuple(sorted(cast("dict[str, str]", environment).items())),
        measurement=measurement,
        run_key=run_key,
        text=text,
    )


def _document(measurement: Measurement) -> dict[str, object]:
    """`to_document`, with every field of the run written out: a record outlives the defaults of a release."""
    document = to_document(measurement) | {"run": measurement.run.to_dict()}
    loss = measurement.loss
    if loss is not None and not math.isfinite(loss):
        document["loss"] = str(loss)
    return document


def _thinned(measurement: Measurement) -> Measurement:
    time = measurement.time
    if time is None or len(time.samples) <= MOST_SAMPLES:
        return measurement
    note = f"Of {len(time.samples):,} timed steps the record keeps the last {MOST_SAMPLES}; their mean is of all"
    return replace(
        measurement,
        time=replace(time, samples=time.samples[-MOST_SAMPLES:]),
        notes=(*measurement.notes, note),
    )


def _measurement(fields: Mapping[str, object], origin: str) -> Measurement:
    loss = fields.get("loss")
    try:
        measurement = from_document(Measurement, {**fields, "loss": float(loss) if loss in NOT_FINITE else loss})
    except NotADocument:
        raise _no_record(origin, "its measurement lacks a field, or has one of another kind") from None
    if (wrong := problem(measurement, fields)) is not None:
        raise _no_record(origin, wrong)
    return measurement


def _mapping(value: object) -> dict[str, object] | None:
    return cast("dict[str, object]", value) if isinstance(value, dict) else None


def _all_text(values: Mapping[str, object]) -> bool:
    return all(isinstance(value, str) for value in values.values())


def _is_moment(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        return datetime.strptime(value, TIME).strftime(TIME) == value
    except ValueError:
        return False


def _no_record(origin: str, why: str) -> InputError:
    return InputError(f"{origin} is no record of lora-plan: {why}; leave it out, or export it again")
