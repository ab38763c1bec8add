"""Fitting the constants: what comes back of runs that were made with known ones."""

from __future__ import annotations

from dataclasses import replace
from math import log
from typing import Any

import pytest

from planner.time.rates import PER_WATT, efficiency
from planner.time.step import step_terms
from profiler.corpus.record import Record
from profiler.speed.fit import ON_ONE_CARD, ON_SEVERAL, PRIOR, alone, efficiency_of, fit, off
from profiler.speed.runs import SpeedRun, speed_run

VALUES = {name: start for name, (start, _) in PRIOR.items()}


def run_of(gpu: str = "a100-80", tokens: int = 1024, **fields: Any) -> SpeedRun:
    record = Record(
        id="mine",
        source="bench",
        model="Qwen/Qwen2.5-0.5B",
        method="lora",
        rank=16,
        micro_batch_size=4,
        seq_len=tokens,
        gpu=gpu,
        tokens_per_s_per_gpu=1.0,
    )
    return speed_run(replace(record, **fields))


def made_with(values: dict[str, float], run: SpeedRun) -> SpeedRun:
    """The run, as if measured on a card of these constants."""
    terms = step_terms(run.profile, run.run, run.gpu, efficiency_of(values))
    return replace(run, step_s=sum(term.seconds for term in terms))


RUNS = [run_of(tokens=tokens, gradient_checkpointing=on) for tokens in (64, 512, 4096) for on in (True, False)]


def test_constants_and_their_names_are_those_of_the_planner() -> None:
    shares = efficiency()
    assert set(shares.tflops_per_watt) == {name.removeprefix(PER_WATT) for name in PRIOR if name.startswith(PER_WATT)}
    assert efficiency_of(VALUES).matmul == VALUES["matmul"]
    assert set(ON_ONE_CARD) | set(ON_SEVERAL) <= set(PRIOR)
    assert not set(ON_ONE_CARD) & set(ON_SEVERAL)


def test_what_is_off_is_a_log_of_times() -> None:
    exact = made_with(VALUES, RUNS[0])
    shares = efficiency_of(VALUES)
    assert off(exact, shares) == pytest.approx(0, abs=1e-12)
    assert off(replace(exact, step_s=exact.step_s / 2), shares) == pytest.approx(log(2))


def test_runs_made_with_the_priors_give_the_priors_back() -> None:
    found = fit([made_with(VALUES, run) for run in RUNS])
    assert found == VALUES


def test_runs_made_with_other_constants_are_predicted_by_what_is_found() -> None:
    """Launches a third slower and traffic a fifth heavier: neither is far from what was put in."""
    other = VALUES | {"launch_us": VALUES["launch_us"] * 1.35, "traffic": VALUES["traffic"] * 1.2}
    runs = [made_with(other, run) for run in RUNS]
    found = fit(runs)
    before, after = (
        sum(abs(off(run, efficiency_of(values))) for run in runs) / len(runs) for values in (VALUES, found)
    )
    assert after < 0.4 * before
    assert found["launch_us"] == pytest.approx(other["launch_us"], rel=0.15)
    assert {name: found[name] for name in ON_SEVERAL} == {name: VALUES[name] for name in ON_SEVERAL}


def test_no_product_is_faster_than_the_fastest() -> None:
    runs = [replace(run, step_s=run.step_s / 3) for run in (made_with(VALUES, run) for run in RUNS)]
    assert fit(runs)["matmul"] <= 1


def test_ddp_of_adapters_counts_as_one_card() -> None:
    assert alone(run_of())
    assert alone(run_of(n_gpus=2, strategy="ddp"))
    assert not alone(run_of(n_gpus=2, strategy="ddp", method="full", rank=None))
    assert not alone(run_of(n_gpus=2, strategy="fsdp_full_shard"))


def test_committed_constants_say_what_they_were_fitted_on() -> None:
    """Factors of 1.5 from the prior: what is drawn that hard has to be physics, not a constant of the corpus."""
    shares = efficiency()
    for name in (*ON_ONE_CARD, *ON_SEVERAL):
        key = name.removeprefix(PER_WATT)
        value = shares.tflops_per_watt[key] if name.startswith(PER_WATT) else getattr(shares, name)
        assert abs(log(value / PRIOR[name][0])) < log(1.5), name
