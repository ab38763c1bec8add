"""The run that a claim states, and the runs near it that the article leaves open."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import combinations, product

from planner.catalogue import find_gpu
from planner.errors import InputError
from planner.run import TrainingRun
from profiler.claims.claim import Claim
from profiler.claims.words import setting

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
LOOSE_TARGETS = {"attention projections": ATTENTION}
"""Words of articles that leave open which modules they mean, with the most that they can mean."""

ALTERNATIVES: dict[str, tuple[object, ...]] = {
    "sequence_length": (1024, 512, 4096, 256, 8192, 128),
    "micro_batch_size": (2, 4, 8),
    "gradient_checkpointing": (False,),
    "quantization": ("nf4",),
    "prepare_kbit": (False,),
    "double_quant": (False,),
    "base_dtype": ("float32",),
    "optimizer": ("adamw_torch", "paged_adamw_8bit"),
    "rank": (8, 32, 64, 4, 1),
    "target_modules": (
        ("q_proj", "v_proj"),
        ATTENTION,
        ("q_proj", "k_proj", "v_proj"),
        ("q_proj",),
    ),
    "adapter_dtype": ("bfloat16",),
    "kernels": ("liger",),
}
"""What is tried for each field that an article leaves open, beside this tool's default: what moves most runs first."""

MOST_CHANGES = 2
"""How many of them at once."""

STATED = {
    "rank": "rank",
    "target_modules": "target_modules",
    "micro_batch_size": "batch_size",
    "sequence_length": "seq_len",
}
"""Field of a run -> field of a claim that states it."""


def stated_run(claim: Claim, means: Mapping[str, object] | None = None) -> TrainingRun:
    """The run as the article states it; `means`: fields that the claimed quantity itself states."""
    return TrainingRun(**_stated(claim, means or {}))


def sharded(claim: Claim) -> dict[str, object]:
    """What else a run on several cards is taken to be: sharded over all of them, which most models fit by."""
    cards = claim.n_gpus or 1
    return {"num_gpus": cards, "strategy": "fsdp"} if cards > 1 else {}


def assumed(run: TrainingRun, moving: Sequence[str]) -> tuple[tuple[str, object], ...]:
    """Those fields of `moving` that were left open, with the defaults they got."""
    return tuple((field, getattr(run, field)) for field in moving if field in run.defaulted)


@dataclass(frozen=True, slots=True)
class Nearby:
    """A run near the stated one, with what was chosen to be other, in words."""

    run: TrainingRun
    settings: tuple[str, ...]


def nearby(
    claim: Claim, run: TrainingRun, means: Mapping[str, object], moving: Sequence[str], changes: int
) -> Iterator[Nearby]:
    """Runs in which that many fields of `moving` that the claim leaves open are other than in `run`.

    A count to the last digit tells its settings whatever was said beside it: for such a claim, what it states may be
    other too.
    """
    given = () if _is_exact_count(claim) else [field for field, name in STATED.items() if _says(claim, name)]
    fields = [field for field in ALTERNATIVES if field in moving and field not in given]
    stated = _stated(claim, means)
    for chosen in combinations(fields, changes):
        for values in product(*(ALTERNATIVES[field] for field in chosen)):
            other = dict(zip(chosen, values, strict=True))
            if any(getattr(run, field) == value for field, value in other.items()):
                continue
            with suppress(InputError):  # raised where they do not go together
                yield Nearby(TrainingRun(**stated | other), tuple(setting(*item) for item in other.items()))


def _says(claim: Claim, name: str) -> bool:
    value = getattr(claim, name)
    return value is not None and value not in LOOSE_TARGETS


def _stated(claim: Claim, means: Mapping[str, object]) -> dict[str, object]:
    fields: dict[str, object] = {"model": claim.model, "method": claim.method, **means}
    for field, name in STATED.items():
        value = getattr(claim, name)
        if value is not None:
            fields[field] = LOOSE_TARGETS.get(value, value)
    if claim.gpu is not None and not find_gpu(claim.gpu).gpu.native_bf16:
        fields |= {"base_dtype": "float16", "mixed_precision": "fp16"}
    return fields


def _is_exact_count(claim: Claim) -> bool:
    return claim.unit == "count" and claim.figure is not None and claim.figure.high - claim.figure.low <= 1
