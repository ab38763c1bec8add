"""What a reader of a plan must know beside its numbers."""

from __future__ import annotations

from collections.abc import Iterator

from planner.architecture.modules import Architecture
from planner.catalogue import Gpu
from planner.memory.profile import RunProfile
from planner.methods.base import kept_dtype
from planner.run import TrainingRun
from planner.run.precision import compute_dtype
from planner.strategies.communicators import communicator_bytes
from planner.trainers import casts_back_to_bf16
from planner.units import format_bytes
from planner.versions import NEWEST, major_minor


def notes_on(architecture: Architecture, run: TrainingRun, gpu: Gpu | None, profile: RunProfile) -> Iterator[str]:
    """The notes on a run, the most important first."""
    yield from _dtype_on(run, gpu)
    yield from _several(run)
    yield from _experts(architecture, run, profile)
    if kept_dtype(run) != run.base_dtype and not casts_back_to_bf16(run):
        cast = [group for group in profile.weights.groups if group.label.startswith(("embeddings", "expert"))]
        rest = sum(group.parameters for group in cast)
        yield (
            f"prepare_model_for_kbit_training casts {rest:,} unquantized parameters to float32, "
            f"{format_bytes(2 * rest)} more than in 16 bits, and the activations with them "
            "(--no-prepare-kbit leaves them)"
        )
    if run.quantization in ("nf4", "fp4"):
        yield f"bnb_4bit_compute_dtype is taken to be {compute_dtype(run)}; transformers' own default is float32"
    if profile.wrapped_parameters:
        yield (
            f"PEFT 0.21 adapts {profile.wrapped_parameters} stacks of expert matrices as target_parameters: every "
            "forward pass makes a copy of each, with its update added"
        )
    longest = architecture.max_position_embeddings
    if longest is not None and run.sequence_length > longest:
        yield f"sequences of {run.sequence_length:,} tokens are longer than the {longest:,} the model was made for"
    yield from architecture.notes
    yield _followed(run)


def _followed(run: TrainingRun) -> str:
    if run.transformers_version is None:
        return (
            "formulas follow transformers 5.23, PEFT 0.21, bitsandbytes 0.50 and torch 2.13; name an older release "
            "with --transformers-version"
        )
    if major_minor(run.transformers_version) > NEWEST:
        return (
            f"transformers {run.transformers_version} is newer than 5.23, which the formulas follow, as PEFT 0.21, "
            "bitsandbytes 0.50 and torch 2.13"
        )
    return (
        f"what transformers {run.transformers_version} does otherwise than 5.23 is from its sources; formulas follow "
        "PEFT 0.21, bitsandbytes 0.50 and torch 2.13"
    )


def _dtype_on(run: TrainingRun, gpu: Gpu | None) -> Iterator[str]:
    uses = run.base_dtype == "bfloat16" or run.mixed_precision == "bf16"
    if gpu is not None and not gpu.native_bf16 and uses:
        yield f"{gpu.name} has no bfloat16: it is emulated and slow there; use --precision fp16"


def _several(run: TrainingRun) -> Iterator[str]:
    if run.num_gpus > 1:
        taken = format_bytes(communicator_bytes(run))
        yield (
            f"figures are those of each of {run.num_gpus} GPUs, with a micro-batch of its own; NCCL is taken to hold "
            f"{taken} on it beside PyTorch's allocator, as on A100s with NVLink"
        )


def _experts(architecture: Architecture, run: TrainingRun, profile: RunProfile) -> Iterator[str]:
    if run.quantization == "none":
        return
    for group in profile.weights.groups:
        if group.label.startswith("expert"):
            yield (
                f"{format_bytes(group.bytes)} of expert matrices stay unquantized: in transformers 5 they are "
                f"3-D parameters, not nn.Linear, and {run.quantization} leaves them alone"
            )
