"""`lora-plan prices`."""

from __future__ import annotations

import json
import re
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from pricing.sheets import offers, write_sheet
from tests.lora_plan.cli import call
from tests.pricing.offers import an_offer


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's own sheets: none, whatever there is on this machine."""
    monkeypatch.setenv("LORA_PLAN_PRICES", str(tmp_path))
    return tmp_path


def listed(*argv: str) -> list[dict[str, object]]:
    outcome = call("prices", *argv, "--json")
    assert outcome.status == 0, outcome.err
    return json.loads(outcome.out)["prices"]


def refused(*argv: str) -> str:
    outcome = call("prices", *argv)
    assert (outcome.status, outcome.out) == (2, "")
    assert len(outcome.err.splitlines()) == 1
    return outcome.err


def test_all_prices_are_listed_the_cheapest_card_first() -> None:
    outcome = call("prices")
    assert outcome.status == 0
    assert max(map(len, outcome.out.splitlines())) <= 80
    assert f"{len(offers()):,} prices of 19 providers" in outcome.out
    prices = [float(str(price["usd_per_gpu_hour"])) for price in listed()]
    assert prices == sorted(prices)


def test_words_are_looked_for_in_everything_that_names_a_price() -> None:
    assert {price["provider"] for price in listed("runpod", "l40s")} == {"runpod"}
    assert {price["gpu"] for price in listed("RTX 4090")} == {"RTX4090"}
    assert {price["market"] for price in listed("vast", "Community")} == {"community"}
    assert {price["instance_type"] for price in listed("p5.48xlarge")} == {"p5.48xlarge"}
    assert {price["region"] for price in listed("aws", "us-west-2")} == {"us-west-2"}
    assert {price["gpu"] for price in listed("a100-80")} == {"A100-80GB-SXM", "A100-80GB-PCIe"}


def test_a_card_by_any_of_its_names_and_what_else_it_could_be() -> None:
    assert {price["gpu"] for price in listed("--gpu", "4090", "--gpu", "NVIDIA L4")} == {"RTX4090", "L4"}
    out = call("prices", "--gpu", "a100-80").out
    assert "'a100-80' is ambiguous (SXM or PCIe): A100-80GB-SXM is taken" in " ".join(out.split())


def test_each_option_narrows_the_list() -> None:
    some = listed("--gpu", "l4", "--provider", "GCP", "--market", "spot", "--region", "US", "--max-price", "$0.70")
    assert some
    for price in some:
        assert (price["gpu"], price["provider"], price["market"]) == ("L4", "gcp", "spot")
        assert str(price["region"]).startswith("us-")
        assert float(str(price["usd_per_gpu_hour"])) <= 0.70


def test_orders() -> None:
    by_card = [str(price["gpu"] or price["gpu_name"]) for price in listed("--sort", "gpu")]
    assert by_card == sorted(by_card)
    by_provider = [price["provider"] for price in listed("--sort", "provider")]
    assert by_provider == sorted(map(str, by_provider))
    by_age = [str(price["as_of"] or "") for price in listed("--sort", "age")]
    assert by_age == sorted(by_age, reverse=True)


def test_json_says_how_many_and_how_old() -> None:
    data = json.loads(call("prices", "--gpu", "l40s", "--json").out)
    assert data["count"] == len(data["prices"]) == len([offer for offer in offers() if offer.gpu == "L40S"])
    assert data["oldest"] <= data["newest"] <= data["today"]
    assert all(price["source"] for price in data["prices"])


def test_the_users_own_sheets_are_read(folder: Path) -> None:
    write_sheet(folder / "mine.csv", [an_offer(provider="my-cloud", usd_per_hour=Decimal("0.01"), as_of=date.today())])
    [price] = listed("--provider", "my-cloud")
    assert (price["usd_per_hour"], price["stale"]) == (0.01, False)
    assert "none is stale" in call("prices", "my-cloud").out


def test_a_bad_sheet_of_the_users_is_named(folder: Path) -> None:
    tomorrow = date.today() + timedelta(days=3)
    (folder / "mine.csv").write_text(
        "provider,instance_type,gpu,gpu_count,market,usd_per_hour,as_of,source\n"
        f"my-cloud,box,L40S,1,on-demand,1,{tomorrow},me\n",
        encoding="utf-8",
    )
    assert "mine.csv', line 2: as_of is" in refused()


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--gpu", "l4", "--provider", "lambda"], "--provider leaves no price of those that --gpu leaves; change or"),
        (["--gpu", "b300", "--market", "reserved"], "--market leaves no price of those that --gpu leaves"),
        (
            ["--gpu", "l4", "--provider", "gcp", "--region", "mars"],
            "--region leaves no price of those that --gpu and --provider leave",
        ),
        (["--max-price", "0.01"], "--max-price leaves no price; change it or leave it out"),
        (["--provider", "runpd"], "--provider: there is no price of 'runpd'; did you mean 'runpod'?"),
        (["--provider", "zzz"], "--provider: there is no price of 'zzz'; there are aws, azure, colab,"),
        (["--gpu", "l40q"], "GPU 'l40q' is not known"),
        (["--market", "preemptible"], "--market must be on-demand, spot, community or reserved, not 'preemptible'"),
        (["--sort", "prise"], "--sort must be price, gpu, age or provider, not 'prise'; did you mean 'price'?"),
        (["--region", " "], "--region is empty"),
        (["--max-price", "nan"], "--max-price must be US dollars above 0, such as 2.50, not 'nan'"),
        (["--max-price", "-1"], "--max-price must be US dollars above 0"),
        (["--max-price", "2€"], "--max-price must be US dollars above 0"),
        (["--gpu"], "option '--gpu' needs a value"),
        (["--source", "vast"], "--source is for `lora-plan prices refresh`; leave it out"),
        (["--name", "mine"], "--name is for `lora-plan prices import`; leave it out"),
        (["nosuchthing"], "prices holds 'nosuchthing'; give words of a card"),
        (["--gpus", "4"], "option '--gpus' is not known; did you mean '--gpu'?"),
    ],
)
def test_what_cannot_be_listed(argv: list[str], message: str) -> None:
    assert re.search(re.escape(message), refused(*argv))


def test_errors_are_json_too() -> None:
    outcome = call("prices", "--gpu", "l4", "--provider", "lambda", "--json")
    assert outcome.status == 2
    assert json.loads(outcome.out)["error"]["field"] == "provider"


def test_help() -> None:
    out = call("prices", "--help").out
    assert "lora-plan prices [QUERY] [OPTIONS]" in out
    assert all(
        flag in out for flag in ("--gpu", "--provider", "--market", "--region", "--max-price", "--sort", "--json")
    )
    assert max(map(len, out.splitlines())) <= 80
