"""The options of a search beside the run and the job: budget, deadline, cards, providers."""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

from lora_plan.arguments import Arguments, Option
from lora_plan.options import number
from lora_plan.run_options import GPU
from planner.errors import InputError

if TYPE_CHECKING:
    from pricing.wishes import Wishes

LIMITS, OFFERS = "Limits", "Offers"

WISH_OPTIONS = (
    Option("budget", "--budget", LIMITS, "USD", "At most this for the whole job."),
    Option("deadline", "--deadline", LIMITS, "WHEN", "As 12h, 90min, 3d, or the last day: 2026-11-30."),
    Option("gpu", "--gpu", GPU, "NAME", "A card to search; may be given again. [default: all]", repeated=True),
    Option("gpu_memory", "--gpu-memory", GPU, "GB", "Cards of at most this much memory, as 24."),
    Option("max_gpus", "--max-gpus", GPU, "N", "At most so many cards."),
    Option("num_gpus", "--gpus", GPU, "N", "Exactly so many cards."),
    Option("strategy", "--strategy", GPU, "NAME", "Of several cards. [default: ddp and fsdp]"),
    Option("provider", "--provider", OFFERS, "NAME", "Such as aws or runpod; may be given again.", repeated=True),
    Option("market", "--market", OFFERS, "KIND", "on-demand, spot or community; may be given again.", repeated=True),
)

_SPAN = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,6})?)\s*(m|min|minutes?|h|hours?|d|days?)", re.IGNORECASE)
_HOURS = {"m": 1 / 60, "h": 1.0, "d": 24.0}


def wishes_of(arguments: Arguments, now: datetime | None = None) -> Wishes:
    """What was asked for. Raises `InputError` naming the flag."""
    from pricing.wishes import Wishes

    memory, deadline = arguments.text("gpu_memory"), arguments.text("deadline")
    return Wishes(
        methods=tuple(arguments.texts("method")),
        budget=_usd(arguments.text("budget")),
        deadline_hours=None if deadline is None else hours_until(deadline, now or datetime.now()),
        gpus=tuple(arguments.texts("gpu")),
        gpu_memory_gb=None if memory is None else number(memory, "--gpu-memory", "a number of gigabytes, such as 24"),
        max_gpus=_whole(arguments.text("max_gpus")),
        providers=tuple(arguments.texts("provider")),
        markets=tuple(text.strip().lower().replace("_", "-") for text in arguments.texts("market")),
    )


def hours_until(text: str, now: datetime) -> float:
    """The hours that a deadline leaves: a span, or a day, to whose end it is. Raises `InputError`."""
    span = _SPAN.fullmatch(text.strip())
    if span is not None:
        return float(span[1]) * _HOURS[span[2][0].lower()]
    try:
        day = date.fromisoformat(text.strip())
    except ValueError:
        from planner.run.wording import shown

        raise InputError(
            f"--deadline must be a span such as 12h, 90min or 3d, or a day such as 2026-11-30, not {shown(text)}",
            field="deadline",
        ) from None
    if day < now.date():
        raise InputError(
            f"--deadline is {day.isoformat()}, which is past; give a day from {now.date().isoformat()} on",
            field="deadline",
        )
    if day == date.max:
        return float("1e9")
    return (datetime.combine(day + timedelta(days=1), time()) - now.replace(tzinfo=None)) / timedelta(hours=1)


def _usd(text: str | None) -> Decimal | None:
    if text is None:
        return None
    try:
        return Decimal(text.strip().removeprefix("$").replace(",", ""))
    except InvalidOperation:
        from planner.run.wording import shown

        raise InputError(f"--budget must be US dollars, such as 50, not {shown(text)}", field="budget") from None


def _whole(text: str | None) -> int | None:
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,6}", text.strip()):
        from planner.run.wording import shown

        raise InputError(f"--max-gpus must be a whole number from 1, not {shown(text)}", field="max_gpus")
    return int(text)
