"""Simulations made by hand for the views: their numbers add up but no stack was run for them."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from planner.memory.ledger import Instant, Ledgers, Levels
from planner.plan_types import Plan
from planner.units import GIB, MIB
from profiler.simulate.types import OutOfMemory, Simulation, Timeline
from tests.reports.samples import full_that_does_not_fit, lora_without_a_card, qlora_that_fits

VERSIONS = (
    ("torch", "2.13.0"),
    ("transformers", "5.23.0"),
    ("peft", "0.21.2"),
    ("bitsandbytes", "0.50.2"),
)
APPROXIMATIONS = (
    "cuBLAS takes one workspace of 8.125 MiB for each stream, whatever the card",
    "What a kernel allocates inside itself is not seen",
)


def ledgers_apart(plan: Plan, share: dict[str, float], cache: float = 1.0) -> Ledgers:
    """A simulation's ledgers: those of the plan, each component times its share."""
    instants = tuple(
        Instant(
            instant.name,
            {name: round(size * share.get(name, 1.0)) for name, size in instant.components.items()},
        )
        for instant in plan.memory.instants
    )
    peak = max(instants, key=lambda instant: instant.allocated_bytes)
    reserved = peak.allocated_bytes + round(cache * GIB)
    process = reserved + plan.gpu.context_bytes if plan.gpu else None
    return Ledgers(
        peak_bytes=Levels(peak.allocated_bytes, reserved, process),
        instant=peak.name,
        basis="simulation",
        instants=instants,
    )


def timeline_of(ledgers: Ledgers, points_each: int = 40) -> Timeline:
    """From one instant to the next in a saw-tooth, as layers come and go."""
    instants = [instant for instant in ledgers.instants if instant.name != "load"]
    rest = ledgers.instants[-1].allocated_bytes
    heights = [rest, *(instant.allocated_bytes for instant in instants)]
    live: list[int] = []
    for low, high in pairwise(heights):
        for point in range(points_each):
            ramp = low + (high - low) * (point + 1) // points_each
            live.append(ramp - (ramp - min(rest, ramp)) // 8 * (point % 4 != 3))
    reserved, held = [], min(heights) + 256 * MIB
    for size in live:
        held = max(held, size)
        reserved.append(held + (ledgers.peak_bytes.reserved - ledgers.peak_bytes.allocated))
    starts = tuple((number * points_each, instant.name) for number, instant in enumerate(instants))
    return Timeline(tuple(live), tuple(reserved), starts)


def simulation_of(plan: Plan, memory: Ledgers, verdict: str | None, **others: object) -> Simulation:
    """The simulation of a plan's run on its card."""
    simulation = Simulation(
        run=plan.run,
        peft_type=None,
        gpu=plan.gpu,
        verdict=verdict,
        memory=memory,
        parameters=plan.parameters,
        timeline=timeline_of(memory),
        retries=0,
        out_of_memory=None,
        layers=80,
        traced_layers=3,
        steps=3,
        versions=VERSIONS,
        approximations=APPROXIMATIONS,
        notes=(),
    )
    return replace(simulation, **others)


def that_fits() -> tuple[Simulation, Plan]:
    """Llama-3.1-70B by QLoRA on an A100: the logits are larger than estimated."""
    plan = qlora_that_fits()
    memory = ledgers_apart(plan, {"logits_and_loss": 1.31, "saved_activations": 0.98}, cache=1.6)
    return simulation_of(plan, memory, "fits", notes=plan.notes[:1]), plan


def that_is_tight() -> tuple[Simulation, Plan]:
    """The same on a card that is only just large enough."""
    simulation, plan = that_fits()
    assert plan.gpu
    gpu = replace(plan.gpu, name="A6000", usable_bytes=simulation.memory.peak_bytes.reserved + 50 * MIB)
    return replace(simulation, gpu=gpu, verdict="tight", retries=2), replace(plan, gpu=gpu, verdict="tight")


def that_does_not_fit() -> tuple[Simulation, Plan]:
    """Full fine-tuning of Mistral-7B on a T4: out of memory in the first optimizer step."""
    plan, _ = full_that_does_not_fit()
    memory = ledgers_apart(plan, {"saved_activations": 1.02}, cache=0.4)
    failed = OutOfMemory(
        requested_bytes=112 * MIB,
        allocated_bytes=int(14.05 * GIB),
        reserved_bytes=int(14.22 * GIB),
        capacity_bytes=int(14.3 * GIB),
        instant="last_backward_block",
        module="model.layers.31",
        operator="aten.mm.default",
        step=1,
    )
    return simulation_of(plan, memory, "does_not_fit", out_of_memory=failed, layers=32), plan


def without_a_card() -> tuple[Simulation, Plan]:
    """TinyLlama by LoRA, on no card yet."""
    plan = lora_without_a_card()
    plan = replace(plan, memory=replace(plan.memory, peak_bytes=replace(plan.memory.peak_bytes, process=None)))
    return simulation_of(plan, ledgers_apart(plan, {"temporaries": 2.0}, cache=0.1), None, layers=22), plan


SIMULATIONS = {
    "fits": that_fits,
    "tight": that_is_tight,
    "does_not_fit": that_does_not_fit,
    "no_card": without_a_card,
}
