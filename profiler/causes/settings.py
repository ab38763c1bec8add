"""The run is not what it was said to be: the formulas with one setting changed, held to what was measured."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from planner.errors import Abstention, InputError
from planner.memory.ledger import Ledgers
from planner.plan import plan_memory, resolve
from planner.run import TrainingRun
from planner.versions import TRANSFORMERS, behaviours
from profiler.causes.evidence import CLOSE, Evidence, Gap

Change = tuple[dict[str, object], str]
"""Fields of a run, and what a run is like that has them so."""


def other_setting(evidence: Evidence, gap: Gap) -> str | None:
    """The change of one setting or version that moves this line by as much, and all lines nearer to the measurement."""
    memory = evidence.measurement.memory
    if "formula" not in gap.columns or memory is None or evidence.plan is None:
        return None
    run = evidence.plan.run
    planned = _components(run, memory.instant)
    if planned is None:
        return None
    measured = memory.peak.components
    best, reason = _apart(planned, measured), None
    for fields, text in _changes(run, dict(evidence.measurement.versions)):
        changed = _components_with(run, fields, memory.instant)
        if changed is None:
            continue
        moved = changed.get(gap.line, 0) - planned.get(gap.line, 0)
        apart = _apart(changed, measured)
        if abs(moved - gap.more) <= CLOSE * abs(gap.more) and apart < best:
            best, reason = apart, text
    return reason


def _changes(run: TrainingRun, versions: Mapping[str, str]) -> Iterator[Change]:
    yield from _releases(run, versions)
    if run.quantization != "none":
        cast = "did not cast" if run.prepare_kbit else "had cast"
        yield (
            {"prepare_kbit": not run.prepare_kbit},
            f"as if prepare_model_for_kbit_training {cast} the unquantized parameters to float32",
        )
        yield {"double_quant": not run.double_quant}, f"as with double_quant {_on(not run.double_quant)}"
        unquantized: dict[str, object] = {
            "quantization": "none",
            "method": "lora" if run.method == "qlora" else run.method,
        }
        yield unquantized, "as if the base had not been quantized"
    for name in ("adapter_dtype", "base_dtype"):
        for dtype in ("float32", "bfloat16"):
            yield {name: dtype}, f"as with {name} {dtype}"
    checkpointing = not run.gradient_checkpointing
    yield {"gradient_checkpointing": checkpointing}, f"as with gradient checkpointing {_on(checkpointing)}"
    yield {"use_reentrant": not run.use_reentrant}, f"as with use_reentrant {_on(not run.use_reentrant)}"
    for attention in ("eager", "sdpa", "flash_attention_2"):
        yield {"attention": attention}, f"as with {attention} attention in place of {run.attention}"
    yield {"kernels": "hf"}, f"as without the kernels of {run.kernels}"
    yield {"kernels": "liger"}, "as with Liger's kernels"
    yield {"trainer": "plain"}, "as in a loop that keeps a step's outputs until the next ones are there"
    yield {"mixed_precision": "no"}, "as without autocast"
    for optimizer in ("adamw_torch", "adamw_torch_fused", "adamw_bnb_8bit"):
        yield {"optimizer": optimizer}, f"as with {optimizer} in place of {run.optimizer}"


def _releases(run: TrainingRun, versions: Mapping[str, str]) -> Iterator[Change]:
    """The run with the releases that are installed."""
    for library in ("transformers", "peft"):
        found = re.match(r"\d+\.\d+(\.\d+)?", versions.get(library, ""))
        name = f"{library}_version"
        if found and found.group() != getattr(run, name):
            planned = getattr(run, name) or "the newest"
            does = _does(run, found.group()) if library == "transformers" else ""
            yield {name: found.group()}, f"{library} {found.group()} ran where {planned} is planned{does}"


def _does(run: TrainingRun, version: str) -> str:
    """What a release of transformers does with the model that the newest does not."""
    try:
        names = behaviours(version, resolve(run.model)[1].model_type)
    except (InputError, Abstention):
        return ""
    return "".join(f"; {behaviour.what}" for behaviour in TRANSFORMERS if behaviour.name in names)


def _components_with(run: TrainingRun, fields: dict[str, object], instant: str) -> dict[str, int] | None:
    try:
        changed = run.replace(**fields)
    except InputError:
        return None
    return None if changed == run else _components(changed, instant)


def _components(run: TrainingRun, instant: str) -> dict[str, int] | None:
    """The formulas' ledger at an instant; None where there is none."""
    try:
        memory: Ledgers = plan_memory(run)
    except (InputError, Abstention):
        return None
    return next((at.components for at in memory.instants if at.name == instant), None)


def _apart(said: Mapping[str, int], measured: Mapping[str, int]) -> int:
    # workspaces are the card's
    names = (said.keys() | measured.keys()) - {"runtime"}
    return sum(abs(said.get(name, 0) - measured.get(name, 0)) for name in names)


def _on(value: bool) -> str:
    return "on" if value else "off"
