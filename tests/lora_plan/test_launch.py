"""`verify --launch`: what it would rent, and that it rents only when told to. `sky` is a script that writes down."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from lora_plan.launch import LaunchPlan, launch_plan, start, write
from lora_plan.launch_view import launch_json, launch_text
from planner.errors import InputError
from planner.run import TrainingRun, read_run
from pricing.offer import COMMUNITY, SPOT, Offer
from reports.page import Page
from tests.pricing.offers import an_offer

TODAY = date(2026, 7, 29)
RUN = TrainingRun(model="llama-3.1-8b", method="qlora", rank=8)


def offer(provider: str, usd: str, **changes: Any) -> Offer:
    given: dict[str, Any] = {
        "provider": provider,
        "instance_type": f"of-{provider}",
        "gpu": "L4",
        "usd_per_hour": Decimal(usd),
        "as_of": TODAY,
    }
    return an_offer(**(given | changes))


OFFERS = (
    offer("gcp", "0.72"),
    offer("aws", "0.80"),
    offer("verda", "0.10"),
    offer("gcp", "0.30", market=SPOT),
    offer("runpod", "0.20", market=COMMUNITY),
    offer("lambda", "0.05", gpu="A10"),
)


def planned(folder: Path, run: TrainingRun = RUN, gpu: str = "l4", **changes: Any) -> LaunchPlan:
    given: dict[str, Any] = {"max_steps": 10, "max_seconds": 300.0, "offers": OFFERS, "today": TODAY}
    return launch_plan(run, gpu, folder=folder, package="lora-plan[verify]==0.1.0", **(given | changes))


@pytest.fixture
def sky(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `sky` on PATH that appends its arguments to the file, and ends as the file `status` beside it says."""
    tools = tmp_path / "tools"
    tools.mkdir()
    calls = tools / "calls"
    script = f"""#!/bin/sh
echo "$@" >> {calls}
exit "$(cat {tools}/"$1")"
"""
    (tools / "sky").write_text(script)
    (tools / "sky").chmod(0o755)
    (tools / "launch").write_text("0")
    (tools / "down").write_text("0")
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
    return calls


def test_the_cheapest_machine_that_skypilot_gives_back_is_taken(tmp_path: Path) -> None:
    plan = planned(tmp_path)
    assert (plan.offer.provider, plan.offer.usd_per_hour) == ("gcp", Decimal("0.72"))
    # 1560 s at 0.72 USD an hour
    assert (plan.held_seconds, plan.most_usd) == (1560, Decimal("0.32"))
    assert planned(tmp_path, provider="AWS").offer.provider == "aws"
    assert planned(tmp_path, spot=True).offer.usd_per_hour == Decimal("0.30")


def test_nothing_is_bought_or_written_by_planning(tmp_path: Path, sky: Path) -> None:
    plan = planned(tmp_path / "probe")
    text = launch_text(plan, Page(width=100))
    assert "$0.72 an hour (2026-07-29); SkyPilot takes none that costs more" in text
    assert "$0.32 at most" in text and "Nothing is bought without --yes." in text
    assert f"sky launch --yes --cluster {plan.cluster} --down -i 5 {tmp_path / 'probe' / 'task.yaml'}" in text
    document = json.loads(json.dumps(launch_json(plan)))
    assert (document["max_usd"], document["usd_per_hour"]) == ("0.32", "0.72")
    assert not sky.exists() and not (tmp_path / "probe").exists()


def test_what_is_written_is_what_is_sent(tmp_path: Path) -> None:
    plan = planned(tmp_path / "new" / "probe")
    write(plan)
    task = yaml.safe_load((plan.folder / "task.yaml").read_text())
    for path in task["file_mounts"].values():
        assert Path(path).is_file()
    assert read_run(task["file_mounts"]["~/lora-plan/run.yaml"]) == RUN
    assert sorted(path.name for path in plan.folder.iterdir()) == ["run.yaml", "task.yaml"]


