"""`lora-plan report`: a cost report in Markdown or HTML, or the difference between runs."""

from __future__ import annotations

import gc
import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from lora_plan.arguments import Arguments, Option
from lora_plan.card import RUN_AND_CARD_OPTIONS, card_of, check_card
from lora_plan.commands.catalogue import helped
from lora_plan.errors import UsageError
from lora_plan.job_options import JOB_OPTIONS, job_of
from lora_plan.options import given_run, run_and_config
from lora_plan.output import write
from lora_plan.run_options import GPU, RUN_OPTIONS
from planner.errors import InputError

if TYPE_CHECKING:
    from datetime import date

    from lora_plan.report_files import Kind
    from planner.catalogue import Gpu
    from planner.job import Job
    from planner.run import TrainingRun
    from planner.trainer_configs import Reading
    from pricing.offer import Offer
    from profiler.records.record import Record
    from profiler.simulate.types import Simulation
    from reports.documents.blocks import Document

NAME = "report"
HELP = (
    "Writes a cost report on a run, to put into a pull request or to send to whoever pays: whether it fits, memory by "
    "component, hours and dollars on each offer with its price's date and source, what was simulated and measured of "
    "it, what else would do, and how to make the report again. In Markdown, or with --html as one page with charts. "
    "With --compare, what other runs need more or less than the first one."
)

CONTENT, OUTPUT = "Content", "Output"

OPTIONS = (
    *RUN_AND_CARD_OPTIONS,
    *JOB_OPTIONS,
    Option("simulate", "--simulate", CONTENT, "", "Simulate the run too, on the real training stack."),
    Option("record", "--record", CONTENT, "ID", "On what was measured: a record that `lora-plan records` lists."),
    Option("compare", "--compare", CONTENT, "", "Compare runs: FILEs with runs or trainers' configs."),
    Option("html", "--html", OUTPUT, "", "One HTML page that needs nothing else."),
    Option(
        "output", "--output", OUTPUT, "FILE", "Write the report there, and its pictures beside it. [default: print]"
    ),
    Option("png", "--png", OUTPUT, "", "Pictures as PNG. [default: SVG]"),
    Option("force", "--force", OUTPUT, "", "Write over files that are no report of lora-plan."),
    Option("help", "--help", OUTPUT, "", "Print this."),
)

_CARD = tuple(option for option in RUN_AND_CARD_OPTIONS if option.panel == GPU and option not in RUN_OPTIONS)
"""The options that name a card, which are no part of a run."""


def run(ctx: typer.Context, arguments: Arguments) -> int:
    """Report on the run that the options describe; gives the exit status."""
    if helped(ctx, arguments):
        return 0
    output = arguments.text("output")
    path = None if output is None else Path(output)
    as_html = _as_html(arguments, path)
    if arguments.on("compare"):
        from lora_plan.compare import compare

        return compare(arguments.words(), arguments, path, as_html=as_html)
    if arguments.words():
        raise UsageError(
            "files to compare need --compare; a run is given by --run, --config or options", field="compare"
        )
    if path is not None:
        from lora_plan.report_files import check_output

        # before anything is worked out
        check_output(path, as_html=as_html, force=arguments.on("force"))
    kind = None if path is None and not as_html else "png" if arguments.on("png") else "svg"
    _write(_document(arguments, kind), path, arguments, as_html=as_html)
    if not gc.isenabled():
        gc.freeze()  # as the process ends, Python looks for cycles among all that matplotlib made
    return 0


def _as_html(arguments: Arguments, path: Path | None) -> bool:
    """Whether a page is asked for. Raises `UsageError` for options that go with something else."""
    ending = path.suffix.lower() if path is not None else ""
    as_html = arguments.on("html") or ending in (".html", ".htm")
    if arguments.on("html") and ending in (".md", ".markdown"):
        raise UsageError(f"--html writes a page, not {ending}; name a .html file, or leave it out", field="html")
    if arguments.on("png") and not arguments.on("compare") and (as_html or path is None):
        raise UsageError(
            "--png is for the pictures beside a Markdown file; name that with --output FILE.md", field="png"
        )
    if arguments.on("force") and path is None:
        raise UsageError("--force is about a file; name it with --output", field="force")
    return as_html


