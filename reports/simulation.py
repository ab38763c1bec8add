"""A simulation for people: the verdict first, then one step as a curve, then the estimate beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.plan_types import Plan
from planner.units import format_bytes
from profiler.reconcile import reconcile as reconciled
from profiler.simulate.types import OutOfMemory, Simulation
from reports.components import instant
from reports.figures import gib, gib_number, signed_share
from reports.ledger_table import ledger_section
from reports.page import Page
from reports.reconciliation import reconciliation_section
from reports.sections import joined, list_section
from reports.sparkline import sparkline
from reports.trainer_config import config_sections, uncounted_lines
from reports.verdict import simulation_title, to_spare, trained, verdict_line, verdict_words

if TYPE_CHECKING:
    from planner.trainer_configs import Reading


def simulation_text(
    simulation: Simulation,
    estimate: Plan | None,
    abstained: str | None,
    page: Page,
    *,
    reconcile: bool = True,
    reading: Reading | None = None,
) -> str:
    """The whole view of a simulation, within the page's width.

    `estimate` is the plan of the same run, or None with the reason in `abstained`; without `reconcile` the
    simulation's own ledger stands in place of the two side by side. reading: of the config that the run is from.
    """
    memory = simulation.memory
    if reconcile:
        columns = [estimate.memory, memory] if estimate else [memory]
        note = f"No estimate to hold it to: {abstained}" if abstained and not estimate else ""
        ledgers = reconciliation_section(reconciled(columns), page, note=note)
    else:
        ledgers = ledger_section(memory, page)
    beside = _estimate(simulation, estimate, page) if estimate and reconcile else []
    sections = [
        [*_verdict(simulation, page), *beside, *uncounted_lines(reading, page)],
        sparkline(simulation.timeline, page),
        ledgers,
        config_sections(reading, page),
        list_section("What it rests on", simulation_basis(simulation), page),
        list_section("Approximated", simulation.approximations, page),
        list_section("Notes", [*(reading.notes if reading else ()), *simulation.notes], page),
    ]
    return page.finish(joined(sections))


def _verdict(simulation: Simulation, page: Page) -> list[str]:
    """The verdict, the run and the card; the reserved peak; and the allocation that fails, where one does."""
    title = simulation_title(simulation)
    memory, gpu = simulation.memory, simulation.gpu
    reserved = f"{gib(memory.peak_bytes.reserved)} reserved"
    parameters = page.wrap(trained(simulation.parameters))
    if gpu is None or simulation.verdict is None:
        return [
            *(page.style(line, "bold") for line in page.wrap(f"{title}, simulated", first="")),
            *page.wrap(f"{reserved} at the peak, {instant(memory.instant)}"),
            *parameters,
        ]
    usable = f"{gib(gpu.usable_bytes)} usable"
    gap = to_spare(gpu.usable_bytes - memory.peak_bytes.reserved)
    if failed := simulation.out_of_memory:
        enough = f"with room enough it would reserve {gib(memory.peak_bytes.reserved)} of {usable}: {gap}"
        figures = [*page.wrap(_failure(failed)), *page.wrap(enough)]
    elif simulation.retries:
        times = "once" if simulation.retries == 1 else f"{simulation.retries:,} times"
        figures = page.wrap(
            f"{reserved} of {usable}: {gap}, after the allocator ran full and gave back its cache {times}"
        )
    else:
        figures = page.wrap(f"{reserved} of {usable}: {gap}")
    return [
        *verdict_line(simulation.verdict, f"{title} on {gpu.name}, simulated", page),
        *figures,
        *parameters,
    ]


def _failure(failed: OutOfMemory) -> str:
    """The allocation that fails: when, where, how much it asks for and how much is free."""
    when = f"at step {failed.step}, {instant(failed.instant)}" if failed.step else "while loading"
    where = f", in {failed.module}" if failed.module else ""
    operator = f" ({failed.operator})" if failed.operator else ""
    free = max(0, failed.capacity_bytes - failed.reserved_bytes)
    cached = failed.reserved_bytes - failed.allocated_bytes
    pieces = f", {gib(cached)} cached in pieces too small" if cached > 0 else ""
    return (
        f"out of memory {when}{where}{operator}: {format_bytes(failed.requested_bytes)} asked for, "
        f"{format_bytes(free)} of {gib(failed.capacity_bytes)} free ({gib(failed.allocated_bytes)} live{pieces})"
    )


def _estimate(simulation: Simulation, estimate: Plan, page: Page) -> list[str]:
    """What the estimate says of the same peak, and how far off it is."""
    said, found = estimate.memory.peak_bytes.reserved, simulation.memory.peak_bytes.reserved
    interval = estimate.memory.interval_bytes
    verdict = f"{verdict_words(estimate.verdict)}, " if estimate.verdict else ""
    range_ = f"{gib_number(interval.low, 1)}–{gib_number(interval.high, 1)}"
    lines = page.wrap(f"estimate: {verdict}{gib(said)} ({range_}) reserved, {_apart(said, found)}")
    differs = estimate.verdict and simulation.verdict and estimate.verdict != simulation.verdict
    return [page.style(line, "yellow") for line in lines] if differs else lines


def _apart(said: int, found: int) -> str:
    if said == found or not found:
        return "as simulated" if said == found else "where nothing is simulated"
    share = signed_share((said - found) / found).lstrip("+-")
    return f"{share} {'more' if said > found else 'less'} than simulated"


def simulation_basis(simulation: Simulation) -> list[str]:
    """What a simulation rests on, a sentence each."""
    layers, traced, steps = simulation.layers, simulation.traced_layers, simulation.steps
    run = f"all {layers} layers were run"
    if traced < layers:
        run = f"{traced} of {layers} layers were run, the others play the same"
    replayed = f"{steps} {'step' if steps == 1 else 'steps'} replayed through PyTorch's caching allocator"
    versions = ", ".join(f"{library} {version}" for library, version in simulation.versions)
    return [f"the real training stack on fake tensors: {run}", replayed, *([versions] if versions else [])]
