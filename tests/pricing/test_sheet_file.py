"""Reading and writing one sheet, whatever is in it."""

from __future__ import annotations

import csv
import re
from dataclasses import fields
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.errors import InputError
from pricing.offer import MARKETS, Offer
from pricing.sheet_file import COLUMNS, newest, read_sheet, safe_cell, write_sheet
from pricing.wanted import Wanted
from tests.pricing.offers import TODAY, an_offer

HEAD = "provider,instance_type,gpu,gpu_count,market,usd_per_hour,as_of,source"
ROW = "my-cloud,box,L40S,1,on-demand,1.25,2026-11-20,my invoice"


def sheet(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "mine.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def changed(**cells: str) -> str:
    row = dict(zip(HEAD.split(","), ROW.split(","), strict=True)) | cells
    return ",".join(row.values())


def refused(path: Path, today: date | None = TODAY) -> str:
    with pytest.raises(InputError) as error:
        read_sheet(path, today=today)
    message = str(error.value)
    assert "mine.csv" in message
    assert "\n" not in message
    return message


def test_a_small_sheet_by_hand(tmp_path: Path) -> None:
    [offer] = read_sheet(sheet(tmp_path, HEAD, ROW)).offers
    assert offer == Offer(
        provider="my-cloud",
        instance_type="box",
        gpu="L40S",
        gpu_name="L40S",
        gpu_count=1,
        market="on-demand",
        usd_per_hour=Decimal("1.25"),
        as_of=date(2026, 11, 20),
        source="my invoice",
    )


def test_columns_come_in_any_order_and_rows_may_be_blank(tmp_path: Path) -> None:
    path = sheet(
        tmp_path,
        "\ufeffsource, usd_per_hour ,market,gpu_count,gpu_name,instance_type,provider",
        "",
        'a page, 0.69 ,On-Demand,1,Quadro RTX 6000,"gpu, 1x",Lambda',
        ",,,,,,",
    )
    [offer] = read_sheet(path).offers
    assert (offer.provider, offer.instance_type, offer.market) == ("lambda", "gpu, 1x", "on-demand")
    assert (offer.gpu, offer.gpu_name, offer.as_of) == (None, "Quadro RTX 6000", None)


def test_cards_may_be_called_as_people_call_them(tmp_path: Path) -> None:
    path = sheet(tmp_path, HEAD, changed(gpu="NVIDIA GeForce RTX 4090"), changed(gpu="a100-sxm4-80gb"))
    assert [offer.gpu for offer in read_sheet(path).offers] == ["RTX4090", "A100-80GB-SXM"]


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"usd_per_hour": "NaN"}, "usd_per_hour must be US dollars as a number above 0, such as 1.99, not 'NaN'"),
        ({"usd_per_hour": "-1.25"}, "usd_per_hour must be .* not '-1.25'"),
        ({"usd_per_hour": "1e3"}, "usd_per_hour must be .* not '1e3'"),
        ({"usd_per_hour": "€1.25"}, "usd_per_hour must be .* not '€1.25'"),
        ({"usd_per_hour": "1.25 EUR"}, "usd_per_hour must be .* not '1.25 EUR'"),
        ({"usd_per_hour": "0"}, "costs 0 USD an hour; leave the row out"),
        ({"usd_per_hour": ""}, "has no usd_per_hour; fill it in, or leave out the row"),
        ({"usd_per_hour": "912.50"}, "more than 200 each"),
        ({"usd_per_hour": "9" * 5000}, "usd_per_hour must be "),
        ({"gpu_count": "0.5"}, "gpu_count must be a whole number from 1, not '0.5'"),
        ({"gpu_count": "0"}, "has 0 GPUs"),
        ({"gpu_count": ""}, "has no gpu_count"),
        ({"market": "preemptible"}, "the market 'preemptible'"),
        ({"provider": ""}, "no provider"),
        ({"source": ""}, "has no source"),
        ({"gpu": ""}, "has no gpu_name"),
        ({"gpu": "L40Q"}, "GPU 'L40Q' is not known.*leave gpu blank"),
        ({"gpu": "a100"}, "'a100' is ambiguous .40 or 80 GB.*name the card that is meant"),
        ({"as_of": "yesterday"}, "as_of must be a day such as 2026-11-22, not 'yesterday'"),
        ({"as_of": "22/11/2026"}, "as_of must be a day"),
        ({"as_of": "2026-02-30"}, "as_of must be a day"),
        ({"as_of": "2026-11-24"}, "as_of is 2026-11-24, which is in the future"),
        ({"source": "a, b"}, "has 9 cells under 8 columns; put one with a comma in quotes"),
    ],
)
def test_a_bad_row_is_named_by_its_line(tmp_path: Path, cells: dict[str, str], message: str) -> None:
    path = sheet(tmp_path, HEAD, ROW, "", changed(**cells))
    said = refused(path)
    assert "line 4" in said
    assert re.search(message, said), said


