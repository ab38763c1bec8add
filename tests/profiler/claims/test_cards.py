"""Verdicts on claims that a run fits a card."""

from __future__ import annotations

from planner.run import TrainingRun
from profiler.claims.cards import room_in_words, verdict_on
from profiler.claims.judge import judge
from tests.profiler.claims.claims import claimed


def test_a_run_that_fits_its_card() -> None:
    found = judge(claimed("fits", method="qlora", gpu="t4", seq_len=512))
    assert (found.verdict, found.unit) == ("right", "GB")
    assert found.computed is not None and 4 < found.computed < 10


def test_a_run_that_fits_in_four_bits_only() -> None:
    found = judge(claimed("fits", gpu="rtx-3060"))
    assert (found.verdict, found.settings) == ("right for other settings", ("NF4 weights",))
    assert "13.5 GB" in found.why  # its weights in 16 bits


def test_weights_larger_than_the_card_make_full_fine_tuning_impossible() -> None:
    assert judge(claimed("fits", method="full", gpu="rtx-3060")).verdict == "impossible"


def test_a_memory_that_is_the_cards_own_claims_that_it_fits() -> None:
    assert "the claim is that it fits" in judge(claimed("total", "16", "GB", method="qlora", gpu="t4")).why
    assert "the claim is that it fits" not in judge(claimed("total", "7", "GB", method="qlora", gpu="t4")).why


def test_layers_spread_over_several_cards() -> None:
    run = TrainingRun(model="llama-3.1-70b", rank=16)
    eight, two = (claimed("fits", model="llama-3.1-70b", gpu="a100-80", n_gpus=cards) for cards in (8, 2))
    assert verdict_on(eight, run) == "fits"
    assert verdict_on(two, run) == "tight"  # 141 GB of weights in 168 GB: not proven either way


def test_a_run_that_is_sharded_is_planned_as_such() -> None:
    run = TrainingRun(model="llama-3.1-70b", rank=16, num_gpus=8, strategy="fsdp")
    claim = claimed("fits", model="llama-3.1-70b", gpu="a100-80", n_gpus=8)
    assert verdict_on(claim, run) == "fits"
    assert "on each of 8 cards" in room_in_words(claim, run)
