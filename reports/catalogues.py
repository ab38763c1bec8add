"""The catalogues of models and cards as tables."""

from __future__ import annotations

from collections.abc import Sequence

from planner.catalogue import Gpu, Model
from planner.coverage import reason_not_planned
from planner.units import format_count
from reports.figures import columns, gib_number
from reports.page import Page

ALIASES = 3
"""Short names shown of a model; `--json` has all of them."""


def models_text(models: Sequence[Model], page: Page) -> str:
    """Ids, parameters, whether they can be planned, and short names to type, one model a line."""
    rows = [["model", "parameters", "plan"]] + [
        [model.id, format_count(model.parameters), "no" if reason_not_planned(model) else "yes"] for model in models
    ]
    head, *lines = columns(rows)
    room = page.width - len(head) - 4
    named = [
        f"  {line}  {page.style(_short(model.aliases, room), 'dim')}" for line, model in zip(lines, models, strict=True)
    ]
    reasons = [f"{model.id}: {reason}" for model in models if (reason := reason_not_planned(model))]
    unplanned = ["", "  Counted, but in no activation table yet:"] if reasons else []
    return page.finish(
        [
            page.style(f"  {head}  short names", "bold"),
            *named,
            "",
            _counted(len(models), "model"),
            *unplanned,
            *(line for reason in reasons for line in page.wrap(reason)),
        ]
    )


def gpus_text(gpus: Sequence[Gpu], page: Page) -> str:
    """Cards with the memory their driver reports and what PyTorch can use of it, in GiB."""
    rows = [["card", "GiB", "usable GiB", "bf16", "compute"]] + [
        [
            gpu.name,
            gib_number(gpu.memory_bytes, 1),
            gib_number(gpu.usable_bytes, 1),
            "yes" if gpu.native_bf16 else "no",
            gpu.compute_capability,
        ]
        for gpu in gpus
    ]
    head, *lines = columns(rows)
    return page.finish(
        [
            page.style(f"  {head}", "bold"),
            *(f"  {line}" for line in lines),
            "",
            _counted(len(gpus), "card"),
            *page.wrap(
                "GiB is what the driver reports; usable is what PyTorch's allocator can reserve of it, after "
                "the driver's own share and the CUDA context."
            ),
        ]
    )


def _short(aliases: Sequence[str], room: int) -> str:
    """The first short names, as many as there is room for; repositories of other organisations left out."""
    names = [alias for alias in aliases if "/" not in alias][:ALIASES]
    while names and len(", ".join(names)) > room:
        names.pop()
    return ", ".join(names)


def _counted(count: int, noun: str) -> str:
    return f"  {count} {noun}{'' if count == 1 else 's'}"
