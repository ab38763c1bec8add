"""`lora-plan verify`: real training steps, and the estimate and the simulation held to them."""

from __future__ import annotations

import contextlib
import sys
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

import typer

from lora_plan.arguments import Arguments, Option
from lora_plan.commands.catalogue import helped
from lora_plan.errors import UsageError
from lora_plan.options import given_run, number, run_and_config
from lora_plan.output import write, write_error, write_json
from lora_plan.progress import ProgressBar
from lora_plan.run_options import RUN_OPTIONS
from planner.errors import InputError

if TYPE_CHECKING:
    from planner.catalogue import Gpu
    from planner.run import TrainingRun
    from planner.trainer_configs import Reading
    from profiler.measure.bounds import Bounds
    from profiler.measure.types import Measurement
    from profiler.simulate.types import Simulation
    from profiler.verification import Verification

NAME = "verify"
HELP = (
    "Runs a few real training steps of the run on this machine's GPU (or CPU), in a process of its own, and prints "
    "estimate, simulation and measurement on adjacent lines, with a verdict and the likely causes of what is off. "
    "Weights are made up on the device: nothing is downloaded. A model that does not fit is measured in slices of a "
    "few layers. What was measured is kept as a record (`lora-plan records`), which later plans of the same run use. "
    'Without a run it verifies a small one. What runs is installed with pip install "lora-plan[verify]".'
)

NOT_MET = 1
DEVICE, BOUNDS, OUTPUT, RENT = "Device", "Bounds", "Output", "Rented hardware"

DEFAULT_MODEL = "smollm2-135m"
DEFAULT_RUN: dict[str, object] = {"model": DEFAULT_MODEL, "sequence_length": 256}
"""What is verified where no run is given: small enough for a CPU, and for seconds on a GPU."""
NO_RUN = (
    "no run was given, so this is a small one; name yours: lora-plan verify --model llama-8b --method qlora, "
    "or --run FILE"
)

OPTIONS = (
    *RUN_OPTIONS,
    Option("device", "--device", DEVICE, "KIND", "cuda (ROCm too), xpu, mps or cpu. [default: the first there is]"),
    Option(
        "for_gpu",
        "--for",
        DEVICE,
        "NAME",
        "The card that the run is meant for, where it is not this one: memory carries over, time does not.",
    ),
    Option(
        "slice",
        "--slice",
        DEVICE,
        "",
        "Measure a few layers at full width, and extrapolate. [default: where the whole model does not fit]",
        negated=True,
    ),
    Option("weights", "--weights", DEVICE, "FOLDER", "Load these safetensors. [default: random weights]"),
    Option("doctor", "--doctor", DEVICE, "", "Say what is found on this machine, and measure nothing."),
    Option("max_steps", "--max-steps", BOUNDS, "N", "Steps at most, two to warm up included. [default: 10]"),
    Option("max_seconds", "--max-seconds", BOUNDS, "S", "Seconds at most, loading included. [default: 300]"),
    Option("max_usd", "--max-usd", BOUNDS, "USD", "Stop when it has cost so much."),
    Option("usd_per_hour", "--usd-per-hour", BOUNDS, "USD", "What this machine costs, for --max-usd."),
    Option("tolerance", "--tolerance", OUTPUT, "SHARE", "How far each may be off the measured peak. [default: 5%]"),
    Option("simulate", "--simulate", OUTPUT, "", "The simulation beside the measurement. [default: on]", negated=True),
    Option("record", "--record", OUTPUT, "", "Keep what was measured. [default: on]", negated=True),
    Option("json", "--json", OUTPUT, "", "Print JSON; sizes are in bytes."),
    Option("save_run", "--save-run", OUTPUT, "FILE", "Write the run to a .yaml, .toml or .json file."),
    Option(
        "launch", "--launch", RENT, "FOLDER", "Write a SkyPilot task there that verifies on a rented card (--for NAME)."
    ),
    Option("provider", "--provider", RENT, "NAME", "Rent from this provider, such as runpod. [default: the cheapest]"),
    Option("spot", "--spot", RENT, "", "Rent what may be taken away."),
    Option("yes", "--yes", RENT, "", "Really rent: without it nothing is bought."),
    Option("help", "--help", OUTPUT, "", "Print this."),
)

