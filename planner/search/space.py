"""What a search varies, and the runs that come of it: what was said of a run is kept, the rest is tried."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from planner.run import TrainingRun
from planner.run.contradictions import inapplicable
from planner.run.rules import canonical_fields, parse_fields

DEFAULT_METHODS = ("full", "lora", "qlora", "int8-lora")
"""As `TrainingRun` reads a method; the others are tried where they are asked for."""

KERNELS = ("hf", "liger")
OPTIMIZERS = ("adamw_torch_fused", "adamw_bnb_8bit", "adafactor", "lion_8bit")
"""AdamW as it is and with 8-bit states, and two that keep less. Paged ones are for those who ask: what paging takes is
in no step time."""

CHECKPOINTING = (False, True)
STRATEGIES = ("ddp", "fsdp")

MICRO_BATCHES = (1, 2, 4, 8, 16, 32, 64, 128)
FEWEST_SEQUENCES = 8
MOST_SEQUENCES = 128
"""Of an optimizer step, on all GPUs together: gradients are accumulated up to the one, and no micro-batch goes beyond
the other, so that all ways learn from steps of a like size. Where --batch-size or --grad-accum says otherwise, neither
counts."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One method with one set of kernels, with or without checkpointing."""

    method: str
    """As it was asked for: `int8-lora`."""
    kernels: str
    gradient_checkpointing: bool


@dataclass(frozen=True, slots=True)
class Split:
    """How the sequences of an optimizer step are dealt out."""

    micro_batch_size: int
    gradient_accumulation_steps: int


@dataclass(frozen=True, slots=True)
class Space:
    """All the ways that are tried. What is first in a tuple is plainer than what follows."""

    fields: Mapping[str, object]
    """What all runs have in common, by the names of `TrainingRun`."""
    dropped: Mapping[str, frozenset[str]]
    """Method -> fields that mean nothing for it, though they were given: they are meant for the other methods."""
    methods: tuple[str, ...]
    kernels: tuple[str, ...]
    checkpointing: tuple[bool, ...]
    optimizers: tuple[str, ...]
    strategies: tuple[str, ...]
    """For several GPUs."""
    num_gpus: int | None
    """None: whatever offers have."""
    micro_batch_size: int | None
    gradient_accumulation_steps: int | None

    def settings(self) -> Iterator[Setting]:
        """Every combination of method, kernels and checkpointing."""
        return (Setting(*choice) for choice in product(self.methods, self.kernels, self.checkpointing))

    def splits(self, num_gpus: int) -> list[Split]:
        """The micro-batches that are tried on so many GPUs, each with its accumulation."""
        asked, accumulated = self.micro_batch_size, self.gradient_accumulation_steps
        batches = MICRO_BATCHES if asked is None else (asked,)
        if asked is None and accumulated is None:
            batches = [batch for batch in batches if batch == 1 or batch * num_gpus <= MOST_SEQUENCES]
        return [
            Split(batch, -(-FEWEST_SEQUENCES // (batch * num_gpus)) if accumulated is None else accumulated)
            for batch in batches
        ]

    def run(self, setting: Setting, optimizer: str, split: Split, num_gpus: int, strategy: str) -> TrainingRun:
        """The run of one way. Raises `InputError` where what was asked for does not go together."""
        dropped = self.dropped.get(setting.method, frozenset())
        common = {name: value for name, value in self.fields.items() if name not in dropped}
        return TrainingRun(
            **common,
            method=setting.method,
            kernels=setting.kernels,
            gradient_checkpointing=setting.gradient_checkpointing,
            optimizer=optimizer,
            micro_batch_size=split.micro_batch_size,
            gradient_accumulation_steps=split.gradient_accumulation_steps,
            num_gpus=num_gpus,
            strategy=strategy if num_gpus > 1 else "none",
        )


def space_of(fields: Mapping[str, object], methods: Sequence[str] = ()) -> Space:
    """The ways to train that `fields` of a run leave open. methods: those asked for, in any spelling; none: some.

    Raises `InputError` for a field that cannot be used, as `TrainingRun` does.
    """
    given = canonical_fields(fields)
    if "method" in given:
        methods = (*methods, str(given.pop("method")))
    _check(given, methods)
    kept = parse_fields(given)
    strategy = kept.pop("strategy", None)
    num_gpus = kept.pop("num_gpus", None)
    # a method in two spellings is one
    tried = tuple({str(parse_fields({"method": method})): method for method in methods}.values()) or _compatible(kept)
    varied = {
        name: kept.pop(name, None)
        for name in (
            "kernels",
            "gradient_checkpointing",
            "optimizer",
            "micro_batch_size",
            "gradient_accumulation_steps",
        )
    }
    kernels, checkpointing, optimizer = varied["kernels"], varied["gradient_checkpointing"], varied["optimizer"]
    micro, accumulated = varied["micro_batch_size"], varied["gradient_accumulation_steps"]
    return Space(
        fields=kept,
        dropped={} if methods else {method: _meaningless(kept, method) for method in tried},
        methods=tried,
        kernels=KERNELS if kernels is None else (str(kernels),),
        checkpointing=_checkpointing(checkpointing, kept),
        optimizers=OPTIMIZERS if optimizer is None else (str(optimizer),),
        strategies=STRATEGIES if strategy in (None, "none") else (str(strategy),),
        num_gpus=num_gpus if isinstance(num_gpus, int) else 1 if strategy == "none" else None,
        micro_batch_size=micro if isinstance(micro, int) else None,
        gradient_accumulation_steps=accumulated if isinstance(accumulated, int) else None,
    )


def _check(given: Mapping[str, object], methods: Sequence[str]) -> None:
    """Raise for what no run can have, before anything is left out for not going with a method."""
    for method in methods or (None,):
        TrainingRun(**(dict(given) | ({} if method is None else {"method": method})))


def _compatible(kept: Mapping[str, object]) -> tuple[str, ...]:
    """The default methods, without those that a given quantization rules out or would only repeat."""
    if kept.get("quantization") is None:
        return DEFAULT_METHODS
    return ("full", "lora") if kept["quantization"] == "none" else ("lora",)


def _meaningless(kept: Mapping[str, object], method: str) -> frozenset[str]:
    unused = inapplicable(TrainingRun(model="any", method=method))
    return frozenset(name for name in kept if name in unused)


def _checkpointing(asked: object, kept: Mapping[str, object]) -> tuple[bool, ...]:
    if asked is not None:
        return (asked is True,)
    how = ("checkpoint_every", "use_reentrant", "checkpoint_offload")
    return (True,) if any(kept.get(name) for name in how) else CHECKPOINTING
