"""The values of limits, as a limits file has them: GiB, percent, dollars, a span or a day."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation

from lora_plan.wishes import hours_until
from planner.errors import InputError
from planner.run.kinds import Choice, Number
from planner.run.wording import shown
from reports.checks.limits import Limits

LIMITS = ("verdict", "memory_gib", "headroom", "budget_usd", "deadline")
"""Their names."""

_PERCENT = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,6})?)\s*%")


def limits_of(given: Mapping[str, object], where: str, now: datetime) -> Limits:
    """The limits of a run. It is held to the verdict fits where nothing is said of it.

    where: what they stand in, for errors. now: from when the hours to a deadline count. Raises `InputError`.
    """
    said = {key: value for key, value in given.items() if value is not None}
    if "verdict" in given and not said:
        raise InputError(f"{where}: limits leave nothing to check; set one", field="limits")
    try:
        memory = said.get("memory_gib")
        return Limits(
            verdict=_verdict(given),
            memory_gib=None if memory is None else Number(0, 1e6, above_low=True).parse("memory_gib", memory),
            headroom=_headroom(said["headroom"]) if "headroom" in said else None,
            budget_usd=_budget(said["budget_usd"]) if "budget_usd" in said else None,
            deadline_hours=_deadline(said["deadline"], now) if "deadline" in said else None,
        )
    except InputError as error:
        raise InputError(f"{where}: {error}", field=error.field) from None


def _verdict(given: Mapping[str, object]) -> str | None:
    value = given.get("verdict", "fits")
    return None if value is None else Choice(("fits", "tight")).parse("verdict", value)


def _headroom(value: object) -> float:
    match = _PERCENT.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or float(match[1]) >= 100:
        raise InputError(
            f"headroom must be a share of the card's usable memory, such as 10%, not {shown(value)}", field="headroom"
        )
    return float(match[1]) / 100


def _budget(value: object) -> Decimal:
    try:
        usd = Decimal(str(value).strip().removeprefix("$").replace(",", "")) if not isinstance(value, bool) else None
    except (InvalidOperation, ValueError):
        usd = None
    if usd is None or not usd.is_finite() or usd <= 0:
        raise InputError(f"budget_usd must be US dollars above 0, such as 20, not {shown(value)}", field="budget_usd")
    return usd


def _deadline(value: object, now: datetime) -> float:
    if not isinstance(value, str):
        raise InputError(f"deadline must be a span such as 12h, 90min or 3d, not {shown(value)}", field="deadline")
    try:
        hours = hours_until(value, now)
    except InputError as error:
        raise InputError(str(error).removeprefix("--"), field="deadline") from None
    if hours <= 0:
        raise InputError("deadline leaves no time; give one above 0, such as 12h", field="deadline")
    return hours
