"""Messages: what is said is heard, and whatever else a pipe carries is not taken for a message."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.errors import Abstention, InputError, NotMeasured, NoUsableDevice
from profiler.measure.child import protocol
from profiler.measure.child.protocol import (
    Failure,
    Message,
    NotAMessage,
    Progress,
    Request,
    Result,
    Started,
    decode,
    encode,
    error_of,
    failure_of,
)

text = st.text(st.characters(codec=None))
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=8,
)
documents = st.dictionaries(text, values, max_size=4)
messages = (
    st.builds(Request, text, st.none() | st.floats(allow_nan=False), documents)
    | st.builds(Started)
    | st.builds(Progress, text, st.floats(0, 1))
    | st.builds(Result, documents)
    | st.builds(Failure, text, text, st.none() | text, text)
)


@given(messages)
def test_a_message_is_one_line_and_comes_back(message: Message) -> None:
    line = encode(message)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert repr(decode(line)) == repr(message)  # repr: nan does not equal itself


@given(messages, st.data())
def test_a_message_that_is_cut_off_is_none(message: Message, data: st.DataObject) -> None:
    line = encode(message)
    with pytest.raises(NotAMessage):
        decode(line[: data.draw(st.integers(0, len(line) - 2))])


@given(st.binary(max_size=40) | values.map(lambda value: json.dumps(value).encode()))
def test_what_is_no_message_is_not_taken_for_one(line: bytes) -> None:
    with pytest.raises(NotAMessage):
        decode(line)


@pytest.mark.parametrize(
    "line",
    [
        '{"progress": {"phase": "loading"}}',
        '{"progress": {"phase": "loading", "share": "0.5"}}',
        '{"progress": {"phase": "loading", "share": 0.5, "more": 1}}',
        '{"progress": ["loading", 0.5]}',
        '{"result": {"document": []}}',
        '{"result": {"document": {}}, "started": {}}',
        '{"finished": {}}',
        "[" * 100_000,
    ],
)
def test_a_message_of_another_shape_is_none(line: str) -> None:
    with pytest.raises(NotAMessage):
        decode(line.encode())


def test_a_document_that_is_too_long_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "MOST_LINE_BYTES", 100)
    with pytest.raises(ValueError, match=r"a result of 1.. bytes, more than 100"):
        encode(Result({"text": "x" * 80}))


# --- exceptions cross ------------------------------------------------------------------------------


def crossed(error: BaseException, phase: str = "loading the model") -> Exception:
    failure = decode(encode(failure_of(error)))
    assert isinstance(failure, Failure)
    return error_of(failure, phase)


def test_our_refusals_arrive_as_they_were() -> None:
    refused = crossed(InputError("--rank must be at least 1", field="rank"))
    assert isinstance(refused, InputError)
    assert (str(refused), refused.field) == ("--rank must be at least 1", "rank")
    abstained = crossed(Abstention("nobody knows RWKV", way_out="simulate it"))
    assert isinstance(abstained, Abstention)
    assert (abstained.reason, abstained.way_out) == ("nobody knows RWKV", "simulate it")


@pytest.mark.parametrize("kind", [NoUsableDevice, NotMeasured])
def test_so_do_a_missing_device_and_a_measurement_without_a_result(kind: type[Exception]) -> None:
    error = crossed(kind("no driver is loaded; install one"))
    assert type(error) is kind
    assert str(error) == "no driver is loaded; install one"


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            RuntimeError("CUDA error: device-side assert triggered\nCUDA kernel errors might be reported later"),
            "the training stack failed while loading the model (RuntimeError: CUDA error: device-side assert "
            "triggered); LORA_PLAN_DEBUG=1 prints where",
        ),
        (
            ZeroDivisionError(),
            "the training stack failed while loading the model (ZeroDivisionError); LORA_PLAN_DEBUG=1 prints where",
        ),
        (
            MemoryError(),
            "host memory ran out while loading the model; free some, or measure on a machine that has more of it",
        ),
    ],
)
def test_what_others_raise_is_told_in_a_sentence(error: Exception, sentence: str) -> None:
    told = crossed(error)
    assert isinstance(told, NotMeasured)
    assert str(told) == sentence


def test_before_the_first_phase_it_failed_at_its_start() -> None:
    told = crossed(ModuleNotFoundError("No module named 'peft'"), phase="")
    assert str(told).startswith("the training stack failed at its start (ModuleNotFoundError: No module named 'peft')")


def test_a_long_error_is_cut() -> None:
    assert len(str(crossed(RuntimeError("x" * 10_000)))) < 500
