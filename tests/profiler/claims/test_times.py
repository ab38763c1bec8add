"""Verdicts on claims of hours and costs."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from planner.catalogue import find_gpu
from planner.plan import plan
from planner.run import TrainingRun
from profiler.claims.claim import Claim
from profiler.claims.judge import judge
from profiler.claims.saving import judge_saving
from profiler.claims.speeds import card_seconds_per_token
from tests.profiler.claims.claims import claimed

CARD = "a100-80"
EXAMPLES = 10_000


def hours_of(run: TrainingRun, sequences: int) -> float:
    """As the plan has its speed."""
    time = plan(run, CARD).time
    assert time is not None
    return sequences * run.sequence_length / time.tokens_per_s / 3600


def hours(text: str, **fields: object) -> Claim:
    stated: dict[str, object] = {"gpu": CARD, "examples": EXAMPLES, "epochs": 1, "seq_len": 512}
    return replace(claimed("hours", text, "h"), **(stated | fields))  # pyright: ignore[reportArgumentType]


def cost(text: str, price: str | None, **fields: object) -> Claim:
    stated = {"usd_per_hour": None if price is None else Decimal(price)} | fields
    return replace(hours("1"), quantity="cost", unit="USD", figure=claimed("cost", text, "USD").figure, **stated)  # pyright: ignore[reportArgumentType]


def test_hours_as_planned_are_right() -> None:
    expected = hours_of(TrainingRun(model="llama-2-7b", sequence_length=512), 3 * EXAMPLES)
    found = judge(hours(f"{expected:.2f}", epochs=3))
    assert found.verdict == "right"
    assert found.computed == pytest.approx(expected, rel=1e-3)  # the last batch may not be full
    assert "3 epochs of 10,000 examples of 512 tokens" in found.why


def test_hours_are_held_to_the_range_that_is_expected() -> None:
    run = TrainingRun(model="llama-2-7b", sequence_length=512)
    time = plan(run, CARD).time
    assert time is not None
    slow, too_slow = (EXAMPLES * time.high_s * factor / 3600 for factor in (0.99, 1.2))
    assert judge(hours(f"{slow:.3f}")).verdict == "right"
    assert judge(hours(f"{too_slow:.3f}")).verdict != "right"


def test_hours_of_more_epochs_or_longer_examples_are_those_settings() -> None:
    three = hours_of(TrainingRun(model="llama-2-7b", sequence_length=512), 3 * EXAMPLES)
    found = judge(hours(f"{three:.2f}", epochs=None))
    assert (found.verdict, found.settings) == ("right for other settings", ("3 epochs",))
    long = hours_of(TrainingRun(model="llama-2-7b", sequence_length=8192), EXAMPLES)
    assert judge(hours(f"{long:.2f}", seq_len=None)).settings == ("8,192 tokens",)


def test_hours_that_nothing_explains() -> None:
    found = judge(hours("0.01"))
    assert found.verdict == "no setting explains it"
    assert "The nearest of what was tried is" in found.why


def test_a_cost_is_judged_by_its_hours_and_computed_at_its_own_price() -> None:
    expected = hours_of(TrainingRun(model="llama-2-7b", sequence_length=512), EXAMPLES)
    claimed_hours = Decimal(f"{expected:.1f}")
    found = judge(cost(str(2 * claimed_hours), "2", hours=claimed_hours))
    assert found.verdict == "right"
    assert found.computed == pytest.approx(2 * expected, rel=1e-3)
    assert f"x 2.00 USD is {2 * claimed_hours} USD" in found.why


def test_a_product_that_is_wrong_makes_a_cost_impossible() -> None:
    found = judge(cost("30", "1.48", hours=Decimal(24)))
    assert found.verdict == "impossible"
    assert "is 35.52 USD, not 30" in found.why


def test_no_hours_train_a_model_whose_weights_do_not_fit() -> None:
    found = judge(hours("18", model="llama-3.1-70b", seq_len=None))
    assert (found.verdict, found.computed) == ("impossible", None)
    assert "141.1 GB" in found.why


def test_a_run_that_fits_with_other_settings_only_has_their_hours() -> None:
    loose: dict[str, object] = {"batch_size": 2, "seq_len": None, "rank": 16, "target_modules": "q_proj,v_proj"}
    found = judge(hours("24", model="llama-3.1-70b", method="qlora", gpu="a100-40", **loose))
    assert found.computed is None
    assert "it is tight and takes" in found.why or "it fits and takes" in found.why


def test_without_the_amount_of_data_it_is_said_what_the_hours_are_enough_for() -> None:
    found = judge(cost("9.52", "1.19", hours=Decimal(8), examples=None, method="full", model="mistral-7b"))
    assert (found.verdict, found.computed) == ("too little is stated", None)
    assert "In 8 h it trains on" in found.why
    assert "with float32 weights it would be" in found.why


def test_without_a_card_there_is_nothing_to_compute_from() -> None:
    found = judge(claimed("cost", "2000+", "USD", model="llama-3.1-70b", method="full"))
    assert found.verdict == "too little is stated"
    assert "neither the card nor the hours are named" in found.why


def test_lora_saves_no_more_card_hours_than_the_work_it_leaves_out() -> None:
    # 6 FLOP a parameter and token instead of 8, with checkpointing
    full = claimed("cost", "320", "USD", method="full", gpu="a100-80", n_gpus=1)
    lora = claimed("cost", "26", "USD", rank=8)
    found = judge_saving(lora, full)
    assert found.verdict == "no setting explains it"
    assert found.computed is not None and 0.6 * 320 < found.computed < 1.05 * 320
    gpu = find_gpu("a100-80").gpu
    runs = (
        TrainingRun(model="llama-2-7b", method=method, **fields)
        for method, fields in (("lora", {"rank": 8}), ("full", {}))
    )
    cheap, dear = (card_seconds_per_token(run, gpu) for run in runs)
    assert found.computed == pytest.approx(320 * cheap / dear)
    assert judge(replace(lora, instead_of=full)) == found


def test_the_speed_of_kernels_that_are_in_no_table_is_not_guessed() -> None:
    found = judge(claimed("unsloth_speedup", "2-5", "x", method="qlora", batch_size=4))
    assert (found.verdict, found.computed) == ("no setting explains it", None)
    assert "in no table" in found.why and "Liger's kernels" in found.why
