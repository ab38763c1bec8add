"""`lora-plan simulate`: the real training stack on fake tensors, and the estimate beside it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from lora_plan.arguments import Arguments, Option
from lora_plan.card import RUN_AND_CARD_OPTIONS, card_of, check_card
from lora_plan.commands.catalogue import helped
from lora_plan.errors import UsageError
from lora_plan.options import given_run, run_and_config
from lora_plan.output import write, write_json
from lora_plan.run_options import METHOD
from planner.errors import Abstention, InputError

if TYPE_CHECKING:
    from planner.catalogue import Gpu
    from planner.plan_types import Plan
    from planner.run import TrainingRun
    from planner.trainer_configs import Reading
    from profiler.simulate.allocator import AllocatorSettings
    from profiler.simulate.types import Simulation

NAME = "simulate"
HELP = (
    "Runs the real training stack (transformers, PEFT, bitsandbytes, the optimizer) on fake tensors, replays "
    "what it allocates through PyTorch's caching allocator, and prints the estimate beside what that says. No "
    'GPU is needed, and no weights; what runs is installed with pip install "lora-plan[verify]". Seconds the '
    "first time; the same run again comes from the cache, a folder that LORA_PLAN_CACHE can name."
)

NOT_MET = 1
SIMULATION, OUTPUT = "Simulation", "Output"

OPTIONS = (
    *RUN_AND_CARD_OPTIONS,
    Option(
        "peft_config",
        "--peft-config",
        SIMULATION,
        "FILE",
        "An adapter_config.json, or its folder, in place of the options of the method: any PEFT method.",
    ),
    Option(
        "full_depth", "--full-depth", SIMULATION, "", "Run every layer; without it, a few stand for those like them."
    ),
    Option(
        "alloc_conf",
        "--alloc-conf",
        SIMULATION,
        "TEXT",
        "The allocator's settings, as expandable_segments:True. PYTORCH_CUDA_ALLOC_CONF itself is not read.",
    ),
    Option("no_cache", "--no-cache", SIMULATION, "", "Simulate anew, and keep nothing on disk."),
    Option(
        "reconcile",
        "--reconcile",
        OUTPUT,
        "",
        "The estimate beside the simulation, component by component. [default: on]",
        negated=True,
    ),
    Option("timeline", "--timeline", OUTPUT, "FILE", "Draw live and reserved bytes over a step: .png or .svg."),
    Option(
        "export",
        "--export",
        OUTPUT,
        "FILE",
        "Write the replay for pytorch.org/memory_viz: .pickle, or the same as .json.",
    ),
    Option("json", "--json", OUTPUT, "", "Print JSON; sizes are in bytes."),
    Option("check", "--check", OUTPUT, "", "Exit with status 1 unless the verdict is FITS."),
    Option("save_run", "--save-run", OUTPUT, "FILE", "Write the run to a .yaml, .toml or .json file."),
    Option("help", "--help", OUTPUT, "", "Print this."),
)


def run(ctx: typer.Context, arguments: Arguments) -> int:
    """Simulate the run that the options describe; gives the exit status."""
    if helped(ctx, arguments):
        return 0
    _check_options(arguments)
    training, reading = run_and_config(given_run(arguments))
    card = card_of(arguments)
    settings = _settings(arguments.text("alloc_conf"))
    if (file := arguments.text("save_run")) is not None:
        from planner.run import write_run

        write_run(training, file)
    # before the simulation: what is wrong with a run is said in less than a second
    estimate, abstained = _estimate(training, card, arguments)
    simulation = _simulation(training, card, settings, arguments)
    if (file := arguments.text("timeline")) is not None:
        from reports.timeline_picture import write_timeline

        write_timeline(simulation, Path(file))
    _print(simulation, estimate, abstained, reading, arguments)
    return NOT_MET if arguments.on("check") and simulation.verdict != "fits" else 0


def _check_options(arguments: Arguments) -> None:
    check_card(arguments)
    if arguments["peft_config"] is not None:
        for option in OPTIONS:
            if option.panel == METHOD and arguments[option.name] is not None:
                raise UsageError(
                    f"--peft-config stands for the method and its options; leave out {option.flag}", field=option.name
                )
    if (file := arguments.text("export")) is not None:
        from profiler.simulate.export import snapshot_format

        snapshot_format(Path(file))
    if (file := arguments.text("timeline")) is not None:
        from reports.timeline_picture import FORMATS

        if Path(file).suffix.lower().removeprefix(".") not in FORMATS:
            raise UsageError(f"--timeline writes .png and .svg files, not {file[:80]!r}", field="timeline")


def _settings(text: str | None) -> AllocatorSettings | None:
    if text is None:
        return None
    from profiler.simulate.allocator.conf import parse_allocator_conf

    try:
        return parse_allocator_conf(text)
    except InputError as error:
        raise InputError(f"--alloc-conf: {error}", field="alloc_conf") from None


def _estimate(training: TrainingRun, card: Gpu | str | None, arguments: Arguments) -> tuple[Plan | None, str | None]:
    """The plan of the same run, or the reason that there is none; neither where it was not asked for."""
    if arguments["reconcile"] is False:
        return None, None
    if arguments["peft_config"] is not None:
        return None, "the formulas are for the methods of --method, not for --peft-config"
    from planner.plan import plan

    try:
        return plan(training, card), None
    except Abstention as error:
        return None, error.reason


def _simulation(
    training: TrainingRun, card: Gpu | str | None, settings: AllocatorSettings | None, arguments: Arguments
) -> Simulation:
    from lora_plan.simulating import simulated

    export = arguments.text("export")
    return simulated(
        training,
        card,
        quiet=arguments.on("json"),
        cached=not arguments.on("no_cache"),
        export=None if export is None else Path(export),
        peft_config=arguments.text("peft_config"),
        full_depth=arguments.on("full_depth"),
        settings=settings,
    )


def _print(
    simulation: Simulation,
    estimate: Plan | None,
    abstained: str | None,
    reading: Reading | None,
    arguments: Arguments,
) -> None:
    if arguments.on("json"):
        from profiler.reconcile import reconcile
        from reports.json import simulation_json
        from reports.trainer_config import with_config

        reconciliation = reconcile([estimate.memory, simulation.memory]) if estimate else None
        write_json(with_config(simulation_json(simulation, reconciliation, abstained), reading))
    else:
        from reports.page import page_of
        from reports.simulation import simulation_text

        page = page_of(sys.stdout)
        reconciled = arguments["reconcile"] is not False
        write(simulation_text(simulation, estimate, abstained, page, reconcile=reconciled, reading=reading))
