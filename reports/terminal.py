"""A plan for people: the verdict first, then where the bytes go, then what to change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from planner.memory.ledger import MEASUREMENT
from planner.plan_types import Footprint, Limits, Plan, Suggestion
from planner.run import TrainingRun
from planner.units import format_bytes
from reports.advice import advice_section
from reports.assumptions import assumptions_section
from reports.bar import bar_section
from reports.dataset import dataset_section
from reports.figures import columns, gib, gib_number
from reports.ledger_table import ledger_section
from reports.offers import offers_section
from reports.page import Page
from reports.sections import joined, list_section
from reports.time import time_section
from reports.verdict import verdict_section

if TYPE_CHECKING:
    from planner.dataset import LengthProfile
    from pricing.plan_quotes import PlanQuotes


def plan_text(
    plan: Plan,
    suggestions: Sequence[Suggestion],
    page: Page,
    quotes: PlanQuotes | None = None,
    lengths: LengthProfile | None = None,
) -> str:
    """The whole view of a plan, within the page's width."""
    advice = advice_section(plan, suggestions, page)
    urgent = plan.verdict in ("tight", "does_not_fit")
    sections = [
        verdict_section(plan, page),
        advice if urgent else [],
        bar_section(plan, page),
        ledger_section(plan.memory, page),
        _levels(plan, page),
        _limits(plan.run, plan.limits, page) if plan.limits else [],
        time_section(plan, page),
        dataset_section(lengths, plan.run.sequence_length, page) if lengths else [],
        offers_section(plan, quotes, page),
        _footprint(plan.run, plan.footprint, page),
        [] if urgent else advice,
        assumptions_section(plan.run, page),
        list_section("Notes", plan.notes, page),
    ]
    return page.finish(joined(sections))


def _levels(plan: Plan, page: Page) -> list[str]:
    peak = plan.memory.peak_bytes
    rows = [
        ["allocated", gib(peak.allocated), "live tensors"],
        ["reserved", gib(peak.reserved), "held by PyTorch's allocator: decides an out-of-memory"],
    ]
    if peak.process is not None:
        rows.append(["process", gib(peak.process), "what nvidia-smi shows: reserved and the CUDA context"])
    figures = columns([row[:2] for row in rows])
    interval = plan.memory.interval_bytes
    return [
        page.heading("The peak at each level"),
        *(f"  {figure}  {page.style(row[2], 'dim')}" for figure, row in zip(figures, rows, strict=True)),
        *page.wrap(
            f"By {plan.memory.basis}: {interval.level} is expected between {gib_number(interval.low, 1)} "
            f"and {gib_number(interval.high, 1)} GiB, {_holds(plan)}"
        ),
    ]


def _holds(plan: Plan) -> str:
    """On what the interval stands."""
    if plan.memory.basis == MEASUREMENT:
        return "as wide around the measured figure as the estimate's interval is"
    return (
        f"which holds {100 * plan.memory.interval_bytes.coverage:.0f}% of measured and simulated runs "
        "(reports/accuracy.md)"
    )


def _limits(run: TrainingRun, limits: Limits, page: Page) -> list[str]:
    batch, length, longest = limits.max_micro_batch_size, limits.max_seq_len, limits.max_position_embeddings
    made_for = f" (the model was made for {longest:,})" if longest else ""
    return [
        page.heading("Largest that fits"),
        *page.wrap(
            f"{'no micro-batch' if batch is None else f'micro-batch {batch:,}'} at {run.sequence_length:,} tokens"
        ),
        *page.wrap(
            f"{'no sequence' if length is None else f'{length:,} tokens{made_for}'} "
            f"at micro-batch {run.micro_batch_size:,}"
        ),
    ]


def _footprint(run: TrainingRun, footprint: Footprint, page: Page) -> list[str]:
    trained = "model file" if run.method == "full" else "adapter file"
    rows = [
        [trained, footprint.adapter_file_bytes, ""],
        ["checkpoint", footprint.checkpoint_bytes, "trained weights and optimizer states"],
        ["host memory", footprint.host_ram_bytes, "to load and train"],
        ["host memory", footprint.merge_ram_bytes, "to merge the adapter"],
        ["disk", footprint.disk_bytes, "the download, one checkpoint and the result"],
    ]
    rows = [row for row in rows if row[1]]
    figures = columns([[str(label), format_bytes(int(size))] for label, size, _ in rows])
    return [
        page.heading("Off the GPU"),
        *(f"  {figure}  {page.style(str(row[2]), 'dim')}" for figure, row in zip(figures, rows, strict=True)),
    ]
