"""A search's figures are the plan's, and it leaves out no more than it says."""

from __future__ import annotations

import numpy as np
import pytest

from planner.errors import Abstention, InputError
from planner.job import Job
from planner.memory import profile, step
from planner.memory.profile import run_profile
from planner.plan import resolve
from planner.search.evaluate import evaluate
from planner.search.prepare import prepare
from planner.search.profiles import Profiles
from planner.search.space import Setting, space_of
from tests.planner.search.agreement import CARDS, differences, drawn, searched

BYTES = 8
"""The plan rounds each component of a ledger to whole bytes, and there are eight of them."""

EXACT = 1e-9
"""Of seconds and hours: sums in another order."""

OTHER_REGIME = 1e-4
"""Of hours whose sequences are shorter than the longest: the search takes the work of the longest's regime for them."""

TOKENS = Job(tokens=10_000_000)
CASES = [
    ({"model": "llama-3.1-8b"}, TOKENS, EXACT),
    ({"model": "gemma-2-9b", "sequence_length": 1000, "empty_cache": True}, TOKENS, EXACT),
    ({"model": "mistral-7b-v0.1", "sequence_length": 6000, "packing": True}, Job(examples=900, epochs=2.5), EXACT),
    (
        {"model": "mixtral-8x7b", "eval_batch_size": 8, "checkpoint_offload": True},
        Job(tokens=10**8, eval_split=0.1, merge=True, save_steps=100, download_bytes_per_s=1e8),
        EXACT,
    ),
    ({"model": "qwen2.5-7b", "sequence_length": 700}, Job(examples=5000, tokens=1_500_000), OTHER_REGIME),
]


def agree(fields: dict[str, object], job: Job, hours: float, count: int, seed: int) -> None:
    space, sheets = searched(fields, job)
    for way in drawn(space, sheets, count, seed):
        found = differences(way, job)
        assert found["verdict"] == 0, (way.run, way.gpu.name)
        assert found["allocated"] <= BYTES and found["reserved"] <= BYTES, (found, way.run, way.gpu.name)
        assert found["step"] <= EXACT and found["hours"] <= hours, (found, way.run, way.gpu.name)


@pytest.mark.parametrize(("fields", "job", "hours"), CASES[:2])
def test_a_few_ways_drawn_at_random_are_as_planned_one_by_one(
    fields: dict[str, object], job: Job, hours: float
) -> None:
    agree(fields, job, hours, 10, seed=5)


@pytest.mark.slow
@pytest.mark.parametrize(("fields", "job", "hours"), CASES)
def test_a_thousand_ways_drawn_at_random_are_as_planned_one_by_one(
    fields: dict[str, object], job: Job, hours: float
) -> None:
    agree(fields, job, hours, 1000 // len(CASES), seed=1)


def test_walks_that_are_shared_are_the_runs_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """DDP's profile is made of one GPU's, FSDP's on 8 of a walk for 2: they are what a fresh `run_profile` gives."""
    space = space_of({"model": "llama-3.1-8b"})
    architecture = resolve("llama-3.1-8b")[1]
    for setting in (Setting("full", "hf", True), Setting("qlora", "liger", False)):
        for strategy in ("ddp", "fsdp"):
            profiles = Profiles(architecture, space)
            profiles.on(setting, False, 4, 2, strategy)
            derived = profiles.on(setting, False, 4, 8, strategy)
            for module, cache in ((step, "_walks"), (profile, "_cache"), (profile, "_counts")):
                monkeypatch.setattr(module, cache, {})
            own = run_profile(architecture, profiles.run(setting, False, 8, strategy), 4)
            for name in ("weights", "trained", "buckets", "pools", "optimizer", "optimizer_temporaries", "evaluation"):
                assert getattr(derived, name) == getattr(own, name)
            assert derived.step.instants == own.step.instants
            assert derived.step.outputs == own.step.outputs
            assert derived.work == own.work


def test_what_the_planner_does_not_know_is_left_out_and_counted() -> None:
    space = space_of({"model": "gpt2"})
    prepared = prepare(resolve("gpt2")[1], space, {1: CARDS[:3]}, TOKENS)
    # 4 methods with and without checkpointing, 4 optimizers, 8 micro-batches
    assert prepared.left_out == {"liger-kernel does not patch 'gpt2'": 4 * 2 * 4 * 8}
    (sheet,) = evaluate(prepared)
    assert {setting.kernels for setting in sheet.settings} == {"hf"}
    assert sheet.ways == 4 * 2 * 4 * 8


def test_fsdp_without_accumulation_only() -> None:
    prepared = prepare(resolve("llama-3.1-8b")[1], space_of({"model": "llama-3.1-8b"}), {4: CARDS[:1]}, TOKENS)
    ddp, fsdp = evaluate(prepared)
    assert (ddp.strategy, fsdp.strategy) == ("ddp", "fsdp")
    accumulated = np.array([split.gradient_accumulation_steps > 1 for split in fsdp.splits])
    assert accumulated.any() and not fsdp.possible[:, accumulated].any()
    assert any("gradients that are not yet reduced" in reason for reason in prepared.left_out)


def test_where_nothing_is_known_the_first_reason_is_raised() -> None:
    architecture = resolve("llama-3.1-8b")[1]
    with pytest.raises(Abstention, match="Unsloth"):
        prepare(architecture, space_of({"model": "llama-3.1-8b", "kernels": "unsloth"}), {1: CARDS[:1]}, TOKENS)


def test_what_was_given_and_does_not_suit_the_model_is_an_error() -> None:
    architecture = resolve("llama-3.1-8b")[1]
    with pytest.raises(InputError, match="nowhere"):
        prepare(architecture, space_of({"model": "llama-3.1-8b", "target_modules": "nowhere"}), {1: CARDS}, TOKENS)


def test_more_of_anything_never_takes_less_memory() -> None:
    _, sheets = searched({"model": "llama-3.1-8b"}, TOKENS, counts=(1,))
    (sheet,) = sheets
    unaccumulated = [place for place, split in enumerate(sheet.splits) if split.gradient_accumulation_steps == 1]
    assert (np.diff(sheet.allocated[:, :, unaccumulated], axis=2) >= 0).all()
    assert (sheet.reserved >= sheet.allocated).all()
    assert not (sheet.fits & sheet.tight).any()
