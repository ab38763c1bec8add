"""Users' regular expressions: the same answer as `re.fullmatch`, and an end."""

from __future__ import annotations

import re

import pytest

from planner.errors import InputError
from planner.methods import pattern
from planner.methods.pattern import matching

NAMES = [f"model.layers.{layer}.self_attn.{name}_proj" for layer in range(12) for name in "qkvo"]


@pytest.mark.parametrize(
    "expression",
    [
        r".*\.(q|v)_proj",
        r"model\.layers\.(?:[0-9]|1[01])\.self_attn\.q_proj",
        # nested and many quantifiers: matched in another process
        r"(?:\w+\.)*q_proj",
        r".*l.*a.*y.*e.*r.*\.v_proj",
    ],
)
def test_it_answers_as_fullmatch_does(expression: str) -> None:
    expected = {name for name in NAMES if re.fullmatch(expression, name)}
    assert expected
    assert matching(expression, NAMES, field="target_modules") == expected


def test_a_catastrophic_one_is_refused_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pattern, "SECONDS", 0.3)
    with pytest.raises(InputError, match="takes too long"):
        matching(r"((\w|\.|_)+)+!", NAMES, field="target_modules")


def test_what_is_no_regular_expression_is_said() -> None:
    with pytest.raises(InputError, match="is not a regular expression"):
        matching("(", NAMES, field="target_modules")
