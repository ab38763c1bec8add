"""Names are compared without case, separators and vendor words, but never run two numbers together."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.catalogue.spelling import shown, squash, squash_gpu


@pytest.mark.parametrize("name", ["llama-3.1-8b", "Llama_3.1 8B", "LLAMA-3-1-8B", "llama3.1-8b"])
def test_spellings_of_one_model(name: str):
    assert squash(name) == "llama3-1-8b"


def test_a_point_between_digits_counts():
    assert squash("opt-1.3b") != squash("opt-13b")


@pytest.mark.parametrize("name", ["rtx4090", "RTX 4090", "rtx_4090", "NVIDIA GeForce RTX 4090", "geforce-rtx-4090"])
def test_spellings_of_one_card(name: str):
    assert squash_gpu(name) == "rtx4090"


@given(st.text())
def test_squashing_twice_is_squashing_once(name: str):
    assert squash(squash(name)) == squash(name)


@given(st.text())
def test_what_is_shown_can_be_printed(text: str):
    assert shown(text).isprintable()
    assert len(shown(text)) <= 10 * 123