def test_of_a_model_of_ones_own_the_config_is_sent_and_nothing_else(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    config = {
        "model_type": "llama",
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "vocab_size": 128,
    }
    (model / "config.json").write_text(json.dumps(config))
    (model / "model.safetensors").write_text("weights")
    plan = planned(tmp_path / "probe", TrainingRun(model=str(model)))
    write(plan)
    assert read_run(plan.folder / "run.yaml").model == "./config.json"
    assert json.loads((plan.folder / "config.json").read_text()) == config
    assert set(yaml.safe_load(plan.task)["file_mounts"]) == {"~/lora-plan/run.yaml", "~/lora-plan/config.json"}
    assert str(model) not in plan.task


def test_the_money_pays_for_all_of_the_time_that_the_machine_is_held(tmp_path: Path) -> None:
    # at 0.72 an hour 0.28 pays for 1400 s, of which 1260 are for installing, starting and idling
    plan = planned(tmp_path, max_usd=Decimal("0.28"))
    assert plan.seconds == pytest.approx(140) and plan.most_usd <= Decimal("0.28")
    assert "--max-seconds 140 " in plan.task
    with pytest.raises(InputError, match=r"--max-usd 0.25 does not pay for .* that takes \$0.27; give as much"):
        planned(tmp_path, max_usd=Decimal("0.25"))
    assert planned(tmp_path, max_usd=Decimal("0.27")).most_usd <= Decimal("0.27")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"provider": "verda"}, "SkyPilot cannot rent a machine of verda and give it back by itself"),
        ({"provider": "azure"}, "no price of a L4 of azure is known"),
        ({"gpu": "rtx3060"}, "SkyPilot has no RTX3060-12GB to rent"),
        ({"gpu": "a10", "spot": True}, "no spot price of a A10 is known"),
        ({"gpu": "l5"}, "GPU 'l5' is not known"),
        ({"offers": ()}, "no price of a L4 is known that SkyPilot can rent, so its cost has no bound"),
    ],
)
def test_what_cannot_be_rented_is_a_sentence(tmp_path: Path, changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        planned(tmp_path, **changes)


def test_an_old_price_and_a_name_for_two_cards_are_said(tmp_path: Path) -> None:
    old = offer("vast", "0.93", gpu="A100-80GB-SXM", gpu_count=2, market=COMMUNITY, as_of=date(2026, 1, 1))
    notes = " ".join(planned(tmp_path, gpu="a100-80gb-sxm", offers=(old,)).notes)
    assert "the price is old" in notes and "SkyPilot calls it A100-80GB" in notes and "all are paid for" in notes


def test_with_yes_it_is_rented_and_given_back(tmp_path: Path, sky: Path) -> None:
    plan = planned(tmp_path / "probe")
    write(plan)
    assert start(plan) == 0
    launched, ended = sky.read_text().splitlines()
    assert launched == f"launch --yes --cluster {plan.cluster} --down -i 5 {plan.folder / 'task.yaml'}"
    assert ended == f"down --yes {plan.cluster}"


def test_it_is_given_back_where_the_task_fails_too(tmp_path: Path, sky: Path) -> None:
    (sky.parent / "launch").write_text("100")
    plan = planned(tmp_path)
    assert start(plan) == 100
    assert sky.read_text().splitlines()[-1] == f"down --yes {plan.cluster}"


def test_a_machine_that_may_still_be_there_is_said(tmp_path: Path, sky: Path) -> None:
    (sky.parent / "down").write_text("1")
    plan = planned(tmp_path)
    with pytest.raises(InputError, match=rf"{plan.cluster} may still be there and cost \$0.72 an hour; run `sky down"):
        start(plan)


def test_without_skypilot_nothing_is_rented(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="sky is not on PATH, so nothing was rented"):
        start(planned(tmp_path))


def test_a_folder_that_cannot_be_written_to_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        write(planned(tmp_path / "file" / "probe"))


def test_secrets_of_the_environment_are_not_in_the_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    plan = planned(tmp_path / "probe")
    write(plan)
    assert not [path for path in plan.folder.iterdir() if "hf_secret" in path.read_text()]


def test_two_probes_have_two_machines(tmp_path: Path) -> None:
    assert planned(tmp_path).cluster == planned(tmp_path).cluster
    assert planned(tmp_path).cluster != planned(tmp_path, RUN.replace(rank=16)).cluster
