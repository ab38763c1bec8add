"""Ways drawn from a search, beside the same runs planned one by one."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from planner.catalogue import Gpu, list_gpus
from planner.footprint import footprint
from planner.job import Job, job_time
from planner.memory.profile import run_profile
from planner.memory.supported import with_supported_attention
from planner.plan import plan_memory, resolve, verdict
from planner.run import TrainingRun
from planner.search.evaluate import Sheet, evaluate
from planner.search.prepare import prepare
from planner.search.space import Space, space_of
from planner.time.step import step_at_length

CARDS = tuple(list_gpus())


@dataclass(frozen=True)
class Way:
    """One way of a sheet."""

    sheet: Sheet
    place: tuple[int, int, int, int]
    run: TrainingRun
    gpu: Gpu

    def verdict(self) -> str:
        if self.sheet.fits[self.place]:
            return "fits"
        return "tight" if self.sheet.tight[self.place] else "does_not_fit"


def searched(fields: dict[str, object], job: Job, counts: tuple[int, ...] = (1, 2, 4, 8)) -> tuple[Space, list[Sheet]]:
    """Every card of the catalogue in each number."""
    space = space_of(fields)
    _, architecture = resolve(str(fields["model"]))
    cards = dict.fromkeys(counts, CARDS)
    return space, list(evaluate(prepare(architecture, space, cards, job)))


def drawn(space: Space, sheets: list[Sheet], count: int, seed: int) -> list[Way]:
    """Ways drawn at random."""
    random = Random(seed)
    ways: list[Way] = []
    while len(ways) < count:
        sheet = random.choice(sheets)
        setting, optimizer, split, gpu = (random.randrange(size) for size in sheet.hours.shape)
        place = setting, optimizer, split, gpu
        if not sheet.possible[place[0], place[2]]:
            continue
        run = space.run(
            sheet.settings[place[0]],
            sheet.optimizers[place[1]],
            sheet.splits[place[2]],
            sheet.num_gpus,
            sheet.strategy,
        )
        run = with_supported_attention(resolve(run.model)[1], run)
        ways.append(Way(sheet, place, run, sheet.gpus[place[3]]))
    return ways


def differences(way: Way, job: Job) -> dict[str, float]:
    """How far the search's figures are from the plan's: bytes, and shares of seconds."""
    architecture = resolve(way.run.model)[1]
    memory = plan_memory(way.run, way.gpu)
    sheet, place = way.sheet, way.place

    at = step_at_length(architecture, way.run, way.gpu)
    step = at(way.run.sequence_length).step_s
    files = footprint(architecture, way.run, run_profile(architecture, way.run))
    hours = job_time(way.run, job, at, files).hours
    usable = sheet.usable[place[3]]
    reserved, allocated = sheet.reserved[place], sheet.allocated[place]
    held = reserved if allocated > usable else min(reserved, usable)
    return {
        "allocated": abs(allocated - memory.peak_bytes.allocated),
        "reserved": abs(held - memory.peak_bytes.reserved),
        "verdict": float(verdict(memory, way.gpu) != way.verdict()),
        "step": abs(sheet.step_s[place] / step - 1),
        "hours": abs(sheet.hours[place] / hours - 1),
    }
