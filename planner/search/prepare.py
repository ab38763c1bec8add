"""What a search needs before it can be arrays: one walk through the model for each kind of run, and the job's steps."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# numpy's stubs are written in the syntax of Python 3.12; to 3.10 much of them is unknown

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from planner.architecture.modules import Architecture
from planner.catalogue import Gpu
from planner.errors import Abstention, InputError
from planner.footprint import footprint
from planner.job import Job
from planner.memory.profile import RunProfile
from planner.plan_types import Footprint
from planner.run import TrainingRun
from planner.search.ledgers import Holes, Kept, Ledgers, kept_of, ledgers_of
from planner.search.points import Points
from planner.search.prepared import NONE, Part, Places, Prepared, Timed
from planner.search.profiles import Profiles, with_optimizers
from planner.search.seconds import cards_of, works_of
from planner.search.space import Setting, Space, Split
from planner.search.workload import coarse, evaluation_share, seconds_beside, workload
from planner.strategies import strategy_of
from planner.time.exchange import WHOLE, bytes_sent, offloaded
from planner.time.rates import efficiency, rates_of
from planner.time.step import update_seconds


def cards_with_rates(gpus: Sequence[Gpu]) -> tuple[list[Gpu], list[str]]:
    """The cards whose speed is known, and why that of the others is not."""
    known: list[Gpu] = []
    reasons: list[str] = []
    for gpu in gpus:
        try:
            rates_of(gpu)
        except Abstention as abstention:
            reasons.append(abstention.reason)
        else:
            known.append(gpu)
    return known, reasons


def prepare(
    architecture: Architecture, space: Space, cards_by_count: Mapping[int, Sequence[Gpu]], job: Job
) -> Prepared:
    """Every way of `space`, on every card of `cards_by_count` (how many cards -> of which).

    Ways that the planner does not know are counted by their reason. Raises `InputError` or `Abstention` where none is
    left, and `InputError` for a field of the run that does not suit the model.
    """
    return _Preparation(architecture, space, cards_by_count, coarse(job)).prepared()


class _Preparation:
    def __init__(
        self, architecture: Architecture, space: Space, cards_by_count: Mapping[int, Sequence[Gpu]], job: Job
    ) -> None:
        gpus = {gpu.name: gpu for count in sorted(cards_by_count) for gpu in cards_by_count[count]}
        self.architecture, self.space, self.job = architecture, space, job
        self.cards = cards_of(tuple(gpus.values()), efficiency())
        self.columns = {
            count: np.array([list(gpus).index(gpu.name) for gpu in cards_by_count[count]])
            for count in sorted(cards_by_count)
        }
        self.profiles = Profiles(architecture, space)
        self.refused: dict[tuple[Setting, str, bool], Exception] = {}
        self.reasons: Counter[str] = Counter()
        self.memory, self.times = _Wanted(), _Wanted()
        self.variants: dict[int, tuple[RunProfile, ...]] = {}
        self.files: dict[str, Footprint] = {}
        self.updates: dict[tuple[str, str, int], float] = {}
        self.settings = tuple(setting for setting in space.settings() if self._planned(setting))
        if not self.settings:
            raise next(iter(self.refused.values()))

    def prepared(self) -> Prepared:
        parts = tuple(self._part(count, strategy) for count in self.columns for strategy in self._strategies(count))
        parts = tuple(part for part in parts if (part.memory != NONE).any())
        if not parts:
            raise next(iter(self.refused.values()))
        holes, ledgers = Holes(), dict[int, Ledgers]()
        kept: list[tuple[Kept, Places]] = []
        for profile, places in self.memory.items():
            if id(profile.step) not in ledgers:
                ledgers[id(profile.step)] = ledgers_of(profile)
            made = kept_of(self._variants(profile), ledgers[id(profile.step)], _points(places), holes)
            kept.append((made, np.array(list(places.values()))))
        timed = tuple(
            Timed(works_of(profile, self.cards.shares), _points(places), np.array(list(places.values())))
            for profile, places in self.times.items()
        )
        return Prepared(self.space, self.settings, self.cards, tuple(kept), timed, parts, dict(self.reasons))

    def _planned(self, setting: Setting) -> bool:
        """Whether one GPU by itself can be planned, which everything else goes back to."""
        try:
            self.profiles.alone(setting, False, 1)
        except (Abstention, InputError) as error:
            self._refuse(setting, "none", False, error)
            ways = sum(
                len(self.space.splits(count)) * (1 if count == 1 else len(self.space.strategies))
                for count in self.columns
            )
            self._count(error, ways)
            return False
        return True

    def _strategies(self, count: int) -> Iterator[str]:
        """Those to try on so many cards: where they keep shares, only on as many as instances are mostly sold with."""
        if count == 1:
            yield "none"
            return
        for strategy in self.space.strategies:
            if strategy not in WHOLE and count & (count - 1):
                ways = len(self.settings) * len(self.space.splits(count))
                self._count(Abstention(f"{strategy} is only searched on powers of two of cards"), ways)
                continue
            yield strategy

    def _refuse(self, setting: Setting, strategy: str, accumulating: bool, error: Exception) -> None:
        if isinstance(error, InputError) and error.field in self.space.fields:
            raise error
        self.refused[setting, strategy, accumulating] = error

    def _count(self, error: Exception, ways: int) -> None:
        reason = error.reason if isinstance(error, Abstention) else str(error)
        self.reasons[reason] += ways * len(self.space.optimizers)

    def _profile(self, setting: Setting, split: Split, num_gpus: int, strategy: str) -> RunProfile | None:
        accumulating = split.gradient_accumulation_steps > 1
        known = self.refused.get((setting, strategy, accumulating))
        if known is None:
            try:
                return self.profiles.on(setting, accumulating, split.micro_batch_size, num_gpus, strategy)
            except (Abstention, InputError) as error:
                self._refuse(setting, strategy, accumulating, error)
                known = error
        self._count(known, 1)
        return None

    def _part(self, num_gpus: int, strategy: str) -> Part:
        space, optimizers = self.space, self.space.optimizers
        splits = tuple(space.splits(num_gpus))
        runs = tuple(space.run(self.settings[0], optimizers[0], split, num_gpus, strategy) for split in splits)
        loads = [workload(run, self.job) for run in runs]
        length = runs[0].sequence_length
        most = max(len(load.lengths) for load in loads)
        shape, deep = (len(self.settings), len(splits)), (len(self.settings), len(optimizers), len(splits))
        memory, whole = np.full(shape, NONE), np.zeros(shape, dtype=np.intp)
        lengths, shares = np.zeros((*shape, most), dtype=np.intp), np.zeros((len(splits), most))
        sent, moved, evaluated = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        updated, beside = np.zeros(deep[:2]), np.zeros(deep)
        disk, leaving = np.zeros(deep[:2]), np.zeros(shape[0])
        for column, load in enumerate(loads):
            shares[column, : len(load.lengths)] = [share for _, share in load.lengths]
        for row, setting in enumerate(self.settings):
            files: list[Footprint] = []
            for column, (split, run, load) in enumerate(zip(splits, runs, loads, strict=True)):
                profile = self._profile(setting, split, num_gpus, strategy)
                if profile is None:
                    continue
                batch = split.micro_batch_size
                alone = self.profiles.alone(setting, split.gradient_accumulation_steps > 1, batch)
                memory[row, column] = self.memory.place(profile, batch, length)
                whole[row, column] = self.times.place(alone, batch, length)
                lengths[row, column, : len(load.lengths)] = [
                    self.times.place(alone, batch, tokens) for tokens, _ in load.lengths
                ]
                sent[row, column] = bytes_sent(alone, run) if num_gpus > 1 else 0.0
                if run.checkpoint_offload:
                    moved[row, column] = 2 * run.gradient_accumulation_steps * offloaded(alone, run)
                evaluated[row, column] = evaluation_share(self.profiles.run(setting), load)
                if not files:
                    # neither depends on the split
                    files = [self._footprint(setting, variant, run) for variant in self._variants(profile)]
                    updated[row] = [self._updated(setting, alone, name, run) for name in optimizers]
                    disk[row], leaving[row] = [each.disk_bytes for each in files], files[0].adapter_file_bytes
                beside[row, :, column] = [seconds_beside(self.job, load, num_gpus, each) for each in files]
        return Part(
            num_gpus=num_gpus,
            strategy=strategy,
            splits=splits,
            runs=runs,
            columns=self.columns[num_gpus],
            memory=memory,
            whole=whole,
            lengths=lengths,
            shares=shares,
            accumulated=np.array([float(split.gradient_accumulation_steps) for split in splits]),
            updated=updated,
            sent=sent,
            offloaded=moved,
            steps=np.array([load.steps for load in loads]),
            evaluated=evaluated,
            beside=beside,
            disk=disk,
            leaving=leaving,
        )

    def _variants(self, profile: RunProfile) -> tuple[RunProfile, ...]:
        """The profile under each optimizer."""
        if id(profile) not in self.variants:
            self.variants[id(profile)] = tuple(with_optimizers(profile, self.space.optimizers))
        return self.variants[id(profile)]

    def _updated(self, setting: Setting, alone: RunProfile, optimizer: str, run: TrainingRun) -> float:
        sharded = 1 if run.strategy in WHOLE else run.num_gpus
        key = (setting.method, optimizer, sharded)
        if key not in self.updates:
            rates = rates_of(self.cards.gpus[0])
            spent = update_seconds(alone, run.replace(optimizer=optimizer), rates, self.cards.shares)
            self.updates[key] = spent * rates.bandwidth
        return self.updates[key]

    def _footprint(self, setting: Setting, profile: RunProfile, run: TrainingRun) -> Footprint:
        """Of the run with the profile's optimizer: what is not the optimizer's is the same for all runs of a method."""
        if setting.method not in self.files:
            self.files[setting.method] = footprint(self.architecture, profile.run, profile)
        known = self.files[setting.method]
        states = (profile.optimizer.device + profile.optimizer.host) * (run.num_gpus if strategy_of(run).shards else 1)
        checkpoint = known.adapter_file_bytes + states
        disk = known.disk_bytes - known.checkpoint_bytes + checkpoint
        return replace(known, checkpoint_bytes=checkpoint, disk_bytes=disk)


class _Wanted:
    """Which micro-batches are wanted of which profiles, and the place of each among all."""

    def __init__(self) -> None:
        self._profiles: dict[int, RunProfile] = {}
        self._places: dict[int, dict[tuple[int, int], int]] = {}
        self._next = 0

    def place(self, profile: RunProfile, batch: int, sequence: int) -> int:
        """sequence: without virtual tokens."""
        # an object that is kept keeps its id
        self._profiles[id(profile)] = profile
        places = self._places.setdefault(id(profile), {})
        key = (batch, sequence + profile.virtual_tokens)
        if key not in places:
            places[key] = self._next
            self._next += 1
        return places[key]

    def items(self) -> Iterator[tuple[RunProfile, dict[tuple[int, int], int]]]:
        """Each profile with its (batch, sequence) -> place."""
        return ((self._profiles[key], places) for key, places in self._places.items())


def _points(pairs: Iterable[tuple[int, int]]) -> Points:
    batches, sequences = np.array(list(pairs), dtype=np.float64).T
    return Points(batches, sequences)
