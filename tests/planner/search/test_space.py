"""What is given is kept, and the rest is searched."""

from __future__ import annotations

import pytest

from planner.errors import InputError
from planner.search.space import DEFAULT_METHODS, OPTIMIZERS, Setting, Split, space_of

MODEL = {"model": "llama-3.1-8b"}


def test_everything_is_open_where_only_the_model_is_given() -> None:
    space = space_of(MODEL)
    assert space.methods == DEFAULT_METHODS
    assert space.optimizers == OPTIMIZERS
    assert len(list(space.settings())) == 4 * 2 * 2
    assert space.strategies == ("ddp", "fsdp")


def test_steps_have_8_to_128_sequences() -> None:
    for count in (1, 2, 3, 8, 16, 200):
        for split in space_of(MODEL).splits(count):
            sequences = split.micro_batch_size * split.gradient_accumulation_steps * count
            assert sequences >= 8
            assert sequences <= 128 or split.micro_batch_size == 1


def test_a_batch_or_an_accumulation_that_was_given_is_kept() -> None:
    assert space_of(MODEL | {"micro_batch_size": 3}).splits(1) == [Split(3, 3)]
    assert space_of(MODEL | {"micro_batch_size": 3, "gradient_accumulation_steps": 1}).splits(8) == [Split(3, 1)]
    given = space_of(MODEL | {"gradient_accumulation_steps": 5}).splits(64)
    assert {split.gradient_accumulation_steps for split in given} == {5}


def test_flags_pin_what_they_name() -> None:
    given = {"optimizer": "sgd", "kernels": "liger", "gradient_checkpointing": False, "strategy": "fsdp", "num_gpus": 4}
    space = space_of(MODEL | given, ["QLoRA", "qlora"])
    assert list(space.settings()) == [Setting("qlora", "liger", False)]
    assert (space.optimizers, space.strategies, space.num_gpus) == (("sgd",), ("fsdp",), 4)
    run = space.run(Setting("qlora", "liger", False), "sgd", Split(2, 4), 4, "fsdp")
    assert (run.method, run.optimizer, run.num_gpus, run.strategy) == ("qlora", "sgd", 4, "fsdp")


def test_a_rank_is_of_no_account_for_full_fine_tuning_among_others() -> None:
    space = space_of(MODEL | {"rank": 8})
    assert space.run(Setting("full", "hf", True), OPTIMIZERS[0], Split(1, 8), 1, "none").method == "full"
    assert space.run(Setting("lora", "hf", True), OPTIMIZERS[0], Split(1, 8), 1, "none").rank == 8


def test_a_quantization_leaves_the_methods_that_go_with_it() -> None:
    assert space_of(MODEL | {"quantization": "gptq"}).methods == ("lora",)
    assert space_of(MODEL | {"quantization": "none"}).methods == ("full", "lora")


def test_how_to_checkpoint_implies_that() -> None:
    assert space_of(MODEL | {"checkpoint_every": 2}).checkpointing == (True,)


@pytest.mark.parametrize(
    ("fields", "methods", "said"),
    [
        ({}, [], "model is missing"),
        (MODEL | {"rank": 0}, [], "rank must be"),
        (MODEL, ["nosuch"], "method must be"),
        (MODEL | {"quantization": "nf4"}, ["full"], "freezes"),
        (MODEL | {"colour": "red"}, [], "unknown field"),
    ],
)
def test_what_no_run_can_have_is_refused(fields: dict[str, object], methods: list[str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        space_of(fields, methods)
