"""Suggestions: each number is that of the changed run, planned for itself."""

from __future__ import annotations

from planner.catalogue import find_gpu
from planner.plan import plan
from planner.run import TrainingRun
from planner.suggestions import suggestions

T4 = find_gpu("t4").gpu


def test_each_change_frees_what_a_plan_of_the_changed_run_says() -> None:
    run = TrainingRun(model="llama-3.1-8b", method="lora", gradient_checkpointing=False, micro_batch_size=4)
    planned = plan(run, T4)
    found = suggestions(planned, T4)
    assert found
    for item in found:
        if "gpu" in item.change:
            assert plan(run, str(item.change["gpu"])).verdict == "fits"
            continue
        changed = plan(run.replace(**item.change), T4)
        assert item.reserved_bytes == changed.memory.peak_bytes.reserved
        assert item.frees_bytes == planned.memory.peak_bytes.reserved - item.reserved_bytes
        assert item.fits == (changed.verdict == "fits")


def test_the_change_that_frees_most_comes_first() -> None:
    run = TrainingRun(model="llama-3.1-8b", method="full", gradient_checkpointing=False)
    freed = [item.frees_bytes for item in suggestions(plan(run), None)]
    changes = [size for size in freed if size]
    assert changes == sorted(changes, reverse=True)
    assert len(changes) >= 2


def test_a_run_that_fits_needs_no_other_card() -> None:
    run = TrainingRun(model="gpt2", method="lora")
    assert not any("gpu" in item.change for item in suggestions(plan(run, T4), T4))


def test_cards_are_the_smallest_that_fit() -> None:
    run = TrainingRun(model="llama-3.1-70b", method="qlora")
    cards = [str(item.change["gpu"]) for item in suggestions(plan(run, T4), T4) if "gpu" in item.change]
    sizes = [find_gpu(name).gpu.usable_bytes for name in cards]
    assert sizes == sorted(sizes)
    assert cards
