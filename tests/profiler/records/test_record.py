"""A record is read back as it was written, and anything else is refused in one sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.errors import InputError
from planner.run import TrainingRun
from profiler.measure.types import MeasuredTime, Measurement, StepSample
from profiler.records.key import canonical, digest, key_parts
from profiler.records.record import LONGEST, MOST_SAMPLES, NotStored, Record, read_text, record_of
from tests.profiler.records.measurements import CPU, DAY, RUN, in_slices, measured, out_of_memory, recorded


def read(record: Record) -> Record:
    return read_text(record.text, "it")


def signed(document: dict[str, Any]) -> str:
    """The text of a document, with the key and id that go with it."""
    parts = key_parts(document["measurement"], document["config"], document["environment"])
    document = document | {"key": digest(parts)}
    del document["id"]
    return canonical(document | {"id": digest(document)})


@pytest.mark.parametrize("made", [measured, out_of_memory, in_slices, lambda: measured(device=CPU)])
def test_what_is_read_is_what_was_written(made: Callable[[], Measurement]) -> None:
    record = recorded(made(), PYTORCH_ALLOC_CONF="expandable_segments:True")
    assert read(record) == record
    assert record.measurement == made()
    assert record.config["num_hidden_layers"] == 32
    assert record.when == "2026-07-29T10:11:12Z"


@given(st.builds(StepSample, *[st.floats(0, 1e9)] * 4), st.integers(1, 10**9), st.none() | st.floats(0, 1), st.text())
def test_figures_are_kept_to_the_last_digit(sample: StepSample, tokens: int, mfu: float | None, note: str) -> None:
    time = MeasuredTime((sample,), tokens, 0.1 + 0.2, -0.1, 1 / 3, 0.95, mfu, mfu)
    measurement = replace(measured(), time=time, notes=(note,))
    assert read(recorded(measurement)).measurement == measurement


@pytest.mark.parametrize("loss", [float("nan"), float("inf"), float("-inf"), -0.5, None])
def test_a_loss_may_be_no_number(loss: float | None) -> None:
    record = recorded(replace(measured(), loss=loss))
    assert repr(read(record).measurement.loss) == repr(loss)
    # strict JSON, which has no NaN
    json.loads(record.text, parse_constant=pytest.fail)


def test_every_field_of_the_run_is_written_out() -> None:
    """Another release may have other defaults."""
    run = json.loads(recorded().text)["measurement"]["run"]
    assert run["rank"] == 16
    assert run.keys() == RUN.to_dict().keys()


def test_a_record_of_a_release_with_fewer_fields_stays_as_it_is() -> None:
    document = json.loads(recorded().text)
    del document["measurement"]["run"]["gptq_kernel"]
    older = read_text(signed(document), "it")
    assert older.measurement.run == RUN
    # it may have run with another value than today's default
    assert older.run_key != recorded().run_key
    assert read(older) == older


def test_attention_is_what_transformers_takes() -> None:
    # mpt has no SDPA
    record = recorded(replace(measured(), run=TrainingRun(model="mosaicml/mpt-7b")))
    assert record.measurement.run.attention == "eager"


def test_the_moment_is_in_utc() -> None:
    there = DAY.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert recorded(when=there) == recorded()
    now = datetime.strptime(record_of(measured()).when, "%Y-%m-%dT%H:%M:%SZ")
    assert now.year >= 2026


def test_of_many_steps_the_last_are_kept() -> None:
    time = measured().time
    assert time is not None
    samples = tuple(StepSample(1.0 + number, 0.1, 0.2, 0.3) for number in range(MOST_SAMPLES + 44))
    measurement = recorded(replace(measured(), time=replace(time, samples=samples))).measurement
    assert measurement.time == replace(time, samples=samples[44:])
    assert measurement.notes[-1] == "Of 300 timed steps the record keeps the last 256; their mean is of all"


def test_what_is_too_long_is_not_stored() -> None:
    with pytest.raises(NotStored, match="not stored: with the model's config its record has 2"):
        recorded(replace(measured(), notes=("x" * 200_000,)))


@pytest.mark.parametrize("power", [float("nan"), float("inf"), -1.0, 1e19])
def test_what_cannot_be_is_not_stored(power: float) -> None:
    measurement = measured()
    with pytest.raises(NotStored, match=r"^the measurement is not stored"):
        recorded(replace(measurement, sampled=replace(measurement.sampled, power_w=power)))


def without(name: str) -> Callable[[dict[str, Any]], None]:
    return lambda document: document.pop(name)


def put(value: object, *path: str | int) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        inside: Any = document
        for name in path[:-1]:
            inside = inside[name]
        inside[path[-1]] = value

    return change


WRONG = [
    (without("config"), "its fields are not those of a record"),
    (put(2, "lora_plan_record"), "is a record of a newer lora-plan (format 2); update lora-plan"),
    (put("1", "lora_plan_record"), "its fields are not those"),
    (put([], "config"), "its config, its environment or its measurement is none"),
    (put({"A": 1}, "environment"), "its config, its environment or its measurement is none"),
    (put("2026-07-29", "when"), "its date is 2026-07-29"),
    (put("2026-13-29T10:11:12Z", "when"), "its date is"),
    (put("2026-7-29T10:11:12Z", "when"), "its date is"),
    (put(7, "when"), "its date is 7"),
    (put({}, "measurement"), "lacks a field"),
    (put(["nan"], "measurement", "loss"), "lacks a field"),
    (put("fine", "measurement", "outcome"), "do not go together"),
    (put(None, "measurement", "memory"), "do not go together"),
    (put("lunch", "measurement", "memory", "instant"), "do not go together"),
    (put(0.0, "measurement", "time", "step_s"), "do not go together"),
    (put(-1, "measurement", "memory", "peak_bytes", "reserved"), "that cannot be"),
    (put(10**19, "measurement", "levels", 0, "allocated"), "that cannot be"),
    (put(-1.0, "measurement", "time", "samples", 0, "step_s"), "that cannot be"),
    (put("x\x1b[2J", "measurement", "memory", "instants", 0, "name"), "a name that is none"),
    (put({"x" * 121: 1}, "measurement", "memory", "instants", 0, "components"), "a name that is none"),
    (put("A100\n", "measurement", "device", "name"), "a name that is none"),
    (put([["torch", ""]], "measurement", "versions"), "a name that is none"),
    (put(0, "measurement", "parameters", "total"), "do not go together"),
    (put(0, "measurement", "memory", "peak_bytes", "reserved"), "do not go together"),
    (put({"depths": [], "layers": 3, "extrapolated": []}, "measurement", "slices"), "do not go together"),
    (put({"model": "gpt2", "rank": -1}, "measurement", "run"), "lacks a field"),
]


@pytest.mark.parametrize(("change", "what"), WRONG)
def test_what_is_no_record(change: Callable[[dict[str, Any]], None], what: str) -> None:
    document = json.loads(recorded().text)
    change(document)
    with pytest.raises(InputError) as caught:
        read_text(json.dumps(document), "line 7")
    assert str(caught.value).startswith("line 7 is ")
    assert what in str(caught.value)
    assert str(caught.value).count("; ") == 1


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (put(9e9, "measurement", "sampled", "power_w"), "id does not match"),
        (put("0" * 64, "id"), "id does not match"),
        (put("0" * 64, "key"), "key does not match"),
        (put(33, "config", "num_hidden_layers"), "key does not match"),
        (put("x", "environment", "PYTORCH_ALLOC_CONF"), "key does not match"),
    ],
)
def test_what_was_changed_is_refused(change: Callable[[dict[str, Any]], None], what: str) -> None:
    document = json.loads(recorded().text)
    change(document)
    with pytest.raises(InputError, match=what):
        read_text(json.dumps(document), "it")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "NaN",
        '{"a": NaN}',
        '{"a": 1, "a": 2}',
        "[" * 100_000,
        '{"a":' * 70 + "1" + "}" * 70,
        "x" * (LONGEST + 1),
        recorded().text[:-200],
        recorded().text.replace('"hidden_act":"silu"', '"hidden_act":1e999', 1),
        recorded().text.replace('"hidden_act":"silu"', '"hidden_act":"\\ud800"', 1),
    ],
    ids=range(12),
)
def test_hostile_text(text: str) -> None:
    with pytest.raises(InputError) as caught:
        read_text(text, "it")
    assert str(caught.value).startswith("it ")


@given(st.data())
def test_one_other_character_is_noticed(data: st.DataObject) -> None:
    text = recorded().text
    place = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.sampled_from('0123456789azAZ"{}[],:.- '))
    changed = text[:place] + other + text[place + 1 :]
    if changed != text:
        with pytest.raises(InputError):
            read_text(changed, "it")
