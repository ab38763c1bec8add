"""The sentence about a process that ended without a result."""

from __future__ import annotations

import pytest

from profiler.measure.child import endings

LOADING = "loading the model"


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (
            -9,
            "the process that measured was killed while loading the model, after 12 s, most likely because host memory "
            "ran out; free some, or measure a few layers with --slice",
        ),
        (
            -11,
            "the process that measured was ended by SIGSEGV (segmentation fault) while loading the model, after 12 s; "
            "LORA_PLAN_DEBUG=1 prints all that it says",
        ),
        (
            -50,
            "the process that measured was ended by signal 50 while loading the model, after 12 s; "
            "LORA_PLAN_DEBUG=1 prints all that it says",
        ),
        (
            3,
            "the process that measured ended with status 3 while loading the model, after 12 s; "
            "LORA_PLAN_DEBUG=1 prints all that it says",
        ),
        (
            0,
            "the process that measured ended without a result while loading the model, after 12 s; "
            "LORA_PLAN_DEBUG=1 prints all that it says",
        ),
    ],
)
def test_an_exit_status_in_words(status: int, sentence: str) -> None:
    assert endings.ended(status, LOADING, 12.3, b"") == sentence


@pytest.mark.parametrize(
    ("printed", "last"),
    [
        (b"what():  std::bad_alloc\n\n", "what():  std::bad_alloc"),
        (b"first\n\x1b[31mCUDA error\x1b[0m \x07\n", "CUDA error"),
        (b"loading  10%\rloading 100%", "loading 100%"),
        (b"\xff\xfe broken\n", "\ufffd\ufffd broken"),
        (b"x" * 1000, "x" * 300 + "..."),
    ],
)
def test_the_last_that_it_printed_is_told(printed: bytes, last: str) -> None:
    assert f" ({last}); LORA_PLAN_DEBUG=1" in endings.ended(1, LOADING, 1, printed)


def test_nothing_printed_is_not_told() -> None:
    assert "()" not in endings.ended(1, LOADING, 1, b" \n\x1b[2K\n")


def test_a_hang_is_told_with_its_phase_and_the_options() -> None:
    assert endings.overdue("running step 2", 315.2, 300) == (
        "the process that measured was ended while running step 2: after 315 s it had no result, and did not end by "
        "itself at its bound of 300 s; raise --max-seconds or --max-usd, or measure a few layers with --slice"
    )


def test_a_short_time_keeps_its_digits() -> None:
    assert "after 0.12 s" in endings.ended(1, "", 0.123, b"")
