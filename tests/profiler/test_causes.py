"""Why a line is off: runs that are planned with one thing and measured with another, and sizes by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from planner.memory.ledger import Instant, Ledgers
from planner.plan import plan, plan_memory
from planner.plan_types import Plan
from planner.run import TrainingRun
from planner.units import GIB, MIB
from profiler.causes import Cause
from profiler.measure.types import MeasuredDevice, MeasuredLevels, Measurement, Slices
from profiler.simulate.types import Simulation
from profiler.verification import verified
from tests.reports.simulations import simulation_of
from tests.reports.verifications import A100, CPU, NOTHING_SAMPLED, PLANNED_TIME, measured, measurement_of, time_of

RUN = TrainingRun(model="llama-3.1-8b", method="qlora", sequence_length=1024)
PLAN = plan(RUN, "a100-80")
VOCABULARY = 128_256


def as_ledgers(memory: Ledgers) -> Ledgers:
    return Ledgers(peak_bytes=memory.peak_bytes, instant=memory.instant, basis="simulation", instants=memory.instants)


def with_more(memory: Ledgers, component: str, size: int) -> Ledgers:
    """Ledgers whose peak has so much more of one component, and as much more reserved."""
    peak = memory.peak
    more = Instant(peak.name, peak.components | {component: peak.components[component] + size})
    levels = replace(
        memory.peak_bytes,
        allocated=memory.peak_bytes.allocated + size,
        reserved=memory.peak_bytes.reserved + size,
        process=(memory.peak_bytes.process or 0) + size,
    )
    return replace(
        as_ledgers(memory),
        peak_bytes=levels,
        instants=tuple(more if at.name == peak.name else at for at in memory.instants),
    )


def causes_of(
    memory: Ledgers,
    planned: Plan | None = PLAN,
    simulation: Simulation | None = None,
    device: MeasuredDevice = A100,
    **others: object,
) -> tuple[Cause, ...]:
    others = {"layers": 32, "versions": (("transformers", "5.23.0"), ("peft", "0.21.2"))} | others
    measurement: Measurement = measurement_of(PLAN, measured(as_ledgers(memory)), device, **others)
    return verified(measurement, planned, "not asked for", simulation, "not asked for").causes


def reasons(causes: tuple[Cause, ...]) -> dict[str, str]:
    """Line -> the reason, without the figures before it."""
    return {cause.line: cause.sentence.split(": ", 2)[-1] for cause in causes}


def test_what_is_as_planned_has_no_causes() -> None:
    assert causes_of(PLAN.memory) == ()


@pytest.mark.parametrize(
    ("changes", "line", "reason"),
    [
        (
            {"prepare_kbit": False},
            "base_weights",
            "as if prepare_model_for_kbit_training did not cast the unquantized parameters to float32",
        ),
        ({"method": "lora", "quantization": "none"}, "base_weights", "as if the base had not been quantized"),
        ({"double_quant": False}, "base_weights", "as with double_quant off"),
        ({"adapter_dtype": "bfloat16"}, "optimizer_states", "as with adapter_dtype bfloat16"),
        ({"gradient_checkpointing": False}, "saved_activations", "as with gradient checkpointing off"),
        ({"kernels": "liger"}, "logits_and_loss", "as with Liger's kernels"),
        (
            {"optimizer": "adamw_bnb_8bit"},
            "optimizer_states",
            "as with adamw_bnb_8bit in place of adamw_torch_fused",
        ),
    ],
    ids=["prepare_kbit", "quantization", "double_quant", "adapter_dtype", "checkpointing", "kernels", "optimizer"],
)
def test_a_run_that_is_not_what_it_was_said_to_be(changes: dict[str, object], line: str, reason: str) -> None:
    assert reasons(causes_of(plan_memory(RUN.replace(**changes), "a100-80")))[line] == reason


def test_a_release_that_was_not_planned_for() -> None:
    older = plan(RUN.replace(gradient_checkpointing=False, quantization="none", method="lora"), "a100-80")
    run = older.run.replace(transformers_version="4.52.4")
    measurement = measurement_of(
        older,
        measured(as_ledgers(plan_memory(run, "a100-80"))),
        layers=32,
        versions=(("transformers", "4.52.4+cu126"),),
    )
    found = reasons(verified(measurement, older, None, None, None).causes)
    assert found["saved_activations"].startswith("transformers 4.52.4 ran where the newest is planned; ")
    assert "repeated for every query head" in found["saved_activations"]


def test_what_is_changed_is_the_run_that_was_planned() -> None:
    without = plan(RUN.replace(gradient_checkpointing=False), "a100-80")
    found = reasons(causes_of(PLAN.memory, without))
    assert found["saved_activations"] == "as with gradient checkpointing on"


def test_the_bytes_are_signed_as_in_the_table() -> None:
    (cause,) = causes_of(with_more(PLAN.memory, "saved_activations", GIB // 3))
    assert cause.line == "saved_activations"
    assert cause.bytes == -(GIB // 3)
    assert cause.sentence == (
        "saved activations: 341.3 MiB more than estimated: not explained by any setting, version or buffer that was "
        "tried"
    )


@pytest.mark.parametrize(
    ("times", "bits", "words"), [(1, 32, "one copy"), (3, 32, "three copies"), (1, 16, "one copy")]
)
def test_whole_copies_of_the_logits(times: int, bits: int, words: str) -> None:
    # without a plan there are no formulas to change
    simulation = simulation_of(PLAN, as_ledgers(PLAN.memory), "fits")
    size = times * 1024 * VOCABULARY * bits // 8
    (cause,) = causes_of(with_more(PLAN.memory, "logits_and_loss", size), None, simulation)
    assert f"more than simulated: {words} of the logits (1 x 1,024 x 128,256 values) in {bits} bits" in cause.sentence


def test_half_a_copy_of_the_logits_is_none() -> None:
    simulation = simulation_of(PLAN, as_ledgers(PLAN.memory), "fits")
    size = int(1.4 * 1024 * VOCABULARY * 4)
    (cause,) = causes_of(with_more(PLAN.memory, "logits_and_loss", size), None, simulation)
    assert "not explained" in cause.sentence


def test_twice_the_bytes_are_another_dtype() -> None:
    simulation = simulation_of(PLAN, as_ledgers(PLAN.memory), "fits")
    states = PLAN.memory.peak.components["optimizer_states"]
    (cause,) = causes_of(with_more(PLAN.memory, "optimizer_states", states), None, simulation)
    assert "twice 320.0 MiB, as in another dtype" in cause.sentence


def test_a_mask_of_tokens_by_tokens() -> None:
    simulation = simulation_of(PLAN, as_ledgers(PLAN.memory), "fits")
    in_each_layer = 32 * 1024**2 * 4 * 2
    (cause,) = causes_of(with_more(PLAN.memory, "saved_activations", in_each_layer // 2), None, simulation)
    assert "as large as a mask of 1 x 1,024 x 1,024 values in 32 bits in each of 32 layers" in cause.sentence


def test_weights_that_are_expanded() -> None:
    simulation = simulation_of(PLAN, as_ledgers(PLAN.memory), "fits")
    # up, gate and down of Llama-3.1-8B have 4096 x 14336 values
    (cause,) = causes_of(with_more(PLAN.memory, "temporaries", 2 * 4096 * 14336 * 2), None, simulation)
    assert "two of " in cause.sentence
    assert "'s weights expanded to 16 bits" in cause.sentence


def test_what_the_simulation_has_and_the_formulas_have_not() -> None:
    found = with_more(PLAN.memory, "saved_activations", GIB // 3)
    (cause,) = causes_of(found, simulation=simulation_of(PLAN, found, "fits"))
    assert "more than estimated: the simulation, which runs the installed libraries, agrees" in cause.sentence
    (cause,) = causes_of(PLAN.memory, simulation=simulation_of(PLAN, found, "fits"))
    assert "less than simulated: the formulas agree" in cause.sentence


@pytest.mark.parametrize(("device", "explained"), [(A100, True), (CPU, False)])
def test_scratch_of_kernels_is_what_neither_of_two_that_agree_sees(device: MeasuredDevice, explained: bool) -> None:
    simulation = simulation_of(PLAN, as_ledgers(PLAN.memory), "fits")
    (cause,) = causes_of(with_more(PLAN.memory, "temporaries", GIB // 3), simulation=simulation, device=device)
    assert "more than estimated and simulated" in cause.sentence
    assert ("neither sees what kernels allocate inside themselves" in cause.sentence) is explained


@pytest.mark.parametrize(("retries", "words"), [(0, "next"), (1, "cache once"), (3, "cache 3 times")])
def test_holes_in_what_the_allocator_holds(retries: int, words: str) -> None:
    levels = PLAN.memory.peak_bytes
    holes = replace(levels, reserved=levels.reserved + GIB, process=(levels.process or 0) + GIB)
    (cause,) = causes_of(replace(as_ledgers(PLAN.memory), peak_bytes=holes), retries=retries)
    assert cause.line == "reserved"
    assert cause.bytes == -GIB
    assert "1.0 GiB more than estimated: pieces too small for what came next" in cause.sentence
    assert cause.sentence.endswith(words)


def test_where_nothing_reserved_the_memory_of_the_run_there_is_no_cache_to_explain() -> None:
    levels = PLAN.memory.peak_bytes
    holes = replace(as_ledgers(PLAN.memory), peak_bytes=replace(levels, reserved=levels.reserved + GIB, process=None))
    assert causes_of(holes) != ()
    assert causes_of(holes, device=CPU) == ()
    assert causes_of(holes, slices=Slices((2, 3), 32, ())) == ()


def test_a_larger_context() -> None:
    levels = PLAN.memory.peak_bytes
    larger = replace(levels, process=(levels.process or 0) + 700 * MIB)
    (cause,) = causes_of(replace(as_ledgers(PLAN.memory), peak_bytes=larger))
    assert (cause.line, cause.bytes) == ("process", -700 * MIB)
    assert "700.0 MiB more than the" in cause.sentence
    assert cause.sentence.endswith("(driver 580.95.05 and CUDA 13.0)")


@pytest.mark.parametrize(("others", "shared"), [(20 * GIB, True), (300 * MIB, False)])
def test_other_processes_on_the_card(others: int, shared: bool) -> None:
    # what is no more than a driver keeps for itself is not taken for another process
    levels = MeasuredLevels("loss", 10 * GIB, 11 * GIB, 12 * GIB, 12 * GIB + others, None)
    found = causes_of(PLAN.memory, levels=(levels,))
    assert [cause.line for cause in found] == ["device"] * shared
    assert all("up to 20.0 GiB of it are held by other processes" in cause.sentence for cause in found)


class TestTime:
    @staticmethod
    def causes(*step_s: float, **sampled: object) -> list[str]:
        planned = replace(PLAN, time=replace(PLANNED_TIME, tokens=1024))
        time = time_of(*step_s, tokens=1024)
        found = causes_of(PLAN.memory, planned, time=time, sampled=replace(NOTHING_SAMPLED, **sampled))
        assert all(cause.line == "step" and cause.bytes is None for cause in found)
        return [cause.sentence for cause in found]

    def test_within_its_interval_there_is_nothing_to_explain(self) -> None:
        assert self.causes(5.6, 5.7, 5.6, power_w=399.0, sm_clock_mhz=1400.0, lowest_sm_clock_mhz=1390) == []

    def test_a_slow_first_step(self) -> None:
        (said,) = self.causes(9.0, 5.6, 5.5, 5.6)
        assert "the first timed one took 9 s, the median of the others is 5.6 s" in said

    def test_clocks_that_fall(self) -> None:
        (said,) = self.causes(8.0, 8.0, sm_clock_mhz=1100.0, lowest_sm_clock_mhz=600, temperature_c=90)
        assert (
            said
            == "step: the card's clock fell to 600 MHz, where 1,100 MHz is its mean, at up to 90 degrees: throttled"
        )

    def test_power_at_its_limit(self) -> None:
        # an A100 SXM is rated for 400 W
        (said,) = self.causes(8.0, 8.0, power_w=398.0)
        assert said.startswith("step: the card took 398 W of the 400 W that it is rated for")

    def test_what_no_rule_explains_names_the_phase(self) -> None:
        (said,) = self.causes(8.0, 8.0)
        assert said == (
            "step: 8 s, longer than its interval (5.2 to 6.5 s), most of it in forward and backward "
            "(7.6 s, estimated 5.5 s): not explained"
        )
        (faster,) = self.causes(4.0, 4.0)
        assert "shorter than its interval" in faster


def test_a_run_whose_model_is_gone_has_causes_without_its_sizes() -> None:
    simulation = simulation_of(PLAN, as_ledgers(PLAN.memory), "fits")
    memory = with_more(PLAN.memory, "logits_and_loss", 1024 * VOCABULARY * 4)
    gone = RUN.replace(model="no/such-model-anywhere")
    measurement = replace(measurement_of(PLAN, measured(memory)), run=gone)
    (cause,) = verified(measurement, None, None, simulation, None).causes
    assert "not explained" in cause.sentence
