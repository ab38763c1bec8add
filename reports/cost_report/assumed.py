"""What was assumed, what became of a trainer's config, and how each figure is known."""

from __future__ import annotations

from typing import cast

from planner.memory.ledger import MEASUREMENT
from planner.time.step_time import StepTime
from planner.trainer_configs.types import Setting, TrainerConfig
from reports.assumptions import assumed
from reports.cost_report.content import CostReport
from reports.cost_report.words import bullets
from reports.documents.blocks import Block, Code, Folded, Paragraph, Section, Table, Words
from reports.plan_words import interval_sentence
from reports.trainer_config import own_defaults, shown_value

_OF_THE_JOB = "training by the time of a step; start-up, download, loading and files are assumptions, below"
_OF_DOLLARS = (
    "the hours at each offer's price, which its source had on the day in the table, billed as the provider bills; "
    "without taxes"
)
_OF_A_SIMULATION = "the real training stack on fake tensors, replayed through PyTorch's caching allocator"


def assumed_section(report: CostReport) -> Section:
    """How figures are known first; the fields and settings folded."""
    blocks: list[Block] = []
    known = _known(report)
    if known:
        blocks.append(Table(("figure", "how it is known"), known, left=2))
    fields = assumed(report.run)
    if fields:
        rows = tuple((group, ", ".join(values)) for group, values in fields.items())
        blocks.append(Folded("Fields that nothing was said of", (Table(("of", "taken to be"), rows, left=2),)))
    if report.reading is not None:
        for config in report.reading.configs:
            blocks.append(
                Folded(f"Read from {config.name}, as {config.title} ({config.version})", _config(report, config))
            )
    notes = _notes(report)
    if notes:
        blocks += [Paragraph("To know:"), bullets(notes)]
    return Section("Assumptions, and how each figure is known", tuple(blocks))


def _known(report: CostReport) -> tuple[tuple[Words, ...], ...]:
    """Each figure with what it stands on."""
    plan = report.plan
    if plan is None:
        return ()
    rows: list[tuple[Words, ...]] = [("memory", interval_sentence(plan))]
    if plan.time is not None:
        rows.append(("time of a step", _of_time(plan.time)))
    if plan.job is not None:
        rows.append(("hours of the job", _OF_THE_JOB))
    if report.quotes is not None:
        rows.append(("dollars", _OF_DOLLARS))
    if report.simulation is not None:
        rows.append(("simulation", _OF_A_SIMULATION))
    if report.verification is not None:
        rows.append(("measurement", f"real steps on {report.verification.measurement.device.name}"))
    return tuple(rows)


def _of_time(step: StepTime) -> str:
    if step.basis == MEASUREMENT:
        return "measured"
    return f"{step.basis}; the interval is meant to hold {step.coverage:.0%} of runs"


def _config(report: CostReport, config: TrainerConfig) -> tuple[Block, ...]:
    """What became of every setting of one file."""
    assert report.reading is not None
    over = {setting.key for setting in report.reading.overridden}
    uncounted = [setting for setting in report.reading.uncounted if setting in config.uncounted]
    blocks: list[Block] = []
    for title, settings in (
        ("Not counted, though they move memory or may:", uncounted),
        ("Understood:", [setting for setting in config.understood if setting.key not in over]),
        ("Overridden by what was typed:", [setting for setting in config.understood if setting.key in over]),
    ):
        if settings:
            blocks += [Paragraph(title), _settings(settings)]
    defaults = own_defaults(config, report.reading)
    if defaults:
        rows = tuple(((Code(one.field),), _value(one.value), one.source) for one in defaults)
        blocks += [
            Paragraph(f"By {config.title}'s own default:"),
            Table(("field", "value", "where that is from"), rows, left=3),
        ]
    if config.ignored:
        blocks += [Paragraph("Ignored, as they move neither memory nor time:"), _settings(config.ignored)]
    return tuple(blocks) or (Paragraph("It says nothing of the run."),)


def _settings(settings: tuple[Setting, ...] | list[Setting]) -> Table:
    rows = tuple(((Code(setting.key),), _value(setting.value), setting.text) for setting in settings)
    return Table(("setting", "value", "meaning"), rows, left=3)


def _value(value: object) -> Words:
    """None: what the trainer does by itself, without a value."""
    if value is None:
        return ""
    return shown_value(list(cast("tuple[object, ...]", value)) if isinstance(value, tuple) else value)


def _notes(report: CostReport) -> tuple[str, ...]:
    """Of the reading, the plan, the job and the search, each once."""
    notes = list(report.reading.notes) if report.reading is not None else []
    if report.plan is not None:
        notes += report.plan.notes
        notes += report.plan.job.assumptions if report.plan.job is not None else ()
    if report.others is not None and not isinstance(report.others, str):
        notes += report.others.notes
    return tuple(dict.fromkeys(notes))
