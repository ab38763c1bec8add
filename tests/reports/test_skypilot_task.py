"""The task for SkyPilot, against the part of SkyPilot's own schema that it uses."""

from __future__ import annotations

import json
import re
import subprocess
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from planner.errors import InputError
from planner.run import TrainingRun
from pricing.offer import COMMUNITY, SPOT, Offer
from pricing.sheets import offers
from pricing.skypilot_names import can_rent
from reports.skypilot_task import billed_seconds_at_most, skypilot_task, usd_at_most
from tests.pricing.offers import an_offer

SCHEMA = json.loads((Path(__file__).parent / "data" / "skypilot_schema.json").read_text())
RUN = TrainingRun(model="llama-3.1-8b", method="qlora")
FILES = {"run.yaml": Path("/somewhere/run.yaml")}


def offer(**changes: Any) -> Offer:
    given: dict[str, Any] = {
        "provider": "gcp",
        "instance_type": "g2-standard-4",
        "gpu": "L4",
        "usd_per_hour": Decimal("0.704518"),
    }
    return an_offer(**(given | changes))


def task(run: TrainingRun = RUN, **changes: Any) -> dict[str, Any]:
    text = skypilot_task(
        run, offer(**changes), files=FILES, package="lora-plan[verify]==0.1.0", max_steps=10, max_seconds=300
    )
    return yaml.safe_load(text)


def problems(schema: dict[str, Any], value: Any, where: str = "") -> list[str]:
    """What JSON Schema (2020-12) has against a value, by the keywords that SkyPilot's schema uses here."""
    if "anyOf" in schema:
        found = [problems(choice, value, where) for choice in schema["anyOf"]]
        return [] if [] in found else found[0]
    kinds = {"string": str, "boolean": bool, "object": dict, "integer": int, "number": (int, float)}
    kind = schema["type"]
    if not isinstance(value, kinds[kind]) or (isinstance(value, bool) and kind != "boolean"):
        return [f"{where} is no {kind}"]
    wrong: list[str] = []
    if "pattern" in schema and not re.search(schema["pattern"], value):
        wrong.append(f"{where} does not match")
    if "minimum" in schema and kind in ("integer", "number") and value < schema["minimum"]:
        wrong.append(f"{where} is too small")
    if "exclusiveMinimum" in schema and value <= schema["exclusiveMinimum"]:
        wrong.append(f"{where} is too small")
    if kind == "object":
        rest = schema.get("additionalProperties", True)
        if len(value) > schema.get("maxProperties", len(value)):
            wrong.append(f"{where} has too many")
        for name, item in value.items():
            inner = schema.get("properties", {}).get(name, rest)
            if inner is False:
                wrong.append(f"{where}.{name} is not known")
            elif isinstance(inner, dict):
                wrong += problems(inner, item, f"{where}.{name}")
    return wrong


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"market": SPOT},
        {"provider": "aws", "instance_type": "p4d.24xlarge", "gpu": "A100-40GB-SXM", "gpu_count": 8},
        {"provider": "vast", "market": COMMUNITY, "gpu": "RTX4090"},
        {"provider": "digitalocean", "gpu": "MI300X"},
    ],
)
def test_it_is_what_skypilots_schema_allows(changes: dict[str, Any]) -> None:
    made = task(**changes)
    assert problems(SCHEMA["task"], made) == []
    assert problems(SCHEMA["resources"], made["resources"]) == []


def test_so_are_the_tasks_of_all_bundled_offers_that_can_be_rented() -> None:
    rented = {(one.provider, one.gpu, one.market): one for one in offers() if can_rent(one)}
    assert len(rented) > 50
    for one in rented.values():
        text = skypilot_task(RUN, one, files=FILES, package="lora-plan[verify]", max_steps=10, max_seconds=60)
        made = yaml.safe_load(text)
        assert problems(SCHEMA["task"], made) == problems(SCHEMA["resources"], made["resources"]) == []


