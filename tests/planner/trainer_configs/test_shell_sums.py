"""Sums in scripts: against `bash`, which works them out with nothing else to run."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.trainer_configs.shell_sums import with_sums
from planner.trainer_configs.shell_words import shell_commands

BASH = shutil.which("bash")
SETS = {"N": "4", "TOTAL": "128", "NAME": "llama", "LIST": ["1", "2"]}


@pytest.mark.parametrize(
    ("text", "worked_out"),
    [
        ("$((128/$N/3))", "10"),
        ("$(( TOTAL / (N * 2) ))", "16"),
        ("$((${TOTAL} % 7 - 10))", "-8"),
        ("a$((1+2*3))b$((2))", "a7b2"),
        ("$((1 + UNSET))", "$((1 + UNSET))"),
        ("$((NAME))", "$((NAME))"),
        ("$((LIST))", "$((LIST))"),
        ("$((1 / 0))", "$((1 / 0))"),
        ("$((1 +))", "$((1 +))"),
        ("$(((1))", "$(((1))"),
        ("$((1 2))", "$((1 2))"),
        ("$(nproc)", "$(nproc)"),
    ],
)
def test_a_sum_of_what_is_known_is_its_value(text: str, worked_out: str) -> None:
    assert with_sums(text, SETS) == worked_out


@pytest.mark.skipif(BASH is None, reason="there is no bash")
def test_they_are_those_of_bash() -> None:
    sums = ("7/2", "(1-8)/2", "(1-8)%3", "8-2-1", "2+3*4", "2*(3+4)", "100/7/2", "9%4*2", "((5))", "1-1*2-3")
    said = subprocess.run(
        [BASH or "bash", "-c", "echo " + " ".join(f"$(({each}))" for each in sums)],
        check=True,
        capture_output=True,
        text=True,
    )
    assert said.stdout.split() == [with_sums(f"$(({each}))", {}) for each in sums]


@given(st.text("0123456789+-*/%() $NX{}", max_size=60))
@settings(max_examples=200)
def test_any_sum_is_a_number_or_left_as_it_is(sum: str) -> None:
    text = f"$(({sum}))"
    value = with_sums(text, SETS)
    assert value == text or re.match(r"-?[0-9]+", value)


def test_a_script_counts_its_accumulation_steps() -> None:
    script = "TOTAL=128\nGPUS=2\nSTEPS=$(($TOTAL/$GPUS/3))\ntrain --steps $STEPS --half $((STEPS / 2))"
    assert shell_commands(script)[0].words == ("train", "--steps", "21", "--half", "10")
