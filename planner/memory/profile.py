"""Everything about a run's memory that does not depend on its batch, its sequence length or the card.

It is worked out once per model and kind of run and kept: a plan for another batch or card is then a few
sums.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from operator import attrgetter

from planner.adapter_file import adapter_file_bytes
from planner.architecture.modules import Architecture
from planner.memory.evaluation import profile_evaluation
from planner.memory.regime import regime_of
from planner.memory.step import Candidate, StepProfile, profile_step
from planner.memory.weights import BaseWeights, base_weights
from planner.methods import method_of
from planner.methods.counting import TrainableSummary, trainable
from planner.optimizers import StateBytes, optimizer
from planner.run import TrainingRun
from planner.strategies import strategy_of
from planner.tape.work import StepWork, together

_VARYING = {"model", "micro_batch_size", "sequence_length", "eval_batch_size"}
_structure = attrgetter(*(field.name for field in fields(TrainingRun) if field.name not in _VARYING and field.compare))
_UNCOUNTED = {
    "gradient_accumulation_steps",
    "gradient_checkpointing",
    "checkpoint_every",
    "use_reentrant",
    "kernels",
    "optimizer",
    "num_gpus",
}
_counted = attrgetter(
    *(field.name for field in fields(TrainingRun) if field.name not in _VARYING | _UNCOUNTED and field.compare)
)
_LARGEST_CACHE = 1024
_cache: dict[tuple[object, ...], RunProfile] = {}
_counts: dict[tuple[object, ...], tuple[TrainableSummary, BaseWeights]] = {}


@dataclass(frozen=True)
class RunProfile:
    """What is alive all along, and what comes and goes at each instant of a step."""

    architecture: Architecture
    run: TrainingRun
    """A run of this kind; its batch and sequence length mean nothing here."""
    weights: BaseWeights
    trained: TrainableSummary
    optimizer: StateBytes
    optimizer_temporaries: int
    """What the optimizer's step allocates and frees again, in bytes."""
    step: StepProfile
    evaluation: tuple[Candidate, ...]
    """Ledgers of an evaluation pass; empty where the run has none."""
    wrapped_parameters: int
    """Expert parameters that PEFT adapts although they are no layers (`target_parameters`)."""
    virtual_tokens: int
    """Tokens that the method puts before every sequence."""
    buckets: int
    """Bytes of the buffers in which gradients are sent to other GPUs, alive all along."""
    pools: int
    """Bytes that the allocator holds for other streams than the computation's."""

    @cached_property
    def work(self) -> StepWork:
        """What a micro-batch computes in all blocks, and before the first."""
        parts = [(block.work, count) for _, count, block in self.step.blocks]
        parts.append((self.step.embedding_work, 1))
        return StepWork(
            forward=together((work.forward, count) for work, count in parts),
            recompute=together((work.recompute, count) for work, count in parts),
            backward=together((work.backward, count) for work, count in parts),
        )

    @cached_property
    def adapter_file_bytes(self) -> int:
        """The adapter as `save_pretrained` writes it; 0 for full fine-tuning."""
        return adapter_file_bytes(self.architecture, self.run)


def run_profile(
    architecture: Architecture, run: TrainingRun, batch: int | None = None, sequence: int | None = None
) -> RunProfile:
    """The profile of a run, at its own batch and sequence length or at others.

    Raises `InputError` where the run does not suit the model, `Abstention` where it is not known.
    """
    batch = run.micro_batch_size if batch is None else batch
    sequence = run.sequence_length if sequence is None else sequence
    key = (
        architecture,
        _structure(run),
        regime_of(architecture, run, batch, sequence),
        min(run.eval_batch_size, 2),
    )
    found = _cache.get(key)
    if found is None:
        found = _profile(architecture, _resized(run, batch, sequence))
        if len(_cache) >= _LARGEST_CACHE:
            _cache.clear()
        _cache[key] = found
    return found


def _resized(run: TrainingRun, batch: int, sequence: int) -> TrainingRun:
    if (batch, sequence) == (run.micro_batch_size, run.sequence_length):
        return run
    return run.replace(micro_batch_size=batch, sequence_length=sequence)


def _profile(architecture: Architecture, run: TrainingRun) -> RunProfile:
    strategy = strategy_of(run)
    stored = strategy.stored(run)
    # the counts come first: they name a target or a rank that does not suit the model
    whole, kept = _stored(architecture, stored)
    strategy.check(architecture, run)
    trained = strategy.trained(architecture, stored, whole)
    method = method_of(run)
    weights = strategy.weights(architecture, stored, kept)
    states, temporaries = optimizer_bytes(run.optimizer, trained)
    step = profile_step(architecture, run)
    return RunProfile(
        architecture=architecture,
        run=run,
        weights=weights,
        trained=trained,
        optimizer=states,
        optimizer_temporaries=temporaries,
        step=step,
        evaluation=profile_evaluation(architecture, run) if run.eval_batch_size else (),
        wrapped_parameters=len(method.parameters(architecture, run)),
        virtual_tokens=method.virtual_tokens(run),
        buckets=strategy.buckets(trained),
        pools=strategy.pools(architecture, run, trained),
    )


def _stored(architecture: Architecture, run: TrainingRun) -> tuple[TrainableSummary, BaseWeights]:
    """What is trained and what is kept, of one GPU by itself: the same for all batches, kernels and optimizers."""
    key = (architecture, _counted(run))
    found = _counts.get(key)
    if found is None:
        found = trainable(architecture, run), base_weights(architecture, run)
        if len(_counts) >= _LARGEST_CACHE:
            _counts.clear()
        _counts[key] = found
    return found


def optimizer_bytes(name: str, trained: TrainableSummary) -> tuple[StateBytes, int]:
    """What an optimizer keeps, and the most that its step allocates besides."""
    chosen = optimizer(name)
    # Trainer steps matrices (with weight decay) and vectors (without) as two groups, one after the other
    temporaries = max(
        chosen.step_temporaries([tensor for tensor in trained.tensors if (len(tensor.shape) > 1) == matrices])
        for matrices in (True, False)
    )
    return chosen.state_bytes(trained.tensors), temporaries
