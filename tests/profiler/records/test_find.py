"""Records are found by words, or by the beginning of an id."""

from __future__ import annotations

from dataclasses import replace

import pytest

from planner.errors import InputError
from planner.run import TrainingRun
from profiler.records.find import holding, named
from tests.profiler.records.measurements import CPU, in_slices, measured, out_of_memory, recorded

WHOLE, SLICED, FAILED = recorded(), recorded(in_slices()), recorded(out_of_memory())
GPT2 = recorded(measured(TrainingRun(model="gpt2", method="full"), CPU))
ALL = [WHOLE, SLICED, FAILED, GPT2]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("", ALL),
        ("llama", [WHOLE, SLICED, FAILED]),
        ("LLAMA 3.1 QLoRA", [WHOLE, SLICED, FAILED]),
        ("gpt2 cpu", [GPT2]),
        ("slices", [SLICED]),
        ("oom", [FAILED]),
        ("a100 whole done", [WHOLE]),
        ("2026-07-29", ALL),
        (WHOLE.id[:10], [WHOLE]),
    ],
)
def test_words(words: str, found: list[object]) -> None:
    assert holding(words.split(), ALL) == found


def test_words_that_none_holds() -> None:
    with pytest.raises(InputError, match="none of the 4 records holds 'mistral h100'; give words"):
        holding(["mistral", "h100"], ALL)


def test_the_beginning_of_an_id() -> None:
    assert named(WHOLE.id, ALL, "file") == WHOLE
    assert named(f" {WHOLE.id[:4].upper()} ", ALL, "file") == WHOLE


@pytest.mark.parametrize(
    ("identity", "what"),
    [
        ("", "'' is too short"),
        ("abc", "'abc' is too short for a record's id; give at least 4 characters"),
        ("zzzz", "no record in 'file' has an id that begins with 'zzzz'; `lora-plan records` lists them"),
        ("abcd", "2 records have an id that begins with 'abcd'; give more of one, such as abcd00000000, abcd11111111"),
    ],
)
def test_what_names_no_record(identity: str, what: str) -> None:
    alike = [replace(WHOLE, id=f"abcd{digit}" + digit * 59) for digit in "01"]
    with pytest.raises(InputError, match=what.replace("'", ".")):
        named(identity, [*ALL, *alike], "file")
