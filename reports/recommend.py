"""A recommendation for people: the ways that nothing beats, what each method costs, and why near misses fail."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from shlex import quote
from typing import TYPE_CHECKING

from planner.catalogue.spelling import shown
from planner.run import TrainingRun
from pricing.offer import ON_DEMAND
from pricing.recommendation import LimitMiss, MemoryMiss, Recommendation, Way
from reports.figures import gib_number
from reports.page import Page
from reports.sections import joined, list_section
from reports.time import duration
from reports.trainer_config import config_sections, uncounted_lines
from reports.verdict import method_title, model_title

if TYPE_CHECKING:
    from planner.trainer_configs import Reading

MARK = "*"
"""Behind what costs by a price that is out of date."""

CUT = ".."
OFFER = 19
"""Columns for provider and market; longer ones are cut."""

LEFT_OUT = 4
"""Reasons shown; `--json` has all of them."""

_LEFT = ("on", "offer", "method")

CAVEATS = {
    "full": "Full fine-tuning can change the model most, and is the method that the others are measured against; it "
    "forgets most of what the model could do besides.",
    "lora": "LoRA comes close to full fine-tuning where a style or a task is learned, with all linear layers adapted; "
    "on large datasets and new knowledge it learns less, and forgets less.",
    "qlora": "QLoRA trains as LoRA does, on a base rounded to 4 bits: usually close to LoRA, but evaluate it; merged "
    "into a 16-bit base, the model is not quite the one that was trained.",
    "int8": "LoRA on an 8-bit base (LLM.int8()) trains as LoRA does and loses little to rounding.",
    "dora": "DoRA learns the size and the direction of a weight apart; it may do better than LoRA at low ranks, and is "
    "slower.",
    "other": "Methods that train less than LoRA suit small changes; evaluate them against LoRA.",
}
"""What to expect of a method's quality: known tendencies, no figures, as they depend on model and data."""

ANOTHER_OPTIMIZER = {
    "adafactor": "Adafactor is another optimizer than AdamW: its learning rate has to be found anew.",
    "lion_8bit": "Lion is another optimizer than AdamW: its learning rate has to be found anew.",
}


def recommendation_text(found: Recommendation, page: Page, reading: Reading | None = None) -> str:
    """What was searched, the frontier, each method's cheapest way, and what was left out and why.

    reading: of the config that the run is from.
    """
    shown_ways = (*found.frontier, *found.by_method)
    sections = [
        [*_title(found, page), *uncounted_lines(reading, page)],
        _outcome(found, page),
        _table("Nothing beats these in time and cost", found.frontier, page),
        _detail("Fastest", found, found.fastest, page) if found.fastest is not found.cheapest else [],
        _detail("Cheapest", found, found.cheapest, page),
        _table("The cheapest way with each method", found.by_method, page) if len(found.by_method) > 1 else [],
        list_section("What to expect of them", caveats(shown_ways), page),
        list_section("Near misses", [memory_sentence(miss) for miss in found.memory_misses], page),
        list_section("Beyond the limits", [_limit_sentence(miss) for miss in found.limit_misses], page),
        list_section("To know", _to_know(found), page),
        list_section("Not considered", _not_considered(found), page),
        config_sections(reading, page),
        _footer(found, shown_ways, page),
    ]
    return page.finish(joined(sections))


def _title(found: Recommendation, page: Page) -> list[str]:
    job = found.job
    runs = [
        *(way.run for way in found.by_method),
        *(miss.run for miss in found.memory_misses),
        *(miss.way.run for miss in found.limit_misses),
    ]
    name = shown(model_title(runs[0]) if runs else found.model)
    amount = f"{job.all_examples:,} examples" if job.all_examples is not None else f"{job.all_tokens or 0:,} tokens"
    if job.epochs != 1:
        amount += f", {job.epochs:g} epochs"
    assumed = "; no job was given, --examples, --tokens or --dataset says yours" if found.assumed_job else ""
    return [
        *(page.style(line, "bold") for line in page.wrap(f"{name}: {amount}, {_length(found)}", first="")),
        *page.wrap(
            f"{found.considered:,} candidates: {found.plans:,} plans, of which {found.fitting:,} fit, on "
            f"{found.offers:,} offers{assumed}"
        ),
    ]