_RENTING = ("provider", "spot", "yes")
_MEASURING = ("device", "slice", "weights", "usd_per_hour", "simulate", "record", "tolerance")


def run(ctx: typer.Context, arguments: Arguments) -> int:
    """Verify the run that the options describe; gives the exit status."""
    if helped(ctx, arguments):
        return 0
    _check_options(arguments)
    if arguments.on("doctor"):
        return _doctor(arguments)
    # what is wrong with them is said before anything is written
    bounds, tolerance = _bounds(arguments), _tolerance(arguments.text("tolerance"))
    training, reading, notes = _training(arguments)
    if (file := arguments.text("save_run")) is not None:
        from planner.run import write_run

        write_run(training, file)
    if arguments.text("launch") is not None:
        return _launch(training, bounds, arguments)
    if (weights := arguments.text("weights")) is not None:
        from profiler.measure.weights import check_weights

        check_weights(weights)
    verification, record = _verified(training, bounds, tolerance, arguments)
    if arguments.on("json"):
        from reports.trainer_config import with_config
        from reports.verification_json import verification_json

        write_json(with_config(verification_json(verification, record=record), reading))
    else:
        from reports.page import page_of
        from reports.verification import verification_text

        write(verification_text(verification, page_of(sys.stdout), record=record, notes=notes, reading=reading))
    from profiler.judgement import OUTSIDE

    return NOT_MET if verification.verdict == OUTSIDE else 0


def _doctor(arguments: Arguments) -> int:
    from profiler.doctor.doctor import examine
    from reports.doctor import doctor_json, doctor_text

    diagnosis = examine()
    if arguments.on("json"):
        write_json(doctor_json(diagnosis))
    else:
        from reports.page import page_of

        write(doctor_text(diagnosis, page_of(sys.stdout)))
    return 0


def _check_options(arguments: Arguments) -> None:
    given = [option for option in OPTIONS if arguments[option.name] is not None]
    for option in given:
        flag = option.flag if arguments[option.name] is not False else option.flag.replace("--", "--no-", 1)
        if arguments.on("doctor") and option.name not in ("doctor", "json"):
            raise UsageError(f"--doctor measures nothing; leave out {flag}", field=option.name)
        if option.name in _RENTING and arguments["launch"] is None:
            raise UsageError(f"{flag} is for --launch; leave it out", field=option.name)
        if option.name in _MEASURING and arguments["launch"] is not None:
            raise UsageError(f"{flag} is not for --launch; leave it out", field=option.name)


def _training(arguments: Arguments) -> tuple[TrainingRun, Reading | None, list[str]]:
    """The run that the options describe, and what was read of a config; without options a small one, and a note."""
    given = given_run(arguments)
    if given.says_anything:
        training, reading = run_and_config(given)
        return training, reading, list(reading.notes) if reading is not None else []
    from planner.run import TrainingRun

    return TrainingRun(**DEFAULT_RUN), None, [NO_RUN]


def _launch(training: TrainingRun, bounds: Bounds, arguments: Arguments) -> int:
    """Write the task and say what it would cost; with --yes rent the machine, and give it back."""
    from pathlib import Path

    from lora_plan import __version__
    from lora_plan.launch import launch_plan, start
    from lora_plan.launch import write as write_task
    from lora_plan.launch_view import launch_json, launch_text

    card = arguments.text("for_gpu")
    if card is None:
        raise UsageError("--launch needs the card to rent; name it with --for", field="for_gpu")
    planned = launch_plan(
        training,
        card,
        folder=Path(arguments.text("launch") or ""),
        package=f"lora-plan[verify]=={__version__}",
        max_steps=bounds.max_steps,
        max_seconds=bounds.max_seconds,
        max_usd=_usd(arguments.text("max_usd"), "--max-usd"),
        provider=arguments.text("provider"),
        spot=arguments.on("spot"),
    )
    write_task(planned)
    if arguments.on("json"):
        write_json(launch_json(planned))
    else:
        from reports.page import page_of

        write(launch_text(planned, page_of(sys.stdout)))
    return (NOT_MET if start(planned) else 0) if arguments.on("yes") else 0


