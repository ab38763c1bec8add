"""Refreshing sheets: whole or not at all, and the old one stays."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from planner.errors import InputError
from pricing.http import RefreshError
from pricing.offer import ON_DEMAND, SPOT
from pricing.refresh import Outcome, choose, count_rows, refresh
from pricing.sheets import offers, read_sheet
from pricing.sources import SOURCES, Fetched, Get, Source
from pricing.sources.base import NO_GPU, Collector, Instance
from pricing.wanted import Wanted
from tests.support.http_server import LocalServer, Reply

DAY = date(2026, 11, 22)


def source(rows: int | str, provider: str = "runpod") -> Source:
    """A source that gives so many prices, or fails with a sentence."""

    def fetch(_get: Get, as_of: date) -> Fetched:
        if isinstance(rows, str):
            raise RefreshError(rows)
        collector = Collector(provider, "a list", as_of)
        collector.leave_out(NO_GPU, 3)
        for n in range(rows):
            instance = Instance(instance_type=f"L4 {n}", gpu_name="L4", gpu_count=Decimal(1), memory_gib=24)
            collector.add(instance, {ON_DEMAND: Decimal("0.5")})
        return collector.fetched()

    return Source(provider, provider, "a test", fetch)


def once(made: Source, folder: Path) -> Outcome:
    def get(*_: object) -> bytes:
        raise AssertionError

    (outcome,) = refresh([made], get, folder, DAY, lambda _phase, _share: None)
    return outcome


def test_a_first_refresh(tmp_path: Path) -> None:
    outcome = once(source(20), tmp_path / "prices")
    assert (outcome.offers, outcome.before, outcome.error, outcome.left_out) == (20, None, None, {NO_GPU: 3})
    sheet = read_sheet(outcome.sheet)
    assert outcome.sheet.name == "runpod.csv"
    assert len(sheet.offers) == 20 and {offer.as_of for offer in sheet.offers} == {DAY}


def test_a_refreshed_sheet_stands_in_for_the_bundled_prices(tmp_path: Path) -> None:
    once(source(20), tmp_path)
    found = offers(Wanted(providers=frozenset({"runpod"})), folder=tmp_path, today=DAY)
    assert {offer.source for offer in found} == {"a list"}


def test_a_source_that_fails_leaves_the_old_sheet(tmp_path: Path) -> None:
    once(source(20), tmp_path)
    content = (tmp_path / "runpod.csv").read_bytes()
    outcome = once(source("it is down; try again later"), tmp_path)
    assert (outcome.offers, outcome.before, outcome.error) == (None, 20, "it is down; try again later")
    assert (tmp_path / "runpod.csv").read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == ["runpod.csv"]


@pytest.mark.parametrize(("rows", "taken"), [(0, False), (1, False), (2, True), (19, True), (500, True)])
def test_a_source_that_loses_nearly_all_is_not_believed(tmp_path: Path, rows: int, taken: bool) -> None:
    once(source(20), tmp_path)
    outcome = once(source(rows), tmp_path)
    assert (outcome.error is None) is taken
    assert count_rows(tmp_path / "runpod.csv") == (rows if taken else 20)


def test_the_way_to_take_them_all_the_same(tmp_path: Path) -> None:
    once(source(20), tmp_path)
    error = once(source(1), tmp_path).error
    assert error is not None and f"remove {tmp_path / 'runpod.csv'} to take them" in error
    (tmp_path / "runpod.csv").unlink()
    assert once(source(1), tmp_path).offers == 1


def test_no_price_at_all_is_a_failure(tmp_path: Path) -> None:
    outcome = once(source(0), tmp_path)
    assert outcome.error == "runpod gives no price that can be used; look for a newer release"
    assert outcome.left_out == {NO_GPU: 3}
    assert not (tmp_path / "runpod.csv").exists()


def test_a_sheet_that_cannot_be_read_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "runpod.csv").write_text("garbage")
    outcome = once(source(20), tmp_path)
    assert (outcome.before, outcome.offers) == (None, 20)


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    outcome = once(source(20), tmp_path / "file")
    assert outcome.error is not None and "cannot be written" in outcome.error


def test_one_failure_does_not_stop_the_others(tmp_path: Path) -> None:
    told: list[tuple[str, float]] = []
    made = [source("it is down", "vast"), source(3, "runpod")]
    outcomes = refresh(made, lambda *_: b"", tmp_path, DAY, lambda phase, share: told.append((phase, share)))
    assert [outcome.error for outcome in outcomes] == ["it is down", None]
    assert told == [("fetching vast", 0.0), ("fetching runpod", 0.5)]


def test_all_sources_against_a_server_that_has_none_of_them(server: LocalServer, tmp_path: Path) -> None:
    outcomes = refresh(SOURCES, server.get, tmp_path, DAY, lambda *_: None)
    assert all(outcome.error and "status 404" in outcome.error for outcome in outcomes)
    assert list(tmp_path.iterdir()) == []


def test_all_sources_against_a_login_page(server: LocalServer, tmp_path: Path) -> None:
    def get(url: str, kind, body: bytes | None = None) -> bytes:
        server.answer(url, Reply("<html>Sign in to this network</html>", type="text/html"))
        return server.get(url, kind, body)

    outcomes = refresh(SOURCES, get, tmp_path, DAY, lambda *_: None)
    assert all(outcome.error and "text/html" in outcome.error for outcome in outcomes)


def test_choosing() -> None:
    assert choose([]) == list(SOURCES)
    assert [one.name for one in choose(["runpod", "aws"])] == ["skypilot-aws", "runpod"]
    assert [one.name for one in choose(["skypilot-aws"])] == ["skypilot-aws"]
    assert {one.catalogue for one in choose(["GPUhunt"])} == {"gpuhunt"}
    assert len(choose(["gpuhunt", "gpuhunt", "lambda"])) == len(choose(["gpuhunt"]))


def test_choosing_what_is_none() -> None:
    with pytest.raises(
        InputError, match=r"no source of prices 'runpood'; give one of .* did you mean 'runpod'\?"
    ) as caught:
        choose(["runpood"])
    assert caught.value.field == "source"


def test_a_spot_price_is_no_on_demand_price(tmp_path: Path) -> None:
    def fetch(_get: Get, as_of: date) -> Fetched:
        collector = Collector("vast", "a list", as_of)
        collector.add(Instance(instance_type="x", gpu_name="L4", gpu_count=Decimal(1)), {SPOT: Decimal("0.1")})
        return collector.fetched()

    once(Source("vast", "vast", "a test", fetch), tmp_path)
    assert [offer.market for offer in read_sheet(tmp_path / "vast.csv").offers] == [SPOT]
