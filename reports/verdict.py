"""The first lines of a plan: whether it fits, and by how much."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from planner.plan import loaded_config
from planner.plan_types import Parameters, Plan, PlannedGpu
from planner.run import TrainingRun
from planner.units import format_count
from reports.figures import gib
from reports.page import Page
from reports.plan_words import reserved_figure
from reports.trainer_config import uncounted_lines

if TYPE_CHECKING:
    from planner.trainer_configs import Reading
    from profiler.simulate.types import Simulation

_WORDS = {"fits": ("FITS", "green"), "tight": ("TIGHT", "yellow"), "does_not_fit": ("DOES NOT FIT", "red")}
RAN_OUT = "but memory ran out when it was measured, as the notes say"
_METHODS = {
    "full": "full fine-tuning",
    "lora": "LoRA",
    "qlora": "QLoRA",
    "dora": "DoRA",
    "rslora": "rsLoRA",
    "ia3": "IA³",
    "prompt_tuning": "prompt tuning",
    "prefix_tuning": "prefix tuning",
    "p_tuning": "p-tuning",
    "ln_tuning": "layer-norm tuning",
    "trainable_tokens": "trainable tokens",
}


def verdict_section(plan: Plan, page: Page, reading: Reading | None = None) -> list[str]:
    """One line with the verdict, the run and the card; then the figures that it rests on, and what they leave out."""
    title = f"{model_title(plan.run)} {method_title(plan.run)}"
    figure = reserved_figure(plan)
    parameters = f"  {trained(plan.parameters)}"
    if plan.gpu is None or plan.verdict is None:
        return [
            page.style(title, "bold"),
            *page.wrap(
                f"{figure} at the peak; name a card with --gpu to see whether it fits, `lora-plan gpus` lists them"
            ),
            *uncounted_lines(reading, page),
            parameters,
        ]
    return [
        *verdict_line(plan.verdict, f"{title} on {plan.gpu.name}", page),
        *page.wrap(f"{figure} of {gib(plan.gpu.usable_bytes)} usable: {room(plan, plan.gpu)}"),
        *uncounted_lines(reading, page),
        *(page.wrap(RAN_OUT) if ran_out(plan) else []),
        parameters,
    ]


def ran_out(plan: Plan) -> bool:
    """Whether the verdict is what was measured, against figures that would have it fit."""
    if plan.gpu is None:
        return False
    within = plan.memory.allocated_interval_bytes.low <= plan.gpu.usable_bytes
    return plan.verdict == "does_not_fit" and within


def verdict_line(verdict: str, title: str, page: Page) -> list[str]:
    """The verdict in its colour, and what it is on."""
    word, colour = _WORDS[verdict]
    head, *more = page.wrap(f"{word}   {title}", first="", rest=" " * (len(word) + 3))
    return [
        page.style(word, "bold", colour) + page.style(head.removeprefix(word), "bold"),
        *(page.style(line, "bold") for line in more),
    ]


def verdict_title(verdict: str) -> str:
    """A verdict by itself: `DOES NOT FIT`."""
    return _WORDS[verdict][0]


def verdict_words(verdict: str) -> str:
    """A verdict within a sentence: `does not fit`."""
    return verdict.replace("_", " ")


def room(plan: Plan, gpu: PlannedGpu) -> str:
    """What the card has beyond the reserved peak: `23.3 GiB to spare`."""
    return to_spare(gpu.usable_bytes - plan.memory.peak_bytes.reserved)


def to_spare(gap: int) -> str:
    """Usable memory less what is reserved: `3.1 GiB to spare`, `0.8 GiB too much`."""
    return f"{gib(gap)} to spare" if gap >= 0 else f"{gib(-gap)} too much"


def trained(parameters: Parameters) -> str:
    total, trainable = parameters.total, parameters.trainable
    if trainable == total:
        return f"all {format_count(total)} parameters are trained"
    return f"{format_count(trainable)} of {format_count(total)} parameters are trained ({100 * trainable / total:.2g}%)"


def model_title(run: TrainingRun) -> str:
    """`Llama-3.1-70B` for a model of the catalogue; of any other, what the user wrote, without its folder."""
    loaded = loaded_config(run.model)
    if loaded.model is not None:
        return loaded.model.id.rpartition("/")[2]
    parts = [part for part in run.model.replace("\\", "/").split("/") if part]
    if parts and parts[-1] == "config.json":
        parts.pop()
    if not parts or parts[-1] in (".", ".."):
        path = Path(run.model).absolute()
        return Path(os.path.normpath(path.parent if path.name == "config.json" else path)).name or run.model
    return parts[-1]


def simulation_title(simulation: Simulation) -> str:
    """The model and the method, which a PEFT config can stand for."""
    return f"{model_title(simulation.run)} {simulation.peft_type or method_title(simulation.run)}"


def method_title(run: TrainingRun) -> str:
    """`QLoRA`, `LoRA (int8)`: the method, and the quantization where the method does not say it."""
    title = _METHODS.get(run.method, run.method)
    usual = "nf4" if run.method == "qlora" else "none"
    return title if run.quantization == usual else f"{title} ({run.quantization})"
