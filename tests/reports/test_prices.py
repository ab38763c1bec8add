"""The table of prices."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from itertools import pairwise

import pytest

from pricing.offer import Offer
from pricing.sheets import offers
from reports.page import Page
from reports.prices import prices_text, usd
from reports.prices_json import prices_json
from tests.pricing.offers import TODAY, an_offer

G6E = an_offer(
    provider="aws",
    instance_type="g6e.12xlarge",
    gpu_count=4,
    usd_per_hour=Decimal("10.49264"),
    region="us-east-1",
    as_of=date(2026, 7, 20),
)
T4 = an_offer(provider="gcp", gpu="T4", gpu_name="T4", market="spot", usd_per_hour=Decimal("0.15"), as_of=None)


def lines(*some: Offer, width: int = 80) -> list[str]:
    return prices_text(some, TODAY, Page(width)).splitlines()


@pytest.mark.parametrize("width", [40, 60, 80, 100])
def test_all_prices_fit_the_page(width: int) -> None:
    everything = offers(today=TODAY)
    assert max(map(len, lines(*everything, width=width))) <= width


def test_a_narrow_page_goes_without_the_instance() -> None:
    assert lines(G6E, T4, width=46)[:2] == [
        "  $/GPU h    $/h  card     provider     age",
        "     2.62  10.49  4x L40S  aws       125 d*",
    ]


def test_a_line_has_the_hour_of_one_card_and_of_the_instance() -> None:
    assert lines(G6E)[:2] == [
        "  $/GPU h    $/h  GPUs  provider     age  instance",
        "     2.62  10.49     4  aws       125 d*  g6e.12xlarge  us-east-1",
    ]


def test_several_cards_are_named() -> None:
    assert lines(G6E, T4)[:3] == [
        "  $/GPU h    $/h  card     provider     age  instance",
        "     2.62  10.49  4x L40S  aws       125 d*  g6e.12xlarge  us-east-1",
        "    0.150  0.150  1x T4    gcp spot      ?*  1x L40S secure",
    ]


def test_a_fresh_price_has_no_mark() -> None:
    [_, line, _, *summary] = lines(an_offer())
    assert "13 d " in line
    assert "*" not in line
    assert summary == ["  1 price of 1 provider, seen from 2026-11-09 to 2026-11-09; none is stale."]


def test_prices_that_differ_in_their_region_alone_share_a_line() -> None:
    alike = [an_offer(region=region, note=region) for region in ("us-1", "us-2", "eu-1")]
    text = lines(*alike, G6E)
    assert text[1].endswith("1x L40S secure  3 regions")
    assert len(text) == 3 + 1 + 3
    assert text[4].startswith("  4 prices of 2 providers")


def test_the_summary_says_how_old_the_prices_are() -> None:
    text = " ".join(line.strip() for line in lines(G6E, T4, an_offer()))
    assert (
        "3 prices of 3 providers, seen from 2026-07-20 to 2026-11-09; 2 are stale (*), 1 of them without a date" in text
    )
    assert "older than 90 days for hyperscalers, 30 for others, 1 for spot. `lora-plan prices refresh`" in text


def test_prices_without_any_date() -> None:
    assert "  1 price of 1 provider; 1 is stale (*), 1 of them without a date" in lines(T4)[3]


def test_the_market_is_shown_whatever_the_provider_is_called() -> None:
    assert "a-provider.. spot" not in lines(an_offer(provider="a-provider-of-cards", market="spot"))[1]
    assert "a-provide.. spot" in lines(an_offer(provider="a-provider-of-cards", market="spot"))[1]


def test_text_from_a_sheet_cannot_write_to_the_terminal() -> None:
    text = "\n".join(lines(an_offer(instance_type="\x1b[31mred\n", provider="\x07", region="\u202e")))
    assert not {"\x1b", "\x07", "\u202e"} & set(text)


def test_stale_prices_are_coloured_where_there_is_colour() -> None:
    text = prices_text([G6E, an_offer()], TODAY, Page(colour=True))
    assert "\x1b[33m125 d*\x1b[0m" in text
    assert text.count("\x1b[33m") == 1


def test_notes_come_below() -> None:
    assert lines(G6E) == prices_text([G6E], TODAY, Page(), ["mind the gap"]).splitlines()[:-1]
    assert prices_text([G6E], TODAY, Page(), ["mind the gap"]).endswith("\n  mind the gap\n")


def test_dollars_have_the_decimals_that_say_something() -> None:
    assert [usd(Decimal(price)) for price in ("0.0525", "0.9999", "1", "113.9328", "1600")] == [
        "0.052",
        "1.000",
        "1.00",
        "113.93",
        "1,600.00",
    ]


def test_json_has_every_field_and_the_age() -> None:
    data = prices_json([G6E, T4], TODAY, ["a note"])
    assert (data["count"], data["stale"], data["undated"]) == (2, 2, 1)
    assert (data["oldest"], data["newest"], data["today"]) == ("2026-07-20", "2026-07-20", "2026-11-22")
    assert data["notes"] == ["a note"]
    assert data["prices"][0] == {  # pyright: ignore
        "provider": "aws",
        "instance_type": "g6e.12xlarge",
        "gpu": "L40S",
        "gpu_name": "L40S",
        "gpu_count": 4,
        "market": "on-demand",
        "usd_per_hour": 10.49264,
        "usd_per_gpu_hour": 2.62316,
        "region": "us-east-1",
        "as_of": "2026-07-20",
        "age_days": 125,
        "fresh_days": 90,
        "stale": True,
        "source": "runpod.io/pricing",
        "vcpus": None,
        "ram_gib": None,
        "gpu_memory_gib": None,
        "note": "",
    }


def test_numbers_of_json_have_the_digits_of_the_price() -> None:
    for offer in offers(today=TODAY):
        data = prices_json([offer], TODAY)["prices"]
        assert Decimal(repr(data[0]["usd_per_hour"])) == offer.usd_per_hour  # pyright: ignore


def test_lines_are_in_the_order_given() -> None:
    some = sorted(offers(today=TODAY), key=lambda offer: offer.usd_per_gpu_hour)
    shown = [line.split()[0].replace(",", "") for line in lines(*some)[1:] if line.strip()][:500]
    assert all(Decimal(before) <= Decimal(after) for before, after in pairwise(shown))
