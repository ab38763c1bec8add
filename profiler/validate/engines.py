"""The two ways to predict a record: the planner's formulas, and a simulation of what its libraries do."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from planner.catalogue.spelling import shown_path
from planner.errors import Abstention, InputError
from planner.memory.ledger import Interval, Ledgers
from planner.plan import plan_memory
from planner.versions import Version, major_minor
from profiler.corpus.adapter_config import peft_config
from profiler.corpus.counted import published_count
from profiler.corpus.mapping import Stated, carrier_run, stated_run
from profiler.corpus.not_covered import NotCovered
from profiler.corpus.record import CPU, Record
from profiler.reconcile import without_runtime
from profiler.validate.unknown import alternatives

if TYPE_CHECKING:
    from profiler.simulate.types import Simulation


@dataclass(frozen=True, slots=True)
class Prediction:
    """What an engine says of a record."""

    memory: Ledgers
    intervals: Mapping[str, Interval]
    """Level -> where it expects the measurement; none where it states no intervals."""
    unknown: tuple[str, ...]
    """Fields of the run that move memory and that nothing states."""


Engine = Callable[[Record], Prediction]
"""Raises `Abstention` for a record that it does not predict, `NotCovered` where it has nothing of what the record
trains, and `InputError` where the record's settings do not go together."""

RENAMED: Mapping[str, str] = {"BONE": "MISS"}
"""PEFT's name of a method, until it got another: `BoneConfig` was deprecated for `MissConfig`, into which
`scripts/convert-bone-to-miss.py` of PEFT turns its files, and removed in 0.19."""

SINCE: Mapping[str, Version] = {
    # the PEFT suite's files of rank 32 have 66,533,232 bytes by 0.15.2.dev0, and 32,693,568 by 0.19.2.dev0, which is
    # what 0.21.2 trains
    "OFT": (0, 19),
    # its run of rank 128 rests at 16.4 GB by 0.19.2.dev0; 0.21.2 keeps of the larger factors only the one that is not
    # square (`peft/tuners/osf/layer.py`, line 121), and does not put the weight together again in each forward pass
    "OSF": (0, 21),
}
"""Method -> the oldest PEFT that is known to do it as the installed one does."""


def planned(record: Record) -> Prediction:
    """The record planned; the intervals hold those of the other runs that it may have been too."""
    stated = stated_run(record)
    memory = plan_memory(stated.run, stated.gpu)
    intervals = {item.level: item for item in (memory.allocated_interval_bytes, memory.interval_bytes)}
    if record.gpu == CPU:
        # live tensors, of which no interval is stated
        return Prediction(without_runtime(memory), {}, stated.unknown)
    for run in alternatives(stated.run, stated.unknown):
        try:
            other = plan_memory(run, stated.gpu)
        except (Abstention, InputError):
            continue
        for item in (other.allocated_interval_bytes, other.interval_bytes):
            known = intervals[item.level]
            intervals[item.level] = replace(known, low=min(known.low, item.low), high=max(known.high, item.high))
    return Prediction(memory, intervals, stated.unknown)


def simulated(record: Record) -> Prediction:
    """The record simulated, on its card where the catalogue has that.

    An adapter whose config was published is built from it, and so is one of a method that the planner does not have,
    of what the record states and PEFT's defaults for the rest. Either stands only if it trains as many parameters as
    the record publishes.
    """
    try:
        config = None if record.adapter_config is None else peft_config(record)
        stated = stated_run(record) if config is None else carrier_run(record)
    except NotCovered:
        if record.quantization not in (None, "none"):
            raise
        config, stated = peft_config(record), carrier_run(record)
    if config is not None:
        _check_version(config, stated.run.peft_version)
    simulation = _simulation(stated, config)
    _check(record, simulation, of_columns=config is not None and record.adapter_config is None)
    return Prediction(simulation.memory, {}, stated.unknown)


ENGINES: Mapping[str, Engine] = {"plan": planned, "simulate": simulated}


def _simulation(stated: Stated, config: Mapping[str, object] | None) -> Simulation:
    from profiler.simulate.simulate import simulate

    if config is None:
        return simulate(stated.run, stated.gpu, live=stated.on_cpu)
    renamed = {**config, "peft_type": RENAMED.get(str(config.get("peft_type")), config.get("peft_type"))}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "adapter_config.json"
        file.write_text(json.dumps(renamed), encoding="utf-8")
        try:
            return simulate(stated.run, stated.gpu, peft_config=str(file), live=stated.on_cpu)
        except InputError as error:
            # the record's reason, without the file that stood for it here and what to do about that
            reason = str(error).removeprefix(f"{shown_path(file)}: ").split("; ")[0]
            kind = NotCovered if "has no peft_type" in reason else Abstention
            raise kind(reason) from None


def _check(record: Record, simulation: Simulation, *, of_columns: bool) -> None:
    """Raise `Abstention` unless what was simulated trains as much as the record publishes.

    of_columns: the adapter is made of the record's columns alone, so that something has to be published.
    """
    trained, published = simulation.parameters.trainable, published_count(record.note)
    if published is not None:
        if published != trained:
            raise Abstention(f"its settings train {trained:,} parameters, but it publishes {published:,}")
    elif of_columns:
        raise Abstention("nothing published tells whether PEFT's defaults are its settings")


def _check_version(config: Mapping[str, object], peft: str | None) -> None:
    """Raise `Abstention` where the record's PEFT did the same method otherwise than the installed one."""
    peft_type = str(config.get("peft_type"))
    since = SINCE.get(peft_type)
    if since is not None and peft is not None and major_minor(peft) < since:
        raise Abstention(f"PEFT {peft} did {peft_type.lower()} otherwise than the PEFT that is installed")