def _bounds(arguments: Arguments) -> Bounds:
    """The bounds that were given, and the usual ones for the rest; of rented hardware the offer has the price."""
    from profiler.measure.bounds import Bounds

    steps, seconds = arguments.text("max_steps"), arguments.text("max_seconds")
    usual = Bounds()
    return Bounds(
        max_steps=usual.max_steps if steps is None else _whole(steps, "--max-steps"),
        max_seconds=usual.max_seconds
        if seconds is None
        else number(seconds, "--max-seconds", "a number of seconds, such as 120"),
        max_usd=None if arguments["launch"] is not None else _usd(arguments.text("max_usd"), "--max-usd"),
        usd_per_hour=_usd(arguments.text("usd_per_hour"), "--usd-per-hour"),
    )


def _whole(text: str, flag: str) -> int:
    figure = number(text, flag, "a whole number, such as 10")
    if not figure.is_integer():
        raise InputError(f"{flag} must be a whole number, such as 10, not {text[:80]!r}", field="max_steps")
    return int(figure)


def _usd(text: str | None, flag: str) -> Decimal | None:
    from profiler.measure.bounds import check_usd

    if text is None:
        return None
    try:
        usd = Decimal(text.strip().removeprefix("$"))
    except InvalidOperation:
        field = flag.removeprefix("--").replace("-", "_")
        raise InputError(
            f"{flag} must be an amount in US dollars, such as 0.50, not {text[:80]!r}", field=field
        ) from None
    check_usd(usd, flag)
    return usd


def _tolerance(text: str | None) -> float:
    from profiler.verification import TOLERANCE

    if text is None:
        return TOLERANCE
    wanted = "a share, such as 5% or 0.05"
    share = number(text.strip().removesuffix("%"), "--tolerance", wanted) / (100 if text.strip().endswith("%") else 1)
    if not 0 <= share <= 1:
        raise InputError(f"--tolerance must be {wanted}, not {text[:80]!r}", field="tolerance")
    return share


def _verified(
    training: TrainingRun, bounds: Bounds, tolerance: float, arguments: Arguments
) -> tuple[Verification, str | None]:
    """The verification, and where its measurement is kept: from before the simulation on, whatever ends that."""
    from lora_plan.simulating import simulated
    from planner.catalogue import find_gpu
    from profiler.simulate.progress import silent
    from profiler.verify import verify

    card = arguments.text("for_gpu")
    quiet = arguments.on("json")
    records: list[str | None] = []

    def keep(measurement: Measurement) -> None:
        bar.close()
        if arguments["record"] is not False:
            records.append(_recorded(measurement))

    def simulator(run: TrainingRun, gpu: Gpu | None, live: bool) -> Simulation:
        return simulated(run, gpu, quiet=quiet, live=live)

    bar = ProgressBar()
    with contextlib.closing(bar):
        verification = verify(
            training,
            find_gpu(card).gpu if card is not None else None,
            device=arguments.text("device"),
            slices=None if arguments["slice"] is None else arguments.on("slice"),
            weights=arguments.text("weights"),
            bounds=bounds,
            tolerance=tolerance,
            simulator=simulator,
            with_simulation=arguments["simulate"] is not False,
            keep=keep,
            progress=silent if quiet else bar.tell,
            tell=write_error,
        )
    return verification, records[0] if records else None


def _recorded(measurement: Measurement) -> str | None:
    """Where the measurement is kept; what keeps it from that is one sentence on stderr."""
    import os
    from pathlib import Path

    from planner.catalogue.spelling import shown_path
    from planner.places import records_file
    from profiler.records.store import keep

    try:
        if records_file() == Path(os.devnull):
            return None
        record = keep(measurement)
    except InputError as error:
        write_error(str(error))
        return None
    return f"record {record.id[:8]} in {shown_path(records_file())}"
