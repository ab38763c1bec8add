"""`sweep`: every plan of a search as rows of a table, a sheet at a time."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# numpy's stubs are written in the syntax of Python 3.12; to 3.10 much of them is unknown

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt

from planner.job import Job
from planner.search.evaluate import Sheet
from pricing.frontier import unlike
from pricing.offer import SPOT, Offer
from pricing.recommend import NO_WISHES, Offers, Searched, search_offers
from pricing.sheets import offers as known_offers
from pricing.spot import Interruptions
from pricing.wishes import Wishes

Column = npt.NDArray[np.generic]
Rows = dict[str, Column]
"""Column -> its values, as long as all others."""


def sweep(
    fields: Mapping[str, object],
    job: Job | None = None,
    wishes: Wishes = NO_WISHES,
    *,
    offers: Sequence[Offer] | None = None,
    today: date | None = None,
) -> Iterator[Rows]:
    """Every plan with its memory, speed and hours, and the rent on the cheapest offer; arguments as of `recommend`.

    Sizes are in bytes and of one card; `rent_usd` is for the hours alone, interruptions of spot instances included, and
    `rented_hours` are those hours. Raises `InputError` and `Abstention` as `recommend` does, before the first rows.
    """
    everything = known_offers(today=today or date.today()) if offers is None else offers
    searched = search_offers(fields, wishes, job, everything)
    by_card = unlike(searched.offers)
    return (_rows(searched, sheet, by_card) for sheet in searched.sheets)


@dataclass(frozen=True, slots=True)
class _Rent:
    """The cheapest offers of a card, on which a run may be interrupted and on which it is not."""

    kept: Offer | None
    spot: Offer | None


def _rows(searched: Searched, sheet: Sheet, offers: Offers) -> Rows:
    settings, optimizers, splits, cards = np.nonzero(
        np.broadcast_to(sheet.possible[:, None, :, None], sheet.hours.shape)
    )
    places = settings, optimizers, splits, cards
    runs = [
        searched.space.run(setting, sheet.optimizers[0], sheet.splits[0], sheet.num_gpus, sheet.strategy)
        for setting in sheet.settings
    ]
    batches = np.array([split.micro_batch_size for split in sheet.splits])
    accumulated = np.array([split.gradient_accumulation_steps for split in sheet.splits])
    tokens = (batches * accumulated)[splits] * sheet.num_gpus * sheet.sequence_length
    verdicts = np.where(sheet.fits, "fits", np.where(sheet.tight, "tight", "does_not_fit"))
    hours, step_s = sheet.hours[places], sheet.step_s[places]
    rows: Rows = {
        "model": np.full(len(cards), runs[0].model, dtype=object),
        "method": _of(settings, [run.method for run in runs]),
        "quantization": _of(settings, [run.quantization for run in runs]),
        "gpu": _of(cards, [gpu.name for gpu in sheet.gpus]),
        "num_gpus": np.full(len(cards), sheet.num_gpus),
        "strategy": np.full(len(cards), sheet.strategy, dtype=object),
        "kernels": _of(settings, [setting.kernels for setting in sheet.settings]),
        "gradient_checkpointing": np.array([setting.gradient_checkpointing for setting in sheet.settings])[settings],
        "optimizer": _of(optimizers, sheet.optimizers),
        "micro_batch_size": batches[splits],
        "gradient_accumulation_steps": accumulated[splits],
        "sequence_length": np.full(len(cards), sheet.sequence_length),
        "verdict": verdicts[places].astype(object),
        "allocated_bytes": np.rint(sheet.allocated[places]).astype(np.int64),
        "reserved_bytes": np.rint(sheet.reserved[places]).astype(np.int64),
        "usable_bytes": sheet.usable.astype(np.int64)[cards],
        "step_s": step_s,
        "tokens_per_step": tokens,
        "tokens_per_s": tokens / step_s,
        "hours": hours,
    }
    return rows | _cheapest(sheet, cards, hours, offers)


def _cheapest(sheet: Sheet, cards: npt.NDArray[np.intp], hours: npt.NDArray[np.float64], offers: Offers) -> Rows:
    """The offer with the least rent for each row, and that rent."""
    rents = [_rent(offers.get((sheet.num_gpus, gpu.name), ())) for gpu in sheet.gpus]
    interrupted = Interruptions()
    held = np.array([interrupted.expected_hours(spent) for spent in hours.tolist()])
    kept_rent = hours * np.array([_price(rent.kept) for rent in rents])[cards]
    spot_rent = held * np.array([_price(rent.spot) for rent in rents])[cards]
    spot = spot_rent < kept_rent
    # cards x (not spot, spot)
    chosen = [(rent.kept, rent.spot) for rent in rents]
    index = 2 * cards + spot
    flat = [offer for pair in chosen for offer in pair]

    def column(value: Callable[[Offer], object]) -> Column:
        return np.array([None if offer is None else value(offer) for offer in flat], dtype=object)[index]

    return {
        "rent_usd": np.where(spot, spot_rent, kept_rent),
        "rented_hours": np.where(spot, held, hours),
        "usd_per_hour": np.array([_price(offer) for offer in flat])[index],
        "provider": column(lambda offer: offer.provider),
        "instance_type": column(lambda offer: offer.instance_type),
        "market": column(lambda offer: offer.market),
        "region": column(lambda offer: offer.region),
        "as_of": column(lambda offer: offer.as_of.isoformat() if offer.as_of is not None else None),
    }


def _rent(offers: Sequence[Offer]) -> _Rent:
    """offers: the cheapest first."""
    return _Rent(
        next((offer for offer in offers if offer.market != SPOT), None),
        next((offer for offer in offers if offer.market == SPOT), None),
    )


def _price(offer: Offer | None) -> float:
    return float("inf") if offer is None else float(offer.usd_per_hour)


def _of(places: npt.NDArray[np.intp], values: Sequence[str]) -> Column:
    return np.array(values, dtype=object)[places]
