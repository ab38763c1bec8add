"""From what was typed to a `TrainingRun`."""

from __future__ import annotations

from pathlib import Path

import pytest

from lora_plan.commands.plan import OPTIONS
from lora_plan.options import PRECISIONS, GivenRun, run_of
from lora_plan.run_options import RUN_OPTIONS
from planner.errors import InputError
from planner.run import TrainingRun, write_run
from planner.run.kinds import Flag
from planner.run.rules import RULES


def given(precision: str | None = None, run_file: str | None = None, **fields: object) -> GivenRun:
    return GivenRun(dict(fields), precision, run_file)


def test_every_field_of_a_run_has_a_flag() -> None:
    beside = {"precision", "run_file", "config", "config_format"}
    assert sorted(option.name for option in RUN_OPTIONS) == sorted({*RULES, *beside})
    assert all(option.negated == isinstance(RULES.get(option.name), Flag) for option in RUN_OPTIONS)


def test_no_flag_is_given_twice() -> None:
    assert len({option.name for option in OPTIONS}) == len({option.flag for option in OPTIONS}) == len(OPTIONS)


def test_digits_become_numbers() -> None:
    run = run_of(given(model="llama-3.1-8b", rank="8", alpha="16", dropout="0.05", sequence_length="4096"))
    assert run == TrainingRun(model="llama-3.1-8b", rank=8, alpha=16, dropout=0.05, sequence_length=4096)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"rank": "abc"}, "--rank must be a whole number from 1 to 65,536, not 'abc'"),
        ({"rank": "0"}, "--rank must be a whole number from 1 to 65,536, not 0"),
        ({"micro_batch_size": "0"}, "--batch-size must be a whole number from 1 to 1,048,576, not 0"),
        (
            {"sequence_length": "1000000000"},
            "--seq-len must be a whole number from 1 to 16,777,216, not 1000000000",
        ),
        ({"dropout": "nan"}, "--dropout must be a number at least 0 and below 1, not nan"),
        ({"method": "qlorra"}, "--method must be .*; did you mean 'qlora'"),
        ({"optimizer": "adam_w"}, "--optimizer must be .*; did you mean"),
    ],
)
def test_errors_name_the_flag(fields: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=f"^{message}"):
        run_of(given(model="llama-3.1-8b", **fields))


def test_a_missing_model() -> None:
    with pytest.raises(InputError, match=r"^--model is missing; give a catalogue name"):
        run_of(given(method="lora"))


@pytest.mark.parametrize("preset", PRECISIONS)
def test_a_precision_is_two_fields(preset: str) -> None:
    run = run_of(given(precision=preset, model="llama-3.1-8b"))
    assert {"base_dtype": run.base_dtype, "mixed_precision": run.mixed_precision} == PRECISIONS[preset]


def test_precisions_as_people_say_them() -> None:
    run = run_of(given(precision="bf16", model="llama-3.1-8b"))
    assert (run.base_dtype, run.mixed_precision) == ("bfloat16", "bf16")
    run = run_of(given(precision="FP16_Mixed", model="llama-3.1-8b"))
    assert (run.base_dtype, run.mixed_precision) == ("float32", "fp16")
    with pytest.raises(InputError, match=r"^--precision must be one of .*; did you mean 'bf16-pure'"):
        run_of(given(precision="bf16-pur", model="llama-3.1-8b"))


@pytest.mark.parametrize(("field", "flag"), [("base_dtype", "--base-dtype"), ("mixed_precision", "--mixed-p")])
def test_a_precision_and_a_dtype_contradict_each_other(field: str, flag: str) -> None:
    with pytest.raises(InputError, match=f"^--precision sets .*{flag}"):
        run_of(given(precision="bf16", model="llama-3.1-8b", **{field: "float32"}))


def test_flags_go_before_the_run_file(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("model: mistral-7b\nrank: 8\nseq_len: 1024\n")
    assert run_of(given(run_file=str(path), rank="32")) == TrainingRun(
        model="mistral-7b", rank=32, sequence_length=1024
    )


def test_errors_name_the_run_file(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("model: mistral-7b\nrank: 0\n")
    with pytest.raises(InputError, match=r"run\.yaml: rank must be a whole number"):
        run_of(given(run_file=str(path)))
    path.write_text("model: mistral-7b\nrnak: 8\n")
    with pytest.raises(InputError, match=r"run\.yaml: unknown field 'rnak'; did you mean 'rank'"):
        run_of(given(run_file=str(path)))


def test_a_card_is_no_part_of_a_run(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("model: mistral-7b\ngpu: a100-80\n")
    with pytest.raises(InputError, match=r"gpu is no part of a run; .* --gpu"):
        run_of(given(run_file=str(path)))


@pytest.mark.parametrize("extension", ["yaml", "toml", "json"])
def test_a_saved_run_is_the_same_run(tmp_path: Path, extension: str) -> None:
    run = run_of(given(model="llama-70b", method="qlora", target_modules="q_proj,v_proj"))
    path = tmp_path / f"run.{extension}"
    write_run(run, path)
    assert run_of(given(run_file=str(path))) == run
