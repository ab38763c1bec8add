"""Gradient clipping against torch's."""

from __future__ import annotations

import torch

from planner.optimizers import Trained, clip_temporaries
from tests.planner.optimizers.real import SHAPES, parameters_of
from tests.support.live_bytes import LiveBytes


def test_the_cpu_allocates_the_norms_twice_and_a_few_scalars() -> None:
    parameters = parameters_of(SHAPES, "float32")
    live = LiveBytes([tensor for p in parameters for tensor in (p, p.grad) if tensor is not None])
    with live:
        torch.nn.utils.clip_grad_norm_(parameters, 1.0, foreach=True)
    norms = 4 * len(SHAPES)
    assert 2 * norms <= live.peak <= 2 * norms + 16
    # CUDA sums in chunks of 65,536: 262,144 elements are four of them, for each of the five tensors
    assert clip_temporaries([Trained(shape, "float32") for shape in SHAPES]) == norms + 4 * 5 * 4


def test_clipping_a_full_8b_model_takes_megabytes_not_gigabytes() -> None:
    # Llama-3-8B: 291 tensors, the largest has 128,256 x 4096 elements, 8016 chunks
    tensors = [Trained((128_256, 4096), "bfloat16", 2), Trained((4096, 4096), "bfloat16", 289)]
    assert clip_temporaries(tensors) == 2 * 291 + 4 * 291 * 8016
