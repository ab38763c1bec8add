"""`lora-plan verify --launch`: the measurement on a rented machine, through SkyPilot's command line.

Nothing is bought unless `start` is called; what would be is written down and said first.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path

from planner.catalogue import find_gpu
from planner.catalogue.models import match_model
from planner.errors import InputError
from planner.plan import loaded_config
from planner.run import TrainingRun, write_run
from pricing.ages import staleness
from pricing.billing import billed_seconds
from pricing.money import plain
from pricing.offer import SPOT, Offer
from pricing.providers import find_provider
from pricing.sheets import offers as known_offers
from pricing.skypilot_names import CLOUDS, accelerator_name, can_rent, cloud_name
from pricing.wanted import Wanted
from profiler.whole_file import whole_file
from reports.skypilot_task import IDLE_MINUTES, billed_seconds_at_most, skypilot_task, usd_at_most

TASK, RUN, CONFIG = "task.yaml", "run.yaml", "config.json"

LEAST_SECONDS = 60.0
"""Less than that, and a model is hardly loaded."""


@dataclass(frozen=True, slots=True)
class LaunchPlan:
    """A measurement that could be rented."""

    offer: Offer
    """What its price is from."""
    cluster: str
    """The name that the machine gets in SkyPilot."""
    folder: Path
    """Where the files are written: the task, the run, and the config of a model that is not in the catalogue."""
    task: str
    """YAML."""
    run: TrainingRun
    config: dict[str, object] | None
    seconds: float
    """The measurement's own bound."""
    held_seconds: float
    """The longest that the machine is held, installing and idling included."""
    most_usd: Decimal
    """What that costs."""
    notes: tuple[str, ...]

    @property
    def command(self) -> tuple[str, ...]:
        """What rents the machine, runs the task and follows its log."""
        file = str(self.folder / TASK)
        return ("sky", "launch", "--yes", "--cluster", self.cluster, "--down", "-i", str(IDLE_MINUTES), file)

    @property
    def ending(self) -> tuple[str, ...]:
        """What gives the machine back."""
        return ("sky", "down", "--yes", self.cluster)


def launch_plan(
    run: TrainingRun,
    gpu: str,
    *,
    folder: Path,
    package: str,
    max_steps: int,
    max_seconds: float,
    max_usd: Decimal | None = None,
    provider: str | None = None,
    spot: bool = False,
    offers: Sequence[Offer] | None = None,
    today: date | None = None,
) -> LaunchPlan:
    """The cheapest machine with that card that SkyPilot can rent, and the task for it. Writes nothing.

    folder: for the files, which `write` writes. package: what pip installs lora-plan from there. max_usd: for all of
    the time that the machine is held. provider: None is any. offers: by default all that are known. Raises `InputError`
    where there is no such machine or no price, or where `max_usd` does not pay for the installation.
    """
    card = find_gpu(gpu).gpu.name
    today = today or date.today()
    offer = _cheapest(card, provider, spot, known_offers(today=today) if offers is None else offers)
    seconds = max_seconds
    if max_usd is not None:
        seconds = min(seconds, float(max_usd / offer.usd_per_hour * 3600) - billed_seconds_at_most(0))
    if seconds < min(LEAST_SECONDS, max_seconds):
        least = usd_at_most(offer, Decimal(billed_seconds_at_most(LEAST_SECONDS)))
        raise InputError(
            f"--max-usd {max_usd} does not pay for renting, installing and measuring: at ${plain(offer.usd_per_hour)} "
            f"an hour that takes ${least}; give as much, or name a cheaper card",
            field="max_usd",
        )
    folder = folder.absolute()
    sent, config = _portable(run)
    files = {RUN: folder / RUN} | ({CONFIG: folder / CONFIG} if config is not None else {})
    task = skypilot_task(sent, offer, files=files, package=package, max_steps=max_steps, max_seconds=seconds)
    digest = hashlib.sha256(f"{task}{sent.to_dict()}".encode()).hexdigest()[:8]
    held = billed_seconds_at_most(seconds)
    return LaunchPlan(
        offer=offer,
        cluster=f"lora-plan-{digest}",
        folder=folder,
        task=task,
        run=sent,
        config=config,
        seconds=seconds,
        held_seconds=held,
        most_usd=usd_at_most(offer, billed_seconds(Decimal(held), find_provider(offer.provider))),
        notes=_notes(offer, card, today),
    )