def _length(found: Recommendation) -> str:
    return f"sequences of up to {found.sequence_length:,} tokens"


def _outcome(found: Recommendation, page: Page) -> list[str]:
    if found.emptied_by is None:
        return []
    return [page.style(line, "bold", "red") for line in page.wrap(outcome_sentence(found.emptied_by), first="")]


def outcome_sentence(emptied_by: str) -> str:
    """Why a search has found no way. emptied_by: as `Recommendation` has it."""
    return {
        "memory": "No way to train it fits on any of these cards.",
        "budget": "No way that fits is within the budget.",
        "deadline": "No way that fits is done by the deadline.",
        "budget and deadline": "No way that fits is within both the budget and the deadline, though each alone leaves "
        "some.",
    }[emptied_by]


def _table(title: str, ways: Sequence[Way], page: Page) -> list[str]:
    if not ways:
        return []
    rows = [_cells(way) for way in ways]
    names = list(rows[0])
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in names}
    # the speed is the first to go where there is no room: hours say it
    while sum(widths.values()) + len(widths) + 1 > page.width and len(widths) > 4:
        widths.pop("tok/s" if "tok/s" in widths else next(reversed(widths)))
    for name in ("offer", "on"):
        over = sum(widths.values()) + len(widths) + 1 - page.width
        widths[name] = max(len(name), widths[name] - max(0, over))
    head = _line({name: name for name in names}, widths)
    return [page.heading(title), page.style(head, "dim"), *(_line(row, widths) for row in rows)]


def _line(row: dict[str, str], widths: dict[str, int]) -> str:
    cut = {name: _cut(row[name], width) for name, width in widths.items()}
    cells = [cut[name].ljust(width) if name in _LEFT else cut[name].rjust(width) for name, width in widths.items()]
    return "  " + " ".join(cells)


def _cells(way: Way) -> dict[str, str]:
    run = way.run
    accumulated = run.gradient_accumulation_steps
    return {
        "hours": hours_in_words(way.hours),
        "USD": f"{way.usd:,.2f}" + (MARK if way.quote.stale else ""),
        "on": cards(way.gpu, run.num_gpus),
        "offer": _cut(offer_of(way), OFFER),
        "method": method_title(run).replace("full fine-tuning", "full"),
        "batch": f"{run.micro_batch_size}" + (f"x{accumulated}" if accumulated > 1 else ""),
        "GiB": f"{gib_number(way.reserved_bytes, 0)}/{gib_number(way.usable_bytes, 0)}",
        "tok/s": f"{way.job.tokens_per_s:,.0f}",
    }


def _detail(name: str, found: Recommendation, way: Way | None, page: Page) -> list[str]:
    """One way in full, with the flags that plan it."""
    if way is None:
        return []
    quoted, offer, run = way.quote, way.quote.offer, way.run
    dated = f"seen on {offer.as_of}" if offer.as_of is not None else "of no known day"
    where = f" in {shown(offer.region)}" if offer.region else ""
    peak = f"{gib_number(way.reserved_bytes, 1)} GiB of {gib_number(way.usable_bytes, 1)} usable"
    return [
        *(
            page.style(line, "bold")
            for line in page.wrap(
                f"{name}: ${way.usd:,.2f} ({quoted.low_usd:,.2f} to {quoted.high_usd:,.2f}), "
                f"{duration(3600 * way.hours)} "
                f"({duration(3600 * quoted.low_hours)} to {duration(3600 * quoted.high_hours)})",
                first="",
            )
        ),
        *page.wrap(
            f"{shown(offer.instance_type)} of {shown(offer.provider)}{where}, {offer.market}, "
            f"${offer.usd_per_hour:,.2f} an hour, {dated}; peak {peak} on each card, "
            f"{way.job.tokens_per_s:,.0f} tokens/s"
        ),
        *page.wrap(f"plan it: {command(run, way.gpu)}{' and what else you gave' * found.more_given}", rest="    "),
    ]


