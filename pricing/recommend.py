"""`recommend`: the cheapest and fastest ways to do a job that fit, over cards, methods and offers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from planner.architecture.modules import Architecture
from planner.catalogue import Gpu, find_gpu, list_gpus
from planner.footprint import footprint
from planner.job import Job, job_time
from planner.memory.profile import run_profile
from planner.memory.supported import with_supported_attention
from planner.notes import notes_on
from planner.plan import plan_memory, resolve
from planner.run import TrainingRun
from planner.search.evaluate import Sheet, evaluate
from planner.search.prepare import cards_with_rates, prepare
from planner.search.space import Space, space_of
from planner.strategies.communicators import usable_bytes
from planner.time.step import step_at_length
from pricing.frontier import Candidate, Place, Priced, candidates, fastest_places, frontier, undominated, unlike
from pricing.misses import memory_miss
from pricing.offer import Offer
from pricing.quote import quote
from pricing.recommendation import LeftOut, LimitMiss, MemoryMiss, Recommendation, Way
from pricing.sheets import offers as known_offers
from pricing.wishes import Wishes, wanted_offers

DEFAULT_TOKENS = 10_000_000
"""Of the job that is taken where none is given."""

NO_WISHES = Wishes()
Offers = Mapping[tuple[int, str], Sequence[Offer]]


@dataclass(frozen=True, slots=True)
class Searched:
    """All ways of a space on all cards that somebody offers."""

    space: Space
    architecture: Architecture
    job: Job
    assumed_job: bool
    sheets: tuple[Sheet, ...]
    offers: tuple[Offer, ...]
    left_out: tuple[LeftOut, ...]
    notes: tuple[str, ...]


def recommend(
    fields: Mapping[str, object],
    job: Job | None = None,
    wishes: Wishes = NO_WISHES,
    *,
    offers: Sequence[Offer] | None = None,
    today: date | None = None,
) -> Recommendation:
    """The ways to do `job` that nothing beats in both cost and time.

    fields: of the run, as `TrainingRun` takes them, such as {"model": "llama-3.1-8b"}; what is given is kept, and
    method, micro-batch, accumulation, checkpointing, optimizer, kernels, strategy and cards are searched where they are
    not. job: by default 10 million tokens. offers: by default those of `lora-plan prices`. Raises `InputError` where
    nothing is left to search, and `Abstention` where the planner knows no way to train the model.
    """
    today = today or date.today()
    everything = known_offers(today=today) if offers is None else offers
    searched = search_offers(fields, wishes, job, everything)
    return _Choice(searched, wishes, today).recommendation(everything)


def search_offers(fields: Mapping[str, object], wishes: Wishes, job: Job | None, offers: Sequence[Offer]) -> Searched:
    """Every way to train on every card that is offered as wished. Raises as `recommend` does."""
    space = space_of(fields, wishes.methods)
    wanted = wanted_offers(offers, wishes, space.num_gpus)
    _, architecture = resolve(str(space.fields["model"]), _version(space))
    known, unknown = cards_with_rates([find_gpu(name).gpu for name in sorted({offer.gpu or "" for offer in wanted})])
    by_count: dict[int, dict[str, Gpu]] = {}
    names = {gpu.name: gpu for gpu in known}
    for offer in wanted:
        if offer.gpu in names:
            by_count.setdefault(offer.gpu_count, {})[offer.gpu] = names[offer.gpu]
    assumed = job is None
    job = job or Job(tokens=DEFAULT_TOKENS)
    prepared = prepare(architecture, space, {count: tuple(cards.values()) for count, cards in by_count.items()}, job)
    left_out = tuple(
        LeftOut(reason, ways) for reason, ways in sorted(prepared.left_out.items(), key=lambda item: -item[1])
    )
    ambiguous = [find_gpu(name).note for name in wishes.gpus]
    return Searched(
        space,
        architecture,
        job,
        assumed,
        evaluate(prepared),
        tuple(offer for offer in wanted if offer.gpu in names),
        left_out,
        tuple(note for note in (*ambiguous, *unknown) if note),
    )


def _version(space: Space) -> str | None:
    version = space.fields.get("transformers_version")
    return version if isinstance(version, str) else None


class _Choice:
    """What is chosen of a search."""

    def __init__(self, searched: Searched, wishes: Wishes, today: date) -> None:
        self._searched, self._wishes, self._today = searched, wishes, today
        self._offers = unlike(searched.offers)

    def recommendation(self, everything: Sequence[Offer]) -> Recommendation:
        searched, space = self._searched, self._searched.space
        found = {method: self._candidates(method) for method in space.methods}
        frontiers = {method: self._within(candidates) for method, candidates in found.items()}
        whole = undominated(
            [priced for kept in frontiers.values() for priced in kept],
            lambda priced: priced.candidate.hours,
            lambda priced: priced.usd,
        )
        best = [kept[-1] for kept in frontiers.values() if kept]
        ways = {id(priced): self._way(priced.candidate) for priced in (*whole, *best)}
        per_card = Counter((offer.gpu_count, offer.gpu) for offer in searched.offers)
        misses = [memory_miss(space, searched.sheets, method, self._offers) for method in space.methods]
        return Recommendation(
            model=str(space.fields["model"]),
            job=searched.job,
            assumed_job=searched.assumed_job,
            sequence_length=searched.sheets[0].sequence_length,
            more_given=bool(space.fields.keys() - {"model", "sequence_length"}),
            considered=sum(
                sheet.ways * per_card[sheet.num_gpus, gpu.name] for sheet in searched.sheets for gpu in sheet.gpus
            ),
            plans=sum(sheet.ways * len(sheet.gpus) for sheet in searched.sheets),
            fitting=sum(int(sheet.fits.sum()) for sheet in searched.sheets),
            offers=len(searched.offers),
            frontier=tuple(undominated([ways[id(one)] for one in whole], lambda way: way.hours, lambda way: way.usd)),
            by_method=tuple(sorted((ways[id(one)] for one in best), key=lambda way: way.usd)),
            memory_misses=tuple(sorted(filter(None, misses), key=_by_need)),
            limit_misses=tuple(self._limit_misses(found, frontiers)),
            emptied_by=None if whole else self._emptied_by(found),
            left_out=searched.left_out,
            without_offers=self._without_offers(everything),
            notes=searched.notes,
        )

    def _candidates(self, method: str) -> list[Candidate]:
        return candidates(fastest_places(self._searched.sheets, method), self._offers)

    def _within(self, found: Sequence[Candidate]) -> list[Priced]:
        """The frontier within the deadline and the budget."""
        deadline, budget = self._wishes.deadline_hours, self._wishes.budget
        in_time = [one for one in found if deadline is None or one.hours <= deadline]
        return [one for one in frontier(in_time, self._price) if budget is None or one.usd <= budget]

    def _price(self, candidate: Candidate) -> Decimal:
        place = candidate.place
        sheet, hours = place.sheet, place.hours
        return quote(
            candidate.offer,
            (hours, hours, hours),
            self._today,
            disk_bytes=round(float(sheet.disk_bytes[place.setting, place.optimizer])),
            leaving_bytes=round(float(sheet.leaving_bytes[place.setting])),
        ).usd

    def _run(self, place: Place) -> TrainingRun:
        sheet = place.sheet
        run = self._searched.space.run(
            sheet.settings[place.setting],
            sheet.optimizers[place.optimizer],
            sheet.splits[place.split],
            sheet.num_gpus,
            sheet.strategy,
        )
        return with_supported_attention(self._searched.architecture, run)

    def _way(self, candidate: Candidate) -> Way:
        """The plan of a candidate, worked out by itself."""
        place, architecture = candidate.place, self._searched.architecture
        run, gpu = self._run(place), place.sheet.gpus[place.card]
        profile = run_profile(architecture, run)
        files = footprint(architecture, run, profile)

        step_at = step_at_length(architecture, run, gpu)
        job = job_time(run, self._searched.job, step_at, files)
        return Way(
            method=place.sheet.settings[place.setting].method,
            run=run,
            gpu=gpu.name,
            reserved_bytes=plan_memory(run, gpu).peak_bytes.reserved,
            usable_bytes=usable_bytes(gpu, run),
            step=step_at(run.sequence_length),
            job=job,
            quote=quote(
                candidate.offer,
                job,
                self._today,
                disk_bytes=files.disk_bytes,
                leaving_bytes=files.adapter_file_bytes,
            ),
            notes=tuple(notes_on(architecture, run, gpu, profile)),
        )

    def _limit_misses(
        self, found: Mapping[str, Sequence[Candidate]], frontiers: Mapping[str, Sequence[Priced]]
    ) -> list[LimitMiss]:
        """For each method that no way is left of: by how much the nearest one misses a limit."""
        deadline, budget = self._wishes.deadline_hours, self._wishes.budget
        out: list[LimitMiss] = []
        for method, ways in found.items():
            if frontiers[method] or not ways:
                continue
            in_time = [one for one in ways if deadline is None or one.hours <= deadline]
            if not in_time and deadline is not None:
                way = self._way(ways[0])
                out.append(LimitMiss(method, "deadline", way, None, way.hours - deadline))
            elif budget is not None:
                way = self._way(frontier(in_time, self._price)[-1].candidate)
                out.append(LimitMiss(method, "budget", way, way.usd - budget, None, deadline is not None))
        return sorted(out, key=lambda miss: (miss.limit, miss.over_usd or 0, miss.over_hours or 0))

    def _emptied_by(self, found: Mapping[str, Sequence[Candidate]]) -> str:
        """What leaves no way: the limits together where each alone leaves some."""
        every = [one for ways in found.values() for one in ways]
        if not every:
            return "memory"
        deadline, budget = self._wishes.deadline_hours, self._wishes.budget
        if deadline is not None and not any(one.hours <= deadline for one in every):
            return "deadline"
        cheapest = min(frontier(ways, self._price)[-1].usd for ways in found.values() if ways)
        if deadline is None or (budget is not None and cheapest > budget):
            return "budget"
        return "budget and deadline"

    def _without_offers(self, everything: Sequence[Offer]) -> tuple[str, ...]:
        offered = {offer.gpu for offer in everything}
        asked = {find_gpu(name).gpu.name for name in self._wishes.gpus}
        most = self._wishes.gpu_memory_gb
        return tuple(
            gpu.name
            for gpu in list_gpus()
            if gpu.name not in offered
            and (not asked or gpu.name in asked)
            and (most is None or gpu.marketing_gb <= most)
        )


def _by_need(miss: MemoryMiss) -> float:
    return miss.needed_bytes / miss.usable_bytes
