"""The list itself, on what there is without a card: what it takes for a failure, and that its lines run."""

from __future__ import annotations

from typing import Any

import pytest

from tests.gpu import checklist

DONE: dict[str, Any] = {
    "outcome": "done",
    "memory": {},
    "level": "reserved",
    "verdict": "outside",
    "loss_is_finite": True,
    "time": {"step_s": 0.5, "tokens_per_s": 1024.0},
    "levels": [{"process": 3 * 2**30, "device": None, "reserved": 2 * 2**30}],
    "sampled": {"power_w": 250.0},
    "reconciliation": {
        "columns": ["formula", "measurement"],
        "levels": [{"name": "reserved", "bytes": [int(2.2 * 2**30), 2 * 2**30]}],
    },
}
DONE["memory"] = {"peak_bytes": 1}


@pytest.mark.parametrize(
    ("result", "wrong"),
    [
        (DONE, ""),
        (
            DONE | {"outcome": "out_of_memory", "memory": None, "because": "memory ran out"},
            "not measured: memory ran out",
        ),
        ({"error": "no GPU"}, "not measured: no GPU"),
        (DONE | {"time": None}, "no step was timed"),
        (DONE | {"loss_is_finite": False}, "the loss is not finite"),
        (DONE | {"sampled": {"power_w": None}}, "NVML told nothing of the card's power"),
        (
            DONE | {"levels": [{"process": None, "device": None, "reserved": 1}]},
            "NVML told nothing of the card's memory",
        ),
        (
            DONE | {"levels": [{"process": 1, "device": None, "reserved": 2}]},
            "the driver counts less for the process than torch has reserved",
        ),
    ],
)
def test_what_is_wrong_with_a_measurement(result: dict[str, Any], wrong: str) -> None:
    assert checklist.measured_by_nvml(result) == wrong


def test_an_out_of_memory_that_was_wanted() -> None:
    result = {"outcome": "out_of_memory", "out_of_memory": {"requested_bytes": 2**40}}
    assert checklist.ran_out(result) == ""
    assert checklist.ran_out({"outcome": "out_of_memory", "out_of_memory": {"requested_bytes": None}})
    assert checklist.ran_out(DONE) == "memory did not run out: done"


def test_an_estimate_that_is_off_stands_in_the_table_and_fails_nothing() -> None:
    cells = checklist.row(checklist.CHECKS[1], DONE, "", 12.3)
    assert cells == ["small, LoRA", "outside", "2.00 reserved", "+10.0%", "-", "1,024", "12 s", ""]
    assert checklist.row(checklist.CHECKS[1], {}, "status 4", 1.0)[1] == "FAILED"


def test_every_line_names_options_that_there_are() -> None:
    from lora_plan.commands.verify import OPTIONS

    flags = {option.flag for option in OPTIONS} | {"--no-slice", "--no-simulate"}
    for check in checklist.CHECKS:
        assert {word for word in check.arguments if word.startswith("--")} <= flags


@pytest.mark.slow
def test_a_line_without_a_card(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(checklist, "CHECKS", (checklist.CHECKS[0],))
    assert checklist.main(["--device", "cpu"]) == 0
    assert "doctor" in (printed := capsys.readouterr().out) and printed.endswith("all checks passed\n")
