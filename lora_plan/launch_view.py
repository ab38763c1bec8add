"""What `lora-plan verify --launch` would rent, for people and as JSON."""

from __future__ import annotations

import shlex

from lora_plan.launch import TASK, LaunchPlan
from pricing.money import plain
from reports.figures import columns
from reports.page import Page
from reports.time import duration


def launch_text(plan: LaunchPlan, page: Page) -> str:
    """What would be rented, what it costs at most and the command, for people."""
    offer = plan.offer
    seen = offer.as_of.isoformat() if offer.as_of else "undated"
    cards = f"{offer.gpu_count} x " if offer.gpu_count > 1 else ""
    rows = [
        ["  machine", f"{cards}{offer.gpu}, {offer.instance_type} of {offer.provider}, {offer.market}"],
        ["  price", f"${plain(offer.usd_per_hour)} an hour ({seen}); SkyPilot takes none that costs more"],
        ["  held", f"{duration(plan.held_seconds)} at most, {duration(plan.seconds)} of it measuring"],
        ["  cost", f"${plan.most_usd} at most"],
        ["  task", str(plan.folder / TASK)],
    ]
    lines = [page.heading("To rent, through SkyPilot"), *columns(rows, left=2)]
    lines += [line for note in plan.notes for line in page.wrap(note, first="  - ")]
    lines += [
        "",
        *page.wrap(
            "Nothing is bought without --yes. With it this is run, and then the machine is given back:", first=""
        ),
        f"  {shlex.join(plan.command)}",
        f"  {shlex.join(plan.ending)}",
    ]
    return page.finish(lines)


def launch_json(plan: LaunchPlan) -> dict[str, object]:
    """The same as JSON values; prices are text, as in the other documents."""
    offer = plan.offer
    return {
        "provider": offer.provider,
        "instance_type": offer.instance_type,
        "gpu": offer.gpu,
        "gpu_count": offer.gpu_count,
        "market": offer.market,
        "usd_per_hour": str(offer.usd_per_hour),
        "as_of": offer.as_of.isoformat() if offer.as_of else None,
        "max_seconds": plan.seconds,
        "held_seconds": plan.held_seconds,
        "max_usd": str(plan.most_usd),
        "task": str(plan.folder / TASK),
        "command": list(plan.command),
        "ending": list(plan.ending),
        "notes": list(plan.notes),
    }
