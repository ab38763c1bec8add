"""The nearest known name to one that was mistyped."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.names import LONGEST_NAME, did_you_mean, nearest

OPTIMIZERS = ("adamw_torch_fused", "adamw_torch", "ademamix", "adafactor", "sgd")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("adafacter", "adafactor"),
        ("AdamW-Torch", "adamw_torch"),
        ("adamw torch fused", "adamw_torch_fused"),
        ("adam", "adamw_torch"),  # the shortest that begins so, though ademamix shares more letters
        ("sdg", "sgd"),
        ("xyzzy", None),
        ("", None),
        ("a", None),
    ],
)
def test_nearest(typed: str, meant: str | None):
    assert nearest(typed, OPTIMIZERS) == meant


def test_a_suggestion_is_ready_to_end_an_error_message():
    assert did_you_mean("adafacter", OPTIMIZERS) == "; did you mean 'adafactor'?"
    assert did_you_mean("xyzzy", OPTIMIZERS) == ""


def test_a_word_too_long_to_be_a_slip_has_no_neighbour():
    long = "a" * (LONGEST_NAME + 1)
    assert nearest(long, [long]) is None


@given(st.text(), st.lists(st.text()))
def test_any_text_finds_a_candidate_or_nothing(word: str, candidates: list[str]):
    found = nearest(word, candidates)
    assert found is None or found in candidates


@given(st.lists(st.text(alphabet="abcdef", min_size=3, max_size=12), min_size=1, unique=True))
def test_a_known_name_finds_itself(names: list[str]):
    for name in names:
        assert nearest(name, names) == name
