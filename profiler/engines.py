"""The two ways to predict a row of the corpus: the planner's formulas, and a simulation of the row's own loop."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from planner.catalogue.spelling import shown_path
from planner.errors import Abstention, InputError
from planner.memory.ledger import Interval, Levels
from planner.methods import METHODS
from planner.plan import loaded_config, plan
from planner.run import TrainingRun
from planner.run.contradictions import inapplicable
from profiler.rows import PEFT_SUITE, SFT_TRAINER, Row, run_of, setting_of


class Prediction(NamedTuple):
    """What an engine says of a row."""

    levels: Levels
    interval: Interval | None
    """Where the planner expects the measurement."""


Engine = Callable[[Row], Prediction]
"""Raises `InputError` or `Abstention` for rows that it cannot predict."""


def planned(row: Row) -> Prediction:
    """The row planned: `Trainer`'s loop, and the versions of the libraries that the planner knows."""
    memory = plan(run_of(row), row["gpu"]).memory
    return Prediction(memory.peak_bytes, memory.interval_bytes)


def simulated(row: Row) -> Prediction:
    """The row simulated with its card: its source's loop, and what the row's version of transformers does.

    Methods that the planner does not have are built of the settings that the row states and PEFT's defaults for the
    rest, and stand only if they train as many parameters as the row publishes.
    """
    from profiler.simulate.simulate import simulate

    config = adapter_config(row)
    run = run_of(row) if config is None else _carrier(row)
    loop, fields = loop_of(row, run)
    run = run.replace(**fields)
    with tempfile.TemporaryDirectory() as folder:
        file = None
        if config is not None:
            file = Path(folder) / "adapter_config.json"
            file.write_text(json.dumps(config), encoding="utf-8")
        try:
            simulation = simulate(run, row["gpu"], peft_config=None if file is None else str(file), loop=loop)
        except InputError as error:
            # the row's reason, without the file that stood for it here and what to do about that
            reason = str(error) if file is None else str(error).removeprefix(f"{shown_path(file)}: ")
            raise Abstention(reason.split("; ")[0]) from None
    _check(row, simulation.parameters.trainable, stated=config is None)
    return Prediction(simulation.memory.peak_bytes, None)


ENGINES: dict[str, Engine] = {"plan": planned, "simulate": simulated}


def loop_of(row: Row, run: TrainingRun) -> tuple[Any, dict[str, Any]]:
    """The `Loop` that a row was trained by, and the fields of its run that its version of transformers set otherwise.

    Raises `Abstention` for a version that has not been read.
    """
    from profiler.simulate.build.versions import behaviours, peft_module_casting_to_bf16
    from profiler.simulate.trace.loop import Loop

    fields: dict[str, Any] = {}
    prepare: list[Callable[[Any], None]] = []
    if row["source"] == SFT_TRAINER and run.prepare_kbit and run.mixed_precision == "bf16":
        prepare.append(peft_module_casting_to_bf16)
    if row["transformers"]:
        unused = inapplicable(run)
        loaded = loaded_config(run.model)
        for behaviour in behaviours(row["transformers"], str(loaded.config["model_type"])):
            fields |= {name: value for name, value in behaviour.run.items() if name not in unused}
            if behaviour.prepare is not None:
                prepare.append(behaviour.prepare)
    suite = row["source"] == PEFT_SUITE
    return Loop(tuple(prepare), keeps_outputs=suite, zero_grad_first=suite), fields


def adapter_config(row: Row) -> dict[str, object] | None:
    """What a row of the PEFT suite states of a method that the planner does not have; None for any other row.

    Keys that a method does not have are ignored by PEFT.
    """
    if row["source"] != PEFT_SUITE or row["method"] in METHODS or row["method"] == "lora (rslora)":
        return None
    config: dict[str, object] = {"peft_type": row["method"].upper()}
    if row["rank"]:
        config["r"] = int(float(row["rank"]))
    if row["alpha"]:
        config |= {"lora_alpha": float(row["alpha"]), "alpha": float(row["alpha"])}
    if row["target_modules"]:
        config["target_modules"] = row["target_modules"].split()
    return config


def _carrier(row: Row) -> TrainingRun:
    """The run whose method is replaced by an adapter config."""
    if row["optimizer"] != "AdamW":
        raise Abstention("an optimizer that the planner does not have")
    same = row["adapter_dtype"].startswith("same as base")
    fields: dict[str, object] = {
        "method": "lora",
        "optimizer": "adamw_torch",
        "adapter_dtype": row["base_dtype"] if same else row["adapter_dtype"],
    }
    return TrainingRun(**(setting_of(row) | fields))


def _check(row: Row, trainable: int, *, stated: bool) -> None:
    """Raise `Abstention` unless what was simulated trains as many parameters as the row says."""
    published = re.search(r"num_trainable_params=(\d+)", row["note"])
    if published is None:
        if stated:
            return
        raise Abstention("nothing published tells whether PEFT's defaults are the row's settings")
    if int(published[1]) != trainable:
        raise Abstention("with PEFT's defaults for what the row leaves out another number of parameters is trained")
