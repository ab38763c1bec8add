"""Importing files of prices: of one's own, of SkyPilot, of gpuhunt, and of what is none."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from planner.errors import InputError
from pricing.importing import GPUHUNT, LARGEST_FILE, OWN, SKYPILOT, Imported, import_prices
from pricing.sheets import offers, read_sheet
from pricing.sources.base import NO_GPU, UNTRUE
from pricing.wanted import Wanted
from tests.pricing.sources.test_gpuhunt import GCP, LAMBDA, zipped
from tests.pricing.sources.test_skypilot import AWS

DAY = date(2026, 11, 22)

OURS = """provider,instance_type,gpu,gpu_count,market,usd_per_hour,region,as_of,source
ourlab,rack-7,A100-80GB-SXM,8,reserved,9.60,cellar,2026-11-01,an invoice
ourlab,rack-8,L40S,4,reserved,2.40,cellar,2026-11-01,an invoice
"""


def put(folder: Path, content: str | bytes, name: str = "prices.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def imported(folder: Path, content: str | bytes, file: str = "prices.csv", **options: str) -> Imported:
    return import_prices(put(folder, content, file), DAY, folder=folder / "sheets", **options)


def refused(folder: Path, content: str | bytes, **options: str) -> str:
    with pytest.raises(InputError) as caught:
        imported(folder, content, **options)
    assert not (folder / "sheets").exists()
    return str(caught.value)


def test_a_sheet_of_ones_own(tmp_path: Path) -> None:
    done = imported(tmp_path, OURS)
    assert (done.kind, done.offers, done.providers, done.replaced) == (OWN, 2, ("ourlab",), None)
    assert done.sheet.name == "imported-prices.csv"
    assert [offer.usd_per_hour for offer in read_sheet(done.sheet).offers] == [Decimal("9.6"), Decimal("2.4")]


def test_it_adds_to_the_prices_there_are(tmp_path: Path) -> None:
    before = offers(Wanted(providers=frozenset({"runpod"})), folder=tmp_path / "sheets", today=DAY)
    imported(tmp_path, OURS.replace("ourlab", "runpod"))
    after = offers(Wanted(providers=frozenset({"runpod"})), folder=tmp_path / "sheets", today=DAY)
    assert len(after) == len(before) + 2


def test_a_sheet_that_is_replaced_is_said_to_be(tmp_path: Path) -> None:
    imported(tmp_path, OURS)
    assert imported(tmp_path, OURS).replaced == 2
    assert imported(tmp_path, OURS, file="others.csv").replaced is None


@pytest.mark.parametrize(
    ("old", "new", "line", "what"),
    [
        ("2.40", "NaN", 3, "usd_per_hour must be US dollars"),
        ("2.40", "-2.40", 3, "usd_per_hour must be US dollars"),
        ("2.40", "2.40 EUR", 3, "usd_per_hour must be US dollars"),
        ("2.40", "€2.40", 3, "usd_per_hour must be US dollars"),
        ("2.40", "1752", 3, "more than 200 each"),
        ("2.40", "0", 3, "costs 0 USD"),
        ("2.40", "=1+1", 3, "usd_per_hour must be US dollars"),
        ("9.60", "", 2, "has no usd_per_hour"),
        ("L40S", "L40-XL", 3, "is not known"),
        ("reserved,2.40", "borrowed,2.40", 3, "has the market 'borrowed'"),
        (",4,", ",0,", 3, "has 0 GPUs"),
        ("2.40,cellar,2026-11-01", "2.40,cellar,2026-12-24", 3, "which is in the future"),
        ("2.40,cellar,2026-11-01", "2.40,cellar,01.11.2026", 3, "as_of must be a day"),
    ],
)
def test_a_wrong_row_of_ones_own_is_named(tmp_path: Path, old: str, new: str, line: int, what: str) -> None:
    message = refused(tmp_path, OURS.replace(old, new, 1))
    assert f"prices.csv', line {line}" in message and what in message


def test_two_prices_of_one_thing(tmp_path: Path) -> None:
    assert "line 4 gives 9.99 USD for what line 2" in refused(
        tmp_path, OURS + OURS.splitlines()[1].replace("9.60", "9.99")
    )


def test_another_currency(tmp_path: Path) -> None:
    message = refused(tmp_path, OURS.replace("usd_per_hour", "eur_per_hour"))
    assert "has the column 'eur_per_hour'" in message and "prices are in US dollars" in message


def test_a_formula_stays_text(tmp_path: Path) -> None:
    done = imported(tmp_path, OURS.replace("rack-7", "=HYPERLINK(0)").replace("cellar", "@cellar"))
    assert read_sheet(done.sheet).offers[0].instance_type == "=HYPERLINK(0)"
    cells = [cell for line in done.sheet.read_text().splitlines() for cell in line.split(",")]
    assert not [cell for cell in cells if cell.startswith(("=", "@", "+", "-"))]


def test_a_skypilot_catalogue(tmp_path: Path) -> None:
    done = imported(tmp_path, AWS, file="vms.csv", provider="aws")
    assert (done.kind, done.offers, done.providers, done.sheet.name) == (SKYPILOT, 2, ("aws",), "imported-vms.csv")
    assert done.left_out[NO_GPU] == 1
    # it does not say of which day it is
    assert {offer.as_of for offer in read_sheet(done.sheet).offers} == {None}


def test_wrong_rows_of_a_catalogue_are_counted(tmp_path: Path) -> None:
    done = imported(tmp_path, AWS.replace("0.8048,0.36", "NaN,-0.36"), provider="aws")
    assert done.left_out[UNTRUE] == 2


def test_a_skypilot_catalogue_does_not_say_whose_it_is(tmp_path: Path) -> None:
    assert "add --provider, as in --provider aws" in refused(tmp_path, AWS)
    assert "is no name of a provider" in refused(tmp_path, AWS, provider="../aws")


def test_a_gpuhunt_catalogue(tmp_path: Path) -> None:
    archive = zipped(**{"gcp.csv": GCP, "lambdalabs.csv": LAMBDA, "version": "20260915"})
    done = imported(tmp_path, archive, file="catalog.zip")
    assert (done.kind, done.offers, done.providers) == (GPUHUNT, 4, ("gcp", "lambda"))
    assert {offer.as_of for offer in read_sheet(done.sheet).offers} == {date(2026, 9, 15)}


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("", "is empty"),
        ("\ufeff \n", "is empty"),
        ("<!DOCTYPE html>\n<html>", "is a web page"),
        ("a,b,c\n1,2,3\n", "is none of the kinds known here"),
        (b"\x00\x01\x02" * 100, "is none of the kinds known here"),
        (b"\x7fELF" + b"\xff" * 100, "is none of the kinds known here"),
        (b"PK\x03\x04 and no more", "is not a whole zip"),
        (zipped(**{"..__aws.csv": LAMBDA}), "holds a path"),
        (zipped(**{"readme.txt": "no prices"}), "has no price that can be used"),
        (zipped(**{"aws.csv": "a,b\n1,2\n"}), "lacks the column instance_name"),
        (LAMBDA, "is one file of a gpuhunt catalogue"),
        (OURS.splitlines()[0], "has no price that can be used"),
        (OURS + '"never closed', "is not CSV"),
    ],
)
def test_what_is_no_list_of_prices(tmp_path: Path, content: str | bytes, what: str) -> None:
    assert what in refused(tmp_path, content)


def test_a_file_that_is_too_large(tmp_path: Path) -> None:
    path = tmp_path / "prices.csv"
    with path.open("wb") as file:
        file.truncate(LARGEST_FILE + 1)
    with pytest.raises(InputError, match="has more than 128 MiB, as no list of prices has"):
        import_prices(path, DAY, folder=tmp_path / "sheets")


def test_what_is_no_file(tmp_path: Path) -> None:
    for path, what in (
        (tmp_path, "is a folder"),
        (tmp_path / "none.csv", "does not exist"),
        (Path("a\0b"), "not a path"),
    ):
        with pytest.raises(InputError, match=what):
            import_prices(path, DAY, folder=tmp_path / "sheets")


@pytest.mark.parametrize("name", ["../evil", "a/b", "", ".hidden", "x" * 80, "a b", "=x", "a\n"])
def test_names_that_are_no_name_of_a_sheet(tmp_path: Path, name: str) -> None:
    assert "is no name of a sheet" in refused(tmp_path, OURS, name=name)


@pytest.mark.parametrize("name", ["aws", "runpod", "skypilot", "gpuhunt-oci", "oci"])
def test_names_of_refreshed_sheets_are_kept_for_them(tmp_path: Path, name: str) -> None:
    assert "is the name of a sheet that `prices refresh` writes" in refused(tmp_path, OURS, name=name)


@pytest.mark.parametrize("name", ["our lab (2026).csv", "....csv", "löhne.csv", "=cmd.csv", "x" * 200 + ".csv"])
def test_any_file_name_makes_a_name_of_a_sheet(tmp_path: Path, name: str) -> None:
    sheet = imported(tmp_path, OURS, file=name).sheet
    assert sheet.parent == tmp_path / "sheets" and sheet.is_file() and sheet.name.startswith("imported-")


def test_a_provider_that_is_not_needed(tmp_path: Path) -> None:
    assert "leave out --provider" in refused(tmp_path, OURS, provider="aws")
