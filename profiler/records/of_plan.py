"""`measured_plan`: a plan with what the user's records say of its run."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from planner.errors import InputError
from planner.places import stored_file
from planner.plan_types import Plan

if TYPE_CHECKING:  # a plan without records is not to wait for what reads them
    from profiler.records.record import Record

RECORDS = 8
"""How many records of a run are looked at, the newest first: each takes a few milliseconds to check."""


def measured_plan(planned: Plan) -> tuple[Plan, Record | None]:
    """The plan with the user's record of its run in place of the estimate, and that record; where there is none, as it
    is. Where the records cannot be read a note says why."""
    file = stored_file()
    if file is None or planned.gpu is None:
        return planned, None
    from profiler.records.calibrate import calibrated, chosen, plan_key
    from profiler.records.here import look
    from profiler.records.store import read

    try:
        records = read(file, plan_key(planned), newest=RECORDS).records
    except InputError as error:
        return replace(planned, notes=(*planned.notes, f"Records are not used: {error}")), None
    if not records:
        return planned, None
    here = look({name for record in records for name, _ in record.measurement.versions})
    return calibrated(planned, records, here), chosen(planned, records, here)
