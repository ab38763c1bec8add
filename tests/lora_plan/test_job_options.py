"""From what was typed to a `Job`."""

from __future__ import annotations

from pathlib import Path

import pytest

from lora_plan.arguments import Arguments
from lora_plan.commands.plan import OPTIONS
from lora_plan.job_options import JOB_OPTIONS, job_of
from planner.errors import InputError
from planner.job import Job
from tests.planner.dataset.files import file, lines


def typed(**values: str | bool) -> Arguments:
    return Arguments({option.name: values.get(option.name) for option in JOB_OPTIONS})


def test_no_flag_is_another_options() -> None:
    others = [option for option in OPTIONS if option not in JOB_OPTIONS]
    assert not {option.flag for option in JOB_OPTIONS} & {option.flag for option in others}
    assert not {option.name for option in JOB_OPTIONS} & {option.name for option in others}


def test_nothing_typed_is_no_job() -> None:
    assert job_of(typed()) is None


def test_fields() -> None:
    job = job_of(
        typed(
            examples="52k", tokens="12.5M", epochs="2.5", max_steps="1_000", eval_split="0.05", save_steps="0",
            download_mbps="1000", merge=True,
        )
    )  # fmt: skip
    assert job == Job(
        examples=52_000,
        tokens=12_500_000,
        epochs=2.5,
        max_steps=1000,
        eval_split=0.05,
        save_steps=0,
        download_bytes_per_s=125e6,
        merge=True,
    )


@pytest.mark.parametrize(
    ("text", "count"), [("50000", 50_000), ("50,000", 50_000), ("1.5B", 1_500_000_000), (" 7 ", 7), ("0.5k", 500)]
)
def test_counts(text: str, count: int) -> None:
    assert job_of(typed(tokens=text)) == Job(tokens=count)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"examples": "many"}, "--examples must be a whole number, such as 50000 or 50k, not 'many'"),
        ({"examples": "1.5"}, "--examples must be a whole number"),
        ({"examples": "-5"}, "--examples must be a whole number"),
        ({"examples": ""}, "--examples must be a whole number"),
        ({"examples": "9" * 99}, "--examples must be a whole number"),
        ({"examples": "0"}, "--examples must be a whole number from 1"),
        ({"tokens": "9" * 30}, "--tokens must be a whole number from 1"),
        ({"examples": "10", "epochs": "x"}, "--epochs must be a number"),
        ({"examples": "10", "epochs": "inf"}, "--epochs must be a number above 0"),
        ({"examples": "10", "eval_split": "0.99"}, "--eval-split leaves no example of 10"),
        ({"examples": "10", "download_mbps": "0"}, "--download-mbps must be a number of megabits a second"),
        ({"examples": "10", "download_mbps": "nan"}, "--download-mbps must be a number of megabits a second"),
        ({"epochs": "3"}, "--epochs says nothing without a job; give --examples, --tokens or --dataset too"),
        ({"merge": True}, "--merge says nothing without a job"),
        ({"examples": "10", "text_field": "text"}, "--text-field is about a dataset"),
        ({"dataset": "a.jsonl", "examples": "10"}, "--dataset says what --examples says; give one of them"),
        ({"dataset": "none.jsonl"}, "'none.jsonl' does not exist"),
        ({"dataset": "none.jsonl", "epochs": "0"}, "--epochs must be a number above 0"),
        ({"dataset": "none.jsonl", "tokenizer": "no/such"}, "--tokenizer 'no/such' is neither a folder nor"),
        ({"dataset": "none.jsonl", "characters_per_token": "0"}, "--characters-per-token must be a number from 0.1"),
        ({"dataset": "none.jsonl", "characters_per_token": "four"}, "--characters-per-token must be a number"),
        ({"dataset": "none.jsonl", "characters_per_token": "4", "tokenizer": "gpt2"}, "a tokenizer counts tokens"),
    ],
)
def test_errors_name_the_flag(values: dict[str, str | bool], says: str) -> None:
    with pytest.raises(InputError) as caught:
        job_of(typed(**values))
    assert str(caught.value).startswith(says)


def test_a_dataset_is_read(tmp_path: Path) -> None:
    path = file(tmp_path, "a.jsonl", lines({"body": "x" * 10}))
    job = job_of(typed(dataset=str(path), characters_per_token="2", text_field="body", epochs="3"))
    assert job is not None
    assert job.lengths is not None
    assert (job.lengths.tokens, job.epochs) == (5, 3)
