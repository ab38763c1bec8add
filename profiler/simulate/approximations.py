"""What a simulation takes in place of what a GPU would do."""

from __future__ import annotations

from collections.abc import Iterator

from planner.catalogue import Gpu
from planner.run import TrainingRun


def approximations(run: TrainingRun, gpu: Gpu | None) -> tuple[str, ...]:
    """Those that hold for a run on a card, a sentence each."""
    return tuple(_approximations(run, gpu))


def _approximations(run: TrainingRun, gpu: Gpu | None) -> Iterator[str]:
    yield (
        "kernels' own scratch is counted for attention, gradient norms and embedding gradients, as their sources "
        "have it, and for cuBLAS as two workspaces; of other kernels it is not known"
    )
    yield "weights come onto the card one tensor at a time, in the shapes that the model has them in"
    paged = run.optimizer.startswith("paged")
    if run.checkpoint_offload or paged:
        yield "one stream: what is copied on a second one is allocated as on the first"
    if paged:
        yield "the states that the optimizer pages stay in host memory"
    if run.attention.startswith("flash") and run.micro_batch_size > 1 and not run.packing:
        yield "with padding, flash attention is shown as if every token were real"
    if run.attention == "sdpa" and _major(gpu) >= 9:
        yield "cuDNN's attention, which PyTorch prefers on this card, is shown as flash attention"
    if run.attention == "flash_attention_3":
        yield "flash attention 3 is shown as 2"
    if run.quantization in ("nf4", "fp4"):
        yield "4-bit weights are expanded for every product, also where bitsandbytes has a kernel for few tokens"
    if run.quantization == "int8":
        yield "no input of an int8 layer has outliers"
    if run.mixed_precision != "no":
        yield "the copy of the logits to float32 that accelerate makes once the loss is there is left out"
    if run.mixed_precision == "fp16":
        yield "the gradient scaler's few numbers are left out"


def _major(gpu: Gpu | None) -> int:
    major = gpu.compute_capability.partition(".")[0] if gpu is not None else ""
    return int(major) if major.isdigit() else 0