def test_the_schema_would_find_mistakes() -> None:
    resources = task()["resources"]
    for change in (
        {"infra": "colab"},
        {"use_spot": "no"},
        {"disk_size": 1.5},
        {"max_hourly_cost": 0},
        {"autostop": {"idle_minutes": -1, "down": True}},
        {"accelerators": {"L4": 1, "T4": 1}},
        {"gpus": 1},
    ):
        assert problems(SCHEMA["resources"], resources | change)


def test_it_asks_for_the_offers_machine_at_no_higher_price() -> None:
    resources = task(market=SPOT)["resources"]
    assert resources["infra"] == "gcp" and resources["accelerators"] == {"L4": 1} and resources["use_spot"] is True
    assert resources["max_hourly_cost"] == 0.71  # 0.704518, up to the cent
    assert "instance_type" not in resources
    assert task(provider="lambda", instance_type="gpu_1x_a10", gpu="A10")["resources"]["instance_type"] == "gpu_1x_a10"


def test_nothing_keeps_billing() -> None:
    made = task()
    assert made["resources"]["autostop"] == {"idle_minutes": 5, "down": True}
    # a machine whose setup fails is not shut down, so there is none
    assert "setup" not in made
    lines = made["run"].splitlines()
    assert all(line.startswith("timeout") for line in lines if "pip" in line or "lora-plan verify --" in line)
    # 900 s to install, 300 to measure, 60 to start and end, 5 minutes idle
    assert billed_seconds_at_most(300) == 900 + 300 + 60 + 300
    assert usd_at_most(offer(), Decimal(1560)) == Decimal("0.31")  # 0.704518 x 1560 / 3600 = 0.30529


def test_versions_and_kernels_of_the_run_are_installed() -> None:
    run = TrainingRun(
        model="llama-3.1-8b",
        transformers_version="5.1.0",
        peft_version="0.18.1",
        kernels="liger",
        attention="flash_attention_2",
    )
    script = task(run)["run"]
    assert '"lora-plan[verify]==0.1.0" "transformers==5.1.0" "peft==0.18.1" "liger-kernel"' in script
    assert "pip install --quiet --no-build-isolation flash-attn" in script


def test_a_version_that_verify_cannot_run_is_refused() -> None:
    run = TrainingRun(model="llama-3.1-8b", transformers_version="4.48.1")
    with pytest.raises(InputError, match=r"transformers_version 4.48.1 cannot be measured: it takes 5.0 or newer"):
        task(run)


@pytest.mark.parametrize("package", ["", "x; rm -rf /", "lora-plan --index-url x", "a\nb", "$(x)"])
def test_a_package_cannot_be_a_command(package: str) -> None:
    with pytest.raises(InputError, match="no package that pip can install"):
        skypilot_task(RUN, offer(), files=FILES, package=package, max_steps=1, max_seconds=1)


def test_the_script_measures_shows_the_result_and_ends_as_verify_did(tmp_path: Path) -> None:
    home, tools = tmp_path / "home", tmp_path / "tools"
    (home / "lora-plan").mkdir(parents=True)
    tools.mkdir()
    for name, body in {"pip": 'echo "$@" > ~/installed', "lora-plan": 'echo "$@" > ~/asked; echo "{}"; exit 1'}.items():
        (tools / name).write_text(f"#!/bin/sh\n{body}\n")
        (tools / name).chmod(0o755)
    environment = {"HOME": str(home), "PATH": f"{tools}:/usr/bin:/bin"}
    done = subprocess.run(["bash", "-c", task()["run"]], env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        "--- lora-plan verify: begin of the result",
        "{}",
        "--- lora-plan verify: end of the result",
    ]
    assert (home / "installed").read_text() == "install --quiet lora-plan[verify]==0.1.0\n"
    assert (home / "asked").read_text() == "verify --run run.yaml --max-steps 10 --max-seconds 300 --json\n"


def test_an_installation_that_fails_ends_it(tmp_path: Path) -> None:
    (tmp_path / "pip").write_text("#!/bin/sh\nexit 2\n")
    (tmp_path / "pip").chmod(0o755)
    done = subprocess.run(
        ["bash", "-c", task()["run"]],
        env={"HOME": str(tmp_path), "PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (1, "")
