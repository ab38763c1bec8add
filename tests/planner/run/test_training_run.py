"""A run is made once, from JSON-like values, and is valid from then on."""

import dataclasses
import json
import pickle

import pytest

from planner.errors import InputError
from planner.run import TrainingRun
from planner.run.rules import FIELD_ALIASES, RULES
from planner.run.training_run import FIELDS


def test_a_model_is_all_that_must_be_said():
    run = TrainingRun(model="llama-3.1-8b")
    assert (run.method, run.rank, run.alpha, run.target_modules) == ("lora", 16, 32.0, "all-linear")
    assert (run.base_dtype, run.mixed_precision, run.quantization) == ("bfloat16", "bf16", "none")
    assert (run.micro_batch_size, run.sequence_length, run.gradient_checkpointing) == (1, 2048, True)


def test_a_run_without_a_model_is_refused():
    with pytest.raises(InputError, match="model is missing; give a catalogue name") as caught:
        TrainingRun(method="lora")
    assert caught.value.field == "model"


def test_a_run_cannot_be_changed_and_can_be_a_key():
    run = TrainingRun(model="m")
    with pytest.raises(dataclasses.FrozenInstanceError):
        run.rank = 8  # pyright: ignore[reportAttributeAccessIssue]
    assert {run: "plan"}[TrainingRun(model="m", rank=16)] == "plan"
    assert pickle.loads(pickle.dumps(run)) == run


def test_every_field_has_a_rule_a_docstring_and_the_same_place():
    assert tuple(RULES) == FIELDS
    assert set(FIELD_ALIASES.values()) <= set(FIELDS)
    assert not set(FIELD_ALIASES) & set(FIELDS)


def test_defaulted_names_what_was_assumed():
    run = TrainingRun(model="m", rank=8)
    assert "rank" not in run.defaulted
    assert {"alpha", "optimizer", "sequence_length"} <= set(run.defaulted)


def test_what_does_not_apply_is_no_assumption():
    run = TrainingRun(model="m", method="full")
    assert not {"rank", "alpha", "num_virtual_tokens", "group_size", "prepare_kbit"} & set(run.defaulted)
    assert TrainingRun(model="m", rank=16) == TrainingRun(model="m")


def test_to_dict_is_json_and_says_null_where_a_field_does_not_apply():
    fields = json.loads(json.dumps(TrainingRun(model="m", method="ia3", target_modules=["k_proj"]).to_dict()))
    assert tuple(fields) == FIELDS
    assert fields["target_modules"] == ["k_proj"]
    assert fields["rank"] is None
    assert TrainingRun(**fields) == TrainingRun(model="m", method="ia3", target_modules=("k_proj",))


def test_none_means_not_given():
    run = TrainingRun(model="m", rank=None, alpha=None)
    assert (run.rank, run.alpha) == (16, 32.0)
    assert "rank" in run.defaulted


def test_replace_draws_defaults_anew_and_keeps_what_was_given():
    run = TrainingRun(model="m", micro_batch_size=4)
    wider = run.replace(rank=64)
    assert (wider.rank, wider.alpha, wider.micro_batch_size) == (64, 128.0, 4)
    assert run.replace(method="qlora").quantization == "nf4"
    assert run.replace(num_gpus=8).strategy == "ddp"
    assert TrainingRun(model="m", alpha=16).replace(rank=64).alpha == 16.0


def test_replace_accepts_aliases_and_validates():
    run = TrainingRun(model="m")
    assert run.replace(per_device_train_batch_size=3).micro_batch_size == 3
    with pytest.raises(InputError, match="micro_batch_size must be a whole number from 1 to 1,048,576, not 0"):
        run.replace(micro_batch_size=0)


def test_replace_without_changes_is_the_same_run():
    run = TrainingRun(model="m", method="qlora", rank=8)
    assert run.replace() == run
    assert run.replace().defaulted == run.defaulted


@pytest.mark.parametrize("name", ["self", "fields", "defaulted", "", "\ud800", "trust_remote_code"])
def test_no_name_that_is_not_a_field_gets_in(name: str):
    with pytest.raises(InputError, match="unknown field"):
        TrainingRun(**{"model": "m", name: 1})