def test_lines_are_those_of_the_file_also_behind_cells_of_several_lines(tmp_path: Path) -> None:
    path = sheet(tmp_path, HEAD, changed(instance_type='"a\nb"'), changed(usd_per_hour="x"))
    assert "line 4:" in refused(path)


def test_tomorrow_is_today_somewhere(tmp_path: Path) -> None:
    path = sheet(tmp_path, HEAD, changed(as_of=str(TODAY + timedelta(days=1))))
    assert len(read_sheet(path, today=TODAY).offers) == 1


def test_the_day_is_not_asked_for_where_none_is_given(tmp_path: Path) -> None:
    path = sheet(tmp_path, HEAD, changed(as_of="2031-01-01"))
    assert len(read_sheet(path).offers) == 1


@pytest.mark.parametrize("column", ["currency", "eur_per_hour", "usd_per_month", "Price"])
def test_a_column_that_no_offer_has_is_refused(tmp_path: Path, column: str) -> None:
    said = refused(sheet(tmp_path, f"{HEAD},{column}", f"{ROW},EUR"))
    assert f"has the column '{column}', which no offer has" in said
    assert "prices are in US dollars" in said


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ("provider,instance_type,gpu,market", "lacks the columns gpu_count, usd_per_hour, source; add them"),
        (HEAD.replace("gpu,", ""), "lacks the column gpu; add them"),
        (f"{HEAD},market", "has the column market twice"),
        ("InstanceType,AcceleratorName,Price", "is no sheet of offers: its first line has none of the columns"),
        ("<!DOCTYPE html>", "is no sheet of offers"),
    ],
)
def test_a_header_that_is_none(tmp_path: Path, head: str, message: str) -> None:
    assert message in refused(sheet(tmp_path, head, ROW))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (b"\x89PNG\r\n\x1a\n", "is not text in UTF-8"),
        (b"PK\x03\x04\x00\x00", "has NUL characters"),
        (HEAD.encode("utf-16"), "is not text in UTF-8"),
        ((HEAD + '\nmy-cloud,"box').encode(), "line 2 is not CSV"),
    ],
)
def test_a_file_that_is_none(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "mine.csv"
    path.write_bytes(content)
    assert message in refused(path)


def test_a_folder_and_nothing_are_no_sheets(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").mkdir()
    assert "is a folder" in refused(tmp_path / "mine.csv")
    with pytest.raises(InputError, match="does not exist"):
        read_sheet(tmp_path / "other.csv")


def test_a_sheet_of_only_a_header_has_no_offers(tmp_path: Path) -> None:
    assert read_sheet(sheet(tmp_path, HEAD)).offers == ()


def test_of_one_price_on_several_days_the_newest_counts(tmp_path: Path) -> None:
    old, new, undated = (
        changed(as_of=day, usd_per_hour=usd) for day, usd in (("2026-10-01", "1"), ("2026-11-01", "2"), ("", "3"))
    )
    for lines in ((old, new, undated), (undated, new, old), (new, undated, old)):
        [offer] = read_sheet(sheet(tmp_path, HEAD, *lines)).offers
        assert offer.usd_per_hour == 2


def test_a_row_that_is_there_twice_counts_once(tmp_path: Path) -> None:
    assert len(read_sheet(sheet(tmp_path, HEAD, ROW, ROW)).offers) == 1


def test_two_prices_of_one_thing_on_one_day_contradict_each_other(tmp_path: Path) -> None:
    said = refused(sheet(tmp_path, HEAD, ROW, changed(usd_per_hour="1.30")))
    assert "line 3 gives 1.30 USD for what line 2 gives 1.25 USD for, of the same day; remove one" in said


def test_rows_that_are_not_wanted_are_skipped_but_their_provider_is_known(tmp_path: Path) -> None:
    path = sheet(tmp_path, HEAD, ROW, changed(provider="other", gpu="T4", usd_per_hour="not read"))
    found = read_sheet(path, Wanted(gpus=frozenset({"L40S"})))
    assert [offer.provider for offer in found.offers] == ["my-cloud"]
    assert found.providers == {"my-cloud", "other"}
    assert read_sheet(path, Wanted(providers=frozenset({"my-cloud"}))).offers == found.offers


TEXT = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=12)
NAMES = TEXT.map(str.strip).filter(bool)
EXACT = {"allow_nan": False, "allow_infinity": False}
OFFERS = st.builds(
    Offer,
    provider=st.text("abc-0123456789", min_size=1, max_size=8),
    instance_type=NAMES,
    gpu=st.sampled_from([None, "L40S", "T4"]),
    gpu_name=NAMES,
    gpu_count=st.integers(1, 72),
    market=st.sampled_from(MARKETS),
    usd_per_hour=st.decimals(Decimal("0.000001"), 200, places=6, **EXACT),
    region=TEXT.map(str.strip),
    as_of=st.none() | st.dates(date(2020, 1, 1), TODAY),
    source=NAMES,
    vcpus=st.none() | st.integers(1, 1000),
    ram_gib=st.none() | st.integers(1, 40_000).map(lambda eighths: eighths / 8),
    gpu_memory_gib=st.none() | st.integers(1, 2500).map(lambda eighths: eighths / 8),
    note=TEXT.map(str.strip),
)


@given(st.lists(OFFERS, max_size=5, unique_by=lambda offer: offer.instance_type))
def test_what_is_written_is_read_back(tmp_path_factory: pytest.TempPathFactory, offers: list[Offer]) -> None:
    path = tmp_path_factory.getbasetemp() / "round.csv"
    write_sheet(path, offers)
    assert read_sheet(path, today=TODAY).offers == tuple(offers)


@pytest.mark.parametrize("cell", ['=HYPERLINK("http://x")', "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "'=1", "'"])
def test_no_cell_that_is_written_begins_a_formula(tmp_path: Path, cell: str) -> None:
    path = tmp_path / "mine.csv"
    offer = an_offer(note=f"{cell}x", region="", instance_type=f"={cell}")
    write_sheet(path, [offer])
    with path.open(encoding="utf-8", newline="") as lines:
        cells = [cell for row in csv.reader(lines) for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))]
    assert read_sheet(path).offers == (offer,)


def test_text_is_left_as_it_is() -> None:
    assert safe_cell("p5.48xlarge") == "p5.48xlarge"
    assert safe_cell("=1+1") == "'=1+1"


def test_columns_are_the_fields_of_an_offer() -> None:
    assert tuple(field.name for field in fields(Offer)) == COLUMNS


def test_writing_makes_the_folder_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "mine.csv"
    write_sheet(path, [an_offer()])
    write_sheet(path, [an_offer(usd_per_hour=Decimal("10.00"))])
    assert list(path.parent.iterdir()) == [path]
    assert read_sheet(path).offers[0].usd_per_hour == 10
    assert ",10.00," in path.read_text(encoding="utf-8")


def test_writing_that_fails_leaves_the_sheet_of_before(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    write_sheet(path, [an_offer()])
    with pytest.raises(InputError, match="of the same day"):
        write_sheet(path, [an_offer(usd_per_hour=Decimal(2)), an_offer(usd_per_hour=Decimal(3))])
    assert list(tmp_path.iterdir()) == [path]
    assert read_sheet(path).offers == (an_offer(),)


def test_a_place_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(InputError, match=r"cannot be written .*; free it, or set LORA_PLAN_PRICES"):
        write_sheet(tmp_path / "file" / "mine.csv", [an_offer()])


def test_the_newest_of_two_is_taken_and_of_the_same_day_the_last() -> None:
    old, new, last = (
        an_offer(as_of=day, usd_per_hour=Decimal(usd)) for day, usd in ((date(2026, 1, 1), 1), (TODAY, 2), (TODAY, 3))
    )
    assert list(newest([new, old])) == [new]
    assert list(newest([new, old, last])) == [last]
    assert list(newest([an_offer(as_of=None), old])) == [old]
