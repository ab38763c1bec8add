"""The engines: a row is simulated by the loop of its source, and by what its version of transformers does."""

from __future__ import annotations

import pytest

from planner.errors import Abstention
from profiler.engines import adapter_config, loop_of, planned, simulated
from profiler.rows import CORPUS, PEFT_SUITE, Row, read_rows, run_of
from profiler.simulate.build.versions import copy_shifted_logits, peft_module_casting_to_bf16, upcast_logits

ROWS = read_rows(CORPUS)
BY_ID = {row["id"]: row for row in ROWS}


def suite_row(method: str) -> Row:
    return next(row for row in ROWS if row["source"] == PEFT_SUITE and row["method"] == method)


def test_a_row_of_sft_trainer_names_what_its_version_did() -> None:
    row = BY_ID["refs:37cdcc6d:36"]
    loop, fields = loop_of(row, run_of(row))
    assert loop.prepare == (upcast_logits, copy_shifted_logits)
    assert fields == {"use_reentrant": True}
    assert not loop.keeps_outputs


def test_sft_trainer_casts_back_what_it_has_cast_for_training_in_4_bits_with_bf16() -> None:
    with_bf16, with_fp16 = BY_ID["refs:b15f5ead:56"], BY_ID["refs:37cdcc6d:24"]
    assert (with_bf16["kbit_upcast"], with_bf16["mixed_precision"]) == ("True", "bf16")
    assert (with_fp16["kbit_upcast"], with_fp16["mixed_precision"]) == ("True", "fp16")
    assert peft_module_casting_to_bf16 in loop_of(with_bf16, run_of(with_bf16))[0].prepare
    assert peft_module_casting_to_bf16 not in loop_of(with_fp16, run_of(with_fp16))[0].prepare


def test_a_row_without_a_version_is_simulated_as_installed() -> None:
    row = BY_ID["liger:6aa2f10b:48"]
    assert not row["transformers"]
    loop, fields = loop_of(row, run_of(row))
    assert not loop.prepare
    assert not fields


def test_the_peft_suite_keeps_its_outputs_and_checkpoints_nothing() -> None:
    row = suite_row("lora")
    loop, fields = loop_of(row, run_of(row))
    assert (loop.keeps_outputs, loop.zero_grad_first) == (True, True)
    assert fields == {}  # reentrant or not is no question without checkpointing


def test_an_adapter_config_holds_what_the_row_states() -> None:
    assert adapter_config(suite_row("gralora")) == {
        "peft_type": "GRALORA",
        "r": 32,
        "lora_alpha": 64.0,
        "alpha": 64.0,
        "target_modules": ["q_proj", "v_proj"],
    }
    assert adapter_config(suite_row("ln_tuning")) is None
    assert adapter_config(BY_ID["refs:0d286cea:8"]) is None


def test_the_planner_states_an_interval() -> None:
    prediction = planned(BY_ID["refs:0d286cea:8"])
    assert prediction.interval is not None
    assert prediction.levels.allocated < prediction.levels.reserved


@pytest.mark.slow
def test_settings_that_train_another_number_of_parameters_are_not_the_rows() -> None:
    with pytest.raises(Abstention, match="another number of parameters"):
        simulated(BY_ID["MetaMathQA:deft/llama-3.2-3B-rank32-para@2026-07-14T19:49:13+00:00"])
