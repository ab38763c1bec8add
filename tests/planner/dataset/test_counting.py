"""Tokens by characters, by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from planner.dataset import profile_dataset
from planner.errors import InputError
from tests.planner.dataset.files import file, lines


def test_four_characters_are_assumed_and_said(tmp_path: Path) -> None:
    profile = profile_dataset(file(tmp_path, "a.jsonl", lines({"text": "12345"}, {"text": "déjà vu!"})))
    assert profile.histogram == ((2, 2),)
    assert profile.counted == "4 characters to a token"
    assert profile.assumptions[0].startswith("A token has 4 characters, as in English prose")


def test_a_given_number_is_no_assumption(tmp_path: Path) -> None:
    profile = profile_dataset(file(tmp_path, "a.jsonl", lines({"text": "1234567"})), characters_per_token=3.5)
    assert (profile.tokens, profile.assumptions) == (2, ())


def test_what_a_chat_template_adds(tmp_path: Path) -> None:
    """`<|im_start|>user\\n1234<|im_end|>\\n`: five tokens around one."""
    chat = [{"role": "user", "content": "1234"}, {"role": "assistant", "content": "12"}]
    profile = profile_dataset(file(tmp_path, "a.jsonl", lines({"messages": chat})), characters_per_token=4)
    assert profile.tokens == 1 + 5 + 1 + 5
    assert profile.assumptions == ("A chat template writes 5 tokens around each message.",)


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), 1e9])
def test_numbers_that_make_no_sense(tmp_path: Path, value: float) -> None:
    with pytest.raises(InputError, match=r"characters_per_token must be a number from 0\.1 to 1000"):
        profile_dataset(file(tmp_path, "a.jsonl", lines({"text": "a"})), characters_per_token=value)
