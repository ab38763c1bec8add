"""Whether a record is still of what would run now."""

from __future__ import annotations

from planner.catalogue.spelling import shown
from planner.run import TrainingRun
from profiler.records.here import Here
from profiler.records.key import READS_ONLY, minor, settings
from profiler.records.record import Record


def changes(record: Record, run: TrainingRun, here: Here) -> list[str]:
    """What has another version or setting now than when the record was made, a phrase each.

    A release that the run names goes before the one that is installed. A library that is not installed here is not
    compared (`unchecked`), and neither is a driver that cannot be told.
    """
    asked = {"transformers": run.transformers_version, "peft": run.peft_version}
    found: list[str] = []
    for name, then in record.measurement.versions:
        if name in READS_ONLY:
            continue
        wanted, installed = asked.get(name), here.versions.get(name)
        if wanted is not None:
            if not _same(then, wanted):
                found.append(f"{name} {then} (the run asks for {wanted})")
        elif name == "python":
            # whose Python it is tells nothing of the stack where there is no torch
            if installed is not None and "torch" in here.versions and minor(then) != minor(installed):
                found.append(f"Python {then} ({installed} is here now)")
        elif installed is not None and not _same(then, installed):
            found.append(f"{name} {then} ({installed} is installed now)")
    driver = record.measurement.device.driver
    if driver is not None and here.driver is not None and driver != here.driver:
        found.append(f"driver {driver} ({here.driver} is installed now)")
    then_set, now_set = dict(record.environment), dict(settings(here.environment, record.measurement.device.kind))
    for name in sorted(then_set.keys() | now_set.keys()):
        if then_set.get(name) != now_set.get(name):
            found.append(f"{_setting(name, then_set)} ({_setting(name, now_set)} now)")
    return found


def unchecked(record: Record, run: TrainingRun, here: Here) -> list[str]:
    """Libraries that a record ran on and that are neither installed here nor named by the run."""
    asked = {"transformers": run.transformers_version, "peft": run.peft_version}
    return [
        name
        for name, _ in record.measurement.versions
        if name not in (*READS_ONLY, "python") and name not in here.versions and asked.get(name) is None
    ]


def _same(one: str, other: str) -> bool:
    """Whether two versions are one release: `+cu130` counts only where both say such a thing."""
    if "+" in one and "+" in other:
        return one == other
    return one.partition("+")[0] == other.partition("+")[0]


def _setting(name: str, values: dict[str, str]) -> str:
    return f"{name}={shown(values[name])}" if name in values else f"{name} not set"