def _document(arguments: Arguments, kind: Kind | None) -> Document:
    """The report. kind: of the pictures that will be drawn of it."""
    from lora_plan import __version__
    from lora_plan.beside import beside
    from lora_plan.today import today
    from reports.cost_report.other_ways import other_ways

    record = _record(arguments)
    training, card, reading = _of_record(record) if record is not None else _of_options(arguments)
    job = job_of(arguments, reading)
    if job is not None:
        from planner.job import run_for

        training = run_for(training, job)
    day = today()
    offers = _offers(day)
    with beside(lambda: offers if isinstance(offers, str) else other_ways(training, job, offers, day)) as others:
        # only now, as reading them takes longer than the plan
        from reports.cost_report.document import document
        from reports.cost_report.gather import gather

        report = gather(
            training,
            card,
            job,
            reading=reading,
            record=record,
            simulator=_simulated if arguments.on("simulate") else None,
            offers=offers,
            command=_command(arguments, job, reading),
            today=day,
            version=__version__,
        )
        if kind is not None:
            from lora_plan.report_files import draw_ahead

            draw_ahead(document(report), kind)
        return document(replace(report, others=others()))


def _offers(day: date) -> tuple[Offer, ...] | str:
    """The offers that are known, or why they cannot be read."""
    from pricing.sheets import offers

    try:
        return offers(today=day)
    except InputError as error:
        return f"What it costs is not shown: {error}"


def _of_options(arguments: Arguments) -> tuple[TrainingRun, Gpu | str | None, Reading | None]:
    check_card(Arguments({**arguments, "check": None}))
    training, reading = run_and_config(given_run(arguments))
    return training, card_of(arguments), reading


def _record(arguments: Arguments) -> Record | None:
    """The record that was asked for. Raises `UsageError` where a run or a card is given besides."""
    identity = arguments.text("record")
    if identity is None:
        return None
    for option in RUN_AND_CARD_OPTIONS:
        if arguments[option.name] is not None:
            raise UsageError(f"--record says the run and the card; leave out {option.flag}", field=option.name)
    from planner.places import records_file
    from profiler.records.find import named
    from profiler.records.store import read

    path = records_file()
    return named(identity, read(path).records, path)


def _of_record(record: Record) -> tuple[TrainingRun, Gpu | str | None, None]:
    """The run of a record and the card that it was measured on; None for a CPU."""
    from planner.catalogue import own_gpu
    from planner.units import GIB

    device = record.measurement.device
    if device.gpu is None and device.kind != "cpu":
        return record.measurement.run, own_gpu(device.memory_bytes / GIB), None
    return record.measurement.run, device.gpu, None


def _simulated(training: TrainingRun, gpu: Gpu | None, live: bool) -> Simulation:
    from lora_plan.simulating import simulated

    return simulated(training, gpu, quiet=False, live=live)


def _command(arguments: Arguments, job: Job | None, reading: Reading | None) -> str:
    """What makes the report again, from a file with the run."""
    words = ["lora-plan", "report"]
    if arguments["record"] is None:
        words += ["--run", "run.yaml"]
    given: dict[str, object] = dict(arguments)
    if job is not None and reading is not None:
        given |= {name: value for name, value in reading.job.items() if arguments.get(name) is None}
    options = [option for option in OPTIONS if option.panel in (CONTENT, OUTPUT)]
    for option in (*_CARD, *JOB_OPTIONS, *options):
        value = given.get(option.name)
        if value is None or option.name == "force":
            continue
        if option.name == "output":
            value = Path(str(value)).name
        words += [option.flag] if value is True else [option.flag, str(value)] if value is not False else []
    return shlex.join(words)


def _write(document: Document, path: Path | None, arguments: Arguments, *, as_html: bool) -> None:
    if path is not None:
        from lora_plan.report_files import write_html, write_markdown

        if as_html:
            write_html(document, path)
        else:
            write_markdown(document, path, "png" if arguments.on("png") else "svg", force=arguments.on("force"))
    elif as_html:
        from reports.documents.html import html

        write(html(document))
    else:
        from lora_plan.report_files import markdown_text

        write(markdown_text(document, lambda _: None))
