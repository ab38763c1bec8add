"""The bundled prices and the user's own."""

from __future__ import annotations

import subprocess
import sys
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from planner.errors import InputError
from pricing.offer import Offer
from pricing.sheets import offers, price_folder, replaces_bundled, user_sheets, write_sheet
from pricing.wanted import Wanted
from tests.pricing.offers import TODAY, an_offer

L40S = Wanted(gpus=frozenset({"L40S"}))
HOME = Path.home()


def found(folder: Path, wanted: Wanted = L40S) -> tuple[Offer, ...]:
    return offers(wanted, folder=folder, today=TODAY)


def test_without_sheets_of_ones_own_the_bundled_ones_are_all_there_is(tmp_path: Path) -> None:
    everything = offers(folder=tmp_path / "none", today=TODAY)
    assert len(everything) > 800
    l40s = found(tmp_path)
    assert l40s == tuple(offer for offer in everything if offer.gpu == "L40S")
    assert {"aws", "runpod", "nebius"} <= {offer.provider for offer in l40s}


def test_all_wishes_count(tmp_path: Path) -> None:
    wanted = Wanted(
        gpus=frozenset({"L4"}),
        providers=frozenset({"gcp"}),
        markets=frozenset({"spot"}),
        regions=frozenset({"us-central1"}),
        max_usd_per_gpu_hour=Decimal(1),
        min_gpu_count=2,
    )
    some = found(tmp_path, wanted)
    assert some
    for offer in some:
        assert (offer.gpu, offer.provider, offer.market, offer.region) == ("L4", "gcp", "spot", "us-central1")
        assert offer.gpu_count >= 2 and offer.usd_per_gpu_hour <= 1


def test_an_imported_sheet_adds_to_the_bundled_prices(tmp_path: Path) -> None:
    bundled = found(tmp_path)
    mine = an_offer(provider="my-cloud")
    write_sheet(tmp_path / "mine.csv", [mine])
    assert set(found(tmp_path)) == {*bundled, mine}


def test_a_refreshed_sheet_stands_in_for_the_bundled_prices_of_its_providers(tmp_path: Path) -> None:
    fresh = an_offer(instance_type="fresh")
    write_sheet(tmp_path / "runpod.csv", [fresh, an_offer(provider="aws", gpu="T4", gpu_name="T4")])
    now = found(tmp_path)
    assert [offer for offer in now if offer.provider == "runpod"] == [fresh]
    # also where what is wanted of it is nothing
    assert not [offer for offer in now if offer.provider == "aws"]
    assert [offer for offer in now if offer.provider == "nebius"]


def test_of_two_prices_of_one_thing_the_newer_counts_and_of_one_day_ones_own(tmp_path: Path) -> None:
    [bundled] = [offer for offer in found(tmp_path) if offer.instance_type == "1x L40S secure"]
    for day, counts in ((date(2026, 1, 1), False), (bundled.as_of, True), (TODAY, True)):
        mine = an_offer(usd_per_hour=Decimal(5), as_of=day)
        write_sheet(tmp_path / "mine.csv", [mine])
        [now] = [offer for offer in found(tmp_path) if offer.instance_type == bundled.instance_type]
        assert now == (mine if counts else bundled)


def test_a_bad_sheet_of_ones_own_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text(
        "provider,instance_type,gpu,gpu_count,market,usd_per_hour,as_of,source\n"
        "my-cloud,box,L40S,1,on-demand,1,2026-12-24,me\n",
        encoding="utf-8",
    )
    with pytest.raises(InputError, match=r"mine\.csv', line 2: as_of is 2026-12-24, which is in the future"):
        found(tmp_path)


def test_other_files_are_no_sheets(tmp_path: Path) -> None:
    for name in ("notes.txt", ".half-written.csv", ".0123.tmp"):
        (tmp_path / name).write_text("not a sheet", encoding="utf-8")
    write_sheet(tmp_path / "b.csv", [])
    write_sheet(tmp_path / "a.csv", [])
    assert [path.name for path in user_sheets(tmp_path)] == ["a.csv", "b.csv"]
    assert found(tmp_path)


def test_refreshed_sheets_are_named_after_a_provider_or_a_catalogue_of_several() -> None:
    assert replaces_bundled("runpod")
    assert replaces_bundled("skypilot")
    assert not replaces_bundled("mine")


@pytest.mark.parametrize(
    ("environment", "platform", "folder"),
    [
        ({"LORA_PLAN_PRICES": "here"}, "linux", Path("here")),
        ({"XDG_DATA_HOME": "/data"}, "linux", Path("/data/lora-plan/prices")),
        ({"XDG_DATA_HOME": "data"}, "linux", HOME / ".local/share/lora-plan/prices"),
        ({}, "linux", HOME / ".local/share/lora-plan/prices"),
        ({}, "darwin", HOME / "Library/Application Support/lora-plan/prices"),
        ({"LOCALAPPDATA": "/local"}, "win32", Path("/local/lora-plan/prices")),
    ],
)
def test_the_folder_of_ones_own_sheets(environment: dict[str, str], platform: str, folder: Path) -> None:
    assert price_folder(environment, platform) == folder


def test_without_a_home_there_are_only_the_bundled_prices(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("LORA_PLAN_PRICES", raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    with pytest.raises(InputError, match="set LORA_PLAN_PRICES to a folder"):
        price_folder({}, "linux")
    assert user_sheets() == []


def test_reading_prices_imports_no_network_and_nothing_heavy() -> None:
    heavy = "{'urllib.request', 'http.client', 'ssl', 'zipfile', 'numpy', 'pandas', 'rich', 'typer'}"
    code = f"import sys; from pricing.sheets import offers; assert offers(); print(*{heavy} & set(sys.modules))"
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True, timeout=60
    )
    # the catalogue of models, which comes along with that of cards, reads JSON
    assert set(done.stdout.split()) <= {"json"}
