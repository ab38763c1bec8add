"""`lora-plan prices`: what cards cost, where, and how old each price is. `refresh` and `import` renew them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

import typer

from lora_plan.arguments import Arguments, Option
from lora_plan.commands.catalogue import helped
from lora_plan.errors import UsageError
from lora_plan.output import write, write_json
from planner.errors import InputError

if TYPE_CHECKING:
    from pricing.offer import Offer
    from pricing.wanted import Wanted

NAME = "prices"
HELP = (
    "Lists what an hour costs, for one card and for the whole instance; with words, the prices whose card, provider, "
    "instance type, market or region hold all of them, as `lora-plan prices runpod l40s`. `prices refresh` fetches new "
    "ones, `prices import FILE` adds your own."
)

WHICH, ORDER, OUTPUT, SHEETS = "Which", "Order", "Output", "With refresh and import"
SORTS = ("price", "gpu", "age", "provider")

OPTIONS = (
    Option("gpu", "--gpu", WHICH, "NAME", "A card that `lora-plan gpus` lists; may be given again.", repeated=True),
    Option("provider", "--provider", WHICH, "NAME", "Such as aws, runpod or vast; may be given again.", repeated=True),
    Option(
        "market",
        "--market",
        WHICH,
        "KIND",
        "on-demand, spot (may be taken away), community (a private host's) or reserved.",
        repeated=True,
    ),
    Option("region", "--region", WHICH, "NAME", "What the region begins with, as us or eu-north.", repeated=True),
    Option("max_price", "--max-price", WHICH, "USD", "At most this for an hour of one card."),
    Option("sort", "--sort", ORDER, "BY", "price (of one card), gpu, age or provider. [default: price]"),
    Option("source", "--source", SHEETS, "NAME", "Fetch from this source only; may be given again.", repeated=True),
    Option("name", "--name", SHEETS, "NAME", "What import calls the sheet. [default: imported- and the file's name]"),
    Option("json", "--json", OUTPUT, "", "Print JSON, with everything that is known and its source."),
    Option("help", "--help", OUTPUT, "", "Print this."),
)


def run(ctx: typer.Context, arguments: Arguments) -> int:
    """List the prices that are asked for, or renew them; gives the exit status."""
    if helped(ctx, arguments):
        return 0
    words = arguments.words()
    if words[:1] == ["refresh"]:
        from lora_plan.commands import prices_refresh

        return prices_refresh.run(ctx, arguments)
    if words[:1] == ["import"]:
        from lora_plan.commands import prices_import

        return prices_import.run(ctx, arguments)
    for name, word in (("source", "refresh"), ("name", "import")):
        if arguments[name]:
            raise UsageError(f"--{name} is for `lora-plan prices {word}`; leave it out", field=name)
    from lora_plan.today import today as this_day

    today = this_day()
    wanted, notes = _wanted(arguments)
    order = _order(arguments)
    found = _sorted(_holding(words, _found(wanted, today)), order, today)
    if arguments.on("json"):
        from reports.prices_json import prices_json

        write_json(prices_json(found, today, notes))
    else:
        from reports.page import page_of
        from reports.prices import prices_text

        write(prices_text(found, today, page_of(sys.stdout), notes))
    return 0


def _wanted(arguments: Arguments) -> tuple[Wanted, list[str]]:
    """What the options ask for, and what is to be said of how they were read."""
    from planner.catalogue import find_gpu
    from pricing.offer import MARKETS
    from pricing.wanted import Wanted

    matches = [find_gpu(name) for name in arguments.texts("gpu")]
    wanted = Wanted(
        gpus=frozenset(match.gpu.name for match in matches),
        providers=frozenset(text.strip().lower() for text in arguments.texts("provider")),
        markets=frozenset(_one_of(text, MARKETS, "--market") for text in arguments.texts("market")),
        regions=frozenset(_region(text) for text in arguments.texts("region")),
        max_usd_per_gpu_hour=_price(arguments.text("max_price")),
    )
    return wanted, [match.note for match in matches if match.note is not None]


def _found(wanted: Wanted, today: date) -> Sequence[Offer]:
    """The offers that are wanted; raises `InputError` naming the option that leaves none."""
    from pricing.sheets import offers

    found = offers(wanted, today=today)
    if found:
        return found
    from pricing.wishes import check_providers

    everything = offers(today=today)
    check_providers(sorted(wanted.providers), everything)
    field = wanted.emptied_by(everything) or "gpu"
    flags = {name: "--" + name.replace("_", "-") for name, _ in wanted.tests()}
    before = [flag for name, flag in flags.items() if list(flags).index(name) < list(flags).index(field)]
    of = f" of those that {' and '.join(before)} leave{'s'[: len(before) == 1]}" if before else ""
    way_out = "change or leave out one of them" if before else "change it or leave it out"
    raise InputError(f"{flags[field]} leaves no price{of}; {way_out}", field=field)


def _holding(words: Sequence[str], offers: Sequence[Offer]) -> Sequence[Offer]:
    """The offers that hold all words; raises `InputError` where there is none."""
    from planner.catalogue.spelling import squash
    from planner.run.wording import shown

    keys = [squash(word) for word in words]
    found = [offer for offer in offers if all(any(key in part for part in _described(offer)) for key in keys)]
    if not found:
        raise InputError(
            f"none of the {len(offers):,} prices holds {shown(' '.join(words))}; "
            "give words of a card, a provider, an instance type, a market or a region",
            field="query",
        )
    return found


def _described(offer: Offer) -> tuple[str, ...]:
    from planner.catalogue.spelling import squash

    names = (offer.gpu or "", offer.gpu_name, offer.provider, offer.instance_type, offer.market, offer.region)
    return tuple(squash(name) for name in names)


def _sorted(offers: Sequence[Offer], order: str, today: date) -> list[Offer]:
    def card(offer: Offer) -> str:
        return offer.gpu or offer.gpu_name

    by_price = sorted(offers, key=lambda offer: (offer.usd_per_gpu_hour, offer.usd_per_hour, offer.provider))
    if order == "gpu":
        return sorted(by_price, key=card)
    if order == "provider":
        return sorted(by_price, key=lambda offer: offer.provider)
    if order == "age":
        return sorted(by_price, key=lambda offer: today - (offer.as_of or date.min))
    return by_price


def _order(arguments: Arguments) -> str:
    text = arguments.text("sort")
    return "price" if text is None else _one_of(text, SORTS, "--sort")


def _one_of(text: str, allowed: Sequence[str], flag: str) -> str:
    word = text.strip().lower().replace("_", "-")
    if word not in allowed:
        from planner.names import did_you_mean
        from planner.run.wording import either, shown

        hint = did_you_mean(text, allowed)
        raise InputError(f"{flag} must be {either(allowed)}, not {shown(text)}{hint}", field=flag.lstrip("-"))
    return word


def _region(text: str) -> str:
    if not text.strip():
        raise InputError("--region is empty; give what a region begins with, as us or eu-north", field="region")
    return text.strip()


def _price(text: str | None) -> Decimal | None:
    if text is None:
        return None
    try:
        price = Decimal(text.strip().removeprefix("$"))
    except InvalidOperation:
        price = Decimal("NaN")
    if not price.is_finite() or price <= 0:
        from planner.run.wording import shown

        raise InputError(f"--max-price must be US dollars above 0, such as 2.50, not {shown(text)}", field="max_price")
    return price
