"""`lora-plan prices refresh` against a server on this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import pricing.http
from pricing.sources import runpod, vast
from tests.lora_plan.cli import call
from tests.pricing.sources.test_runpod import answer, card
from tests.support.http_server import LocalServer, Reply, local_server


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[LocalServer]:
    """The services' addresses lead to it, and the user's sheets are in `tmp_path`."""
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("LORA_PLAN_PRICES", str(tmp_path))
    with local_server() as made:
        monkeypatch.setattr(pricing.http, "Client", lambda: made)
        yield made


def test_a_source(server: LocalServer, tmp_path: Path) -> None:
    server.answer(runpod.URL, Reply(answer(card(maxGpuCount=1))))
    done = call("prices", "refresh", "--source", "runpod")
    assert done.status == 0
    assert done.out.startswith("  runpod  3 prices; no row was left out\n\n  1 of 1 refreshed, in")
    assert (tmp_path / "runpod.csv").is_file()
    listed = json.loads(call("prices", "runpod", "--json").out)
    assert {offer["source"] for offer in listed["prices"]} == {runpod.URL}


def test_status_1_where_one_of_them_fails(server: LocalServer) -> None:
    server.answer(runpod.URL, Reply(answer(card(maxGpuCount=1))))
    server.answer(vast.URL, Reply("<html>", type="text/html"))
    done = call("prices", "refresh", "--source", "vast", "--source", "runpod")
    assert done.status == 1
    assert "not refreshed, there is no sheet of before: 127.0.0.1 answers with" in done.out
    assert "1 of 2 refreshed" in done.out
    assert max(map(len, done.out.splitlines())) <= 80


def test_the_sheet_of_before_stays(server: LocalServer, tmp_path: Path) -> None:
    server.answer(runpod.URL, Reply(answer(card(maxGpuCount=1))), Reply('{"data": {"gpuTypes": [', status=200))
    call("prices", "refresh", "--source", "runpod")
    before = (tmp_path / "runpod.csv").read_bytes()
    done = call("prices", "refresh", "--source", "runpod")
    assert done.status == 1
    assert "not refreshed, its 3 prices stay" in done.out
    assert (tmp_path / "runpod.csv").read_bytes() == before


def test_json(server: LocalServer, tmp_path: Path) -> None:
    server.answer(runpod.URL, Reply(answer(card(maxGpuCount=1), "no card")))
    done = call("prices", "refresh", "--source", "runpod", "--json")
    assert json.loads(done.out) == {
        "sources": [
            {
                "source": "runpod",
                "provider": "runpod",
                "refreshed": True,
                "offers": 3,
                "offers_before": None,
                "left_out": [{"why": "of another shape than documented", "rows": 1}],
                "error": None,
                "sheet": str(tmp_path / "runpod.csv"),
            }
        ]
    }


def test_what_a_service_says_cannot_move_the_cursor(server: LocalServer) -> None:
    server.answer(runpod.URL, Reply(json.dumps({"errors": [{"message": "\x1b[2J\x07gone\nhome"}]})))
    out = call("prices", "refresh", "--source", "runpod").out
    assert "\x1b" not in out and "\x07" not in out
    assert "[2J gone home" in out


@pytest.mark.parametrize(
    ("argv", "what"),
    [
        (("--source", "rumpod"), "did you mean 'runpod'?"),
        (("--source",), "needs a value"),
        (("--gpu", "l4"), "--gpu is for listing prices; leave it out of `prices refresh`"),
        (("--max-price", "2"), "--max-price is for listing prices"),
        (("runpod",), "name a source with --source"),
    ],
)
def test_bad_input(server: LocalServer, argv: tuple[str, ...], what: str) -> None:
    done = call("prices", "refresh", *argv)
    assert done.status == 2
    assert what in done.err
    assert server.asked == []