def command(run: TrainingRun, gpu: str) -> str:
    """The flags of what was searched, which plan a way by itself."""
    quantization = f" --quantization {run.quantization}" if run.quantization not in ("none", "nf4") else ""
    parts = [
        f"lora-plan --model {quote(shown(run.model, 1000))} --method {run.method}{quantization} --gpu {gpu}",
        f"--batch-size {run.micro_batch_size} --grad-accum {run.gradient_accumulation_steps}",
        f"--seq-len {run.sequence_length}",
        "--gradient-checkpointing" if run.gradient_checkpointing else "--no-gradient-checkpointing",
        f"--kernels {run.kernels} --optimizer {run.optimizer}",
    ]
    if run.num_gpus > 1:
        parts.append(f"--gpus {run.num_gpus} --strategy {run.strategy}")
    return " ".join(parts)


def caveats(ways: Iterable[Way]) -> list[str]:
    """What to expect of the methods and optimizers of these ways, a sentence each."""
    said: dict[str, None] = {}
    for way in ways:
        run = way.run
        kind = run.method if run.method in CAVEATS else "dora" if run.use_dora else "other"
        if kind == "lora" and run.quantization != "none":
            kind = "int8" if run.quantization == "int8" else "qlora"
        if kind == "other" and run.method == "rslora":
            kind = "lora"
        said[CAVEATS[kind]] = None
        if run.optimizer in ANOTHER_OPTIMIZER:
            said[ANOTHER_OPTIMIZER[run.optimizer]] = None
    return list(said)


def memory_sentence(miss: MemoryMiss) -> str:
    """What a card lacks."""
    high = f", or {gib_number(miss.high_bytes, 1)} at the high end," if miss.high_bytes != miss.needed_bytes else ""
    return (
        f"{method_title(miss.run)} on {cards(miss.gpu, miss.run.num_gpus)}: needs at least "
        f"{gib_number(miss.needed_bytes, 1)} GiB{high} of {gib_number(miss.usable_bytes, 1)}"
    )


def _limit_sentence(miss: LimitMiss) -> str:
    way = miss.way
    what = f"{method_title(way.run)} on {cards(way.gpu, way.run.num_gpus)} of {shown(way.quote.offer.provider)}"
    if miss.over_usd is not None:
        return f"{what}, its cheapest way{_in_time(miss)}: ${way.usd:,.2f}, over budget by ${miss.over_usd:,.2f}"
    late = duration(3600 * (miss.over_hours or 0))
    return f"{what}, its fastest way: {duration(3600 * way.hours)}, misses the deadline by {late}"


def _in_time(miss: LimitMiss) -> str:
    return " within the deadline" if miss.within_deadline else ""


def _not_considered(found: Recommendation) -> list[str]:
    reasons = [f"{left.reason} ({left.ways:,} plans a card)" for left in found.left_out[:LEFT_OUT]]
    more = len(found.left_out) - LEFT_OUT
    if more > 0:
        reasons.append(f"{more} more {'reason' if more == 1 else 'reasons'}; --json has all of them")
    if found.without_offers:
        reasons.append(f"no offer is known of {', '.join(found.without_offers)}")
    return reasons


def _to_know(found: Recommendation) -> list[str]:
    """Notes on the search and on the plans that are shown in full."""
    notes = [*found.notes, *(note for way in (found.fastest, found.cheapest) if way is not None for note in way.notes)]
    return [shown(note, 400) for note in dict.fromkeys(notes)]


def _footer(found: Recommendation, ways: Sequence[Way], page: Page) -> list[str]:
    if not ways:
        return []
    said = [
        "Hours and dollars are for the whole job, from the order of the machine to the last file, and expected; spot "
        "ones with an interruption a day. Ways whose hours are within 1 % of each other count as equally fast. Batch "
        "is the micro-batch x accumulation; GiB the peak of what is usable; tok/s without padding.",
    ]
    if any(way.quote.stale for way in ways):
        said.append(f"{MARK} by an old price: `lora-plan prices refresh` looks anew.")
    return [page.style(line, "dim") for sentence in said for line in page.wrap(sentence)]


def hours_in_words(hours: float) -> str:
    """`0.14`; from 100 on without decimals."""
    return f"{hours:.2f}" if hours < 100 else f"{hours:,.0f}"


def cards(gpu: str, count: int) -> str:
    """`L40S`, `2x L40S`."""
    return gpu if count == 1 else f"{count}x {gpu}"


def offer_of(way: Way) -> str:
    """`verda spot`; on demand the provider alone."""
    offer = way.quote.offer
    return shown(offer.provider) + ("" if offer.market == ON_DEMAND else f" {offer.market}")


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - len(CUT)] + CUT
