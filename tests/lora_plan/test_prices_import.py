"""`lora-plan prices import FILE`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.lora_plan.cli import call
from tests.pricing.sources.test_skypilot import AWS
from tests.pricing.test_importing import OURS


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where the user's sheets are."""
    monkeypatch.setenv("LORA_PLAN_PRICES", str(tmp_path / "sheets"))
    return tmp_path / "sheets"


def test_ones_own(tmp_path: Path, folder: Path) -> None:
    file = tmp_path / "lab.csv"
    file.write_text(OURS)
    done = call("prices", "import", str(file))
    assert done.status == 0
    said = " ".join(done.out.split())
    assert said.startswith("2 prices of ourlab from a sheet of one's own, now in")
    assert "taken whole or not at all" in said
    listed = json.loads(call("prices", "ourlab", "--json").out)
    assert len(listed["prices"]) == 2
    assert "replacing the 2 prices that were in it" in " ".join(call("prices", "import", str(file)).out.split())
    assert [path.name for path in folder.iterdir()] == ["imported-lab.csv"]


def test_a_catalogue_in_json(tmp_path: Path, folder: Path) -> None:
    file = tmp_path / "vms.csv"
    file.write_text(AWS)
    done = call("prices", "import", str(file), "--provider", "aws", "--name", "aws-of-today", "--json")
    data = json.loads(done.out)
    assert (data["kind"], data["offers"], data["providers"]) == ("SkyPilot catalogue", 2, ["aws"])
    assert data["sheet"] == str(folder / "aws-of-today.csv")
    assert {"why": "without a GPU", "rows": 1} in data["left_out"]


def test_lines_fit_the_page(tmp_path: Path) -> None:
    file = tmp_path / "vms.csv"
    file.write_text(AWS)
    out = call("prices", "import", str(file), "--provider", "aws").out
    assert "Rows left out: 1 without a GPU" in " ".join(out.split())
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize(
    ("argv", "what"),
    [
        ((), "takes one file; name it"),
        (("a.csv", "b.csv"), "takes one file; name it"),
        (("none.csv",), "'none.csv' does not exist"),
        (("none.csv", "--source", "aws"), "--source is for listing prices; leave it out of `prices import`"),
        (("none.csv", "--provider", "aws", "--provider", "gcp"), "give --provider once"),
    ],
)
def test_bad_input(argv: tuple[str, ...], what: str) -> None:
    done = call("prices", "import", *argv)
    assert done.status == 2
    assert what in done.err
    assert "Traceback" not in done.err