def write(plan: LaunchPlan) -> None:
    """Write the task and what it sends. Raises `InputError` where the folder cannot be written to."""
    try:
        plan.folder.mkdir(parents=True, exist_ok=True)
        write_run(plan.run, plan.folder / RUN)
        texts = {TASK: plan.task}
        if plan.config is not None:
            texts[CONFIG] = json.dumps(plan.config, indent=2) + "\n"
        for name, text in texts.items():
            with whole_file(plan.folder / name) as file:
                file.write(text.encode())
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise InputError(f"the task cannot be written to {plan.folder} ({reason}); name another folder") from None


def start(plan: LaunchPlan) -> int:
    """Rent the machine, run the task and give the machine back, whatever ends it; gives the status of `sky launch`.

    This buys. The log goes to this process's own streams. Raises `InputError` where SkyPilot is not installed, and
    where the machine may still be there.
    """
    sky = shutil.which("sky")
    if sky is None:
        raise InputError(
            "sky is not on PATH, so nothing was rented; pip install skypilot with your cloud, run `sky check`, and try "
            "again",
            field="launch",
        )
    try:
        return subprocess.run((sky, *plan.command[1:]), check=False).returncode
    finally:
        _give_back(sky, plan)


def _give_back(sky: str, plan: LaunchPlan) -> None:
    status = None
    with contextlib.suppress(OSError):
        status = subprocess.run((sky, *plan.ending[1:]), check=False).returncode
    if status != 0:
        raise InputError(
            f"the machine {plan.cluster} may still be there and cost ${plain(plan.offer.usd_per_hour)} an hour; run "
            f"`{shlex.join(plan.ending)}` until it succeeds",
            field="launch",
        )


def _cheapest(card: str, provider: str | None, spot: bool, offers: Sequence[Offer]) -> Offer:
    wanted_provider = None
    if provider is not None:
        wanted_provider = provider.strip().lower()
        cloud_name(wanted_provider)
    accelerator_name(card, wanted_provider or "")
    wanted = Wanted(
        gpus=frozenset((card,)), providers=frozenset((wanted_provider,)) if wanted_provider else frozenset()
    )
    found = [offer for offer in wanted.of(offers) if can_rent(offer) and (offer.market == SPOT) == spot]
    if not found:
        what = f"{'spot ' if spot else ''}price of a {card}{f' of {provider}' if provider else ''}"
        raise InputError(
            f"no {what} is known that SkyPilot can rent, so its cost has no bound; `lora-plan prices {card}` lists "
            f"those that are known, and SkyPilot rents from {', '.join(CLOUDS)}",
            field="gpu",
        )
    return min(found, key=lambda offer: (offer.usd_per_hour, offer.gpu_count, offer.provider, offer.instance_type))


def _portable(run: TrainingRun) -> tuple[TrainingRun, dict[str, object] | None]:
    """The run as another machine can read it, and the config to send with it: the catalogue is there too, while a path,
    or a model that asks for an account on the hub, is not. Only the config is sent, no weights."""
    if match_model(run.model) is not None and not Path(run.model).exists():
        return run, None
    return run.replace(model=f"./{CONFIG}"), dict(loaded_config(run.model).config)


def _notes(offer: Offer, card: str, today: date) -> tuple[str, ...]:
    notes: list[str] = []
    if staleness(offer, today).stale:
        notes.append("the price is old; if none as low is left, SkyPilot finds no machine: `lora-plan prices refresh`")
    name = accelerator_name(card, offer.provider)
    if name != card and offer.provider in ("gcp", "runpod", "vast", "nebius", "shadeform"):
        notes.append(
            f"SkyPilot calls it {name}, which may be of another form than {card}; the result says which it was"
        )
    if offer.market == SPOT:
        notes.append("a spot machine may be taken away before the measurement ends")
    if offer.gpu_count > 1:
        notes.append(f"one of its {offer.gpu_count} cards is measured on; all are paid for")
    return tuple(notes)
