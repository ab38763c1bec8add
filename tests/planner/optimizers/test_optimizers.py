"""Optimizer states and temporaries, against the optimizers that `Trainer` builds, stepped for real."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from planner.errors import Abstention, InputError
from planner.optimizers import OPTIMIZERS, Trained, optimizer
from planner.run.rules import OPTIMIZERS as ACCEPTED
from tests.planner.optimizers.real import (
    SHAPES,
    parameters_of,
    real_optimizer,
    second_step_peak,
    state_bytes,
    step,
)


def trained(dtype: str, shapes: tuple[tuple[int, ...], ...] = SHAPES) -> list[Trained]:
    return [Trained(shape, dtype) for shape in shapes]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_states_are_those_of_a_real_step(name: str, dtype: str, tmp_path: Path) -> None:
    if dtype == "bfloat16" and name.startswith("rmsprop_bnb"):
        with pytest.raises(InputError, match="no kernel for bfloat16"):
            optimizer(name).state_bytes(trained(dtype))
        return
    real = real_optimizer(name, parameters_of(SHAPES, dtype), tmp_path)
    step(real)
    assert sum(optimizer(name).state_bytes(trained(dtype))) == state_bytes(real)


@pytest.mark.parametrize("name", ACCEPTED)
def test_every_accepted_name_is_known_or_abstains(name: str) -> None:
    if name.startswith("galore"):
        with pytest.raises(Abstention, match="optim_target_modules"):
            optimizer(name)
    else:
        assert optimizer(name).state_bytes(trained("float32")).device >= 0


def test_adamw_follows_the_dtype_of_the_parameter() -> None:
    one = [Trained((1000, 1000), "bfloat16")]
    assert optimizer("adamw_torch").state_bytes(one) == (2 * 2 * 10**6, 4)
    assert optimizer("adamw_torch_fused").state_bytes(one) == (2 * 2 * 10**6 + 4, 0)


def test_counts_are_so_many_tensors_of_one_shape() -> None:
    many = [Trained((64, 64), "float32", count=5)]
    one_by_one = [Trained((64, 64), "float32")] * 5
    for name in OPTIMIZERS:
        assert optimizer(name).state_bytes(many) == optimizer(name).state_bytes(one_by_one)
        assert optimizer(name).step_temporaries(many) == optimizer(name).step_temporaries(one_by_one)


def test_paged_states_leave_the_device_from_100_000_elements_on_and_their_scales_stay() -> None:
    # 100,000 elements: two bytes each on the host, 2 x 391 scales of 4 bytes and two maps of 1 KiB here
    large, small = Trained((1000, 100), "float32"), Trained((99_999,), "float32")
    assert optimizer("paged_adamw_8bit").state_bytes([large]) == (2 * 391 * 4 + 2048, 200_000)
    assert optimizer("paged_adamw_32bit").state_bytes([large, small]) == (8 * 99_999, 800_000)


def test_embeddings_keep_32_bit_states_as_trainer_asks(tmp_path: Path) -> None:
    import bitsandbytes

    embedding = torch.nn.Embedding(128, 64)
    (weight,) = embedding.parameters()
    weight.grad = torch.randn_like(weight)
    manager = bitsandbytes.optim.GlobalOptimManager.get_instance()
    manager.register_module_override(embedding, "weight", {"optim_bits": 32})
    try:
        real = real_optimizer("adamw_bnb_8bit", [weight], tmp_path)
        step(real)
        ours = optimizer("adamw_bnb_8bit").state_bytes([Trained((128, 64), "float32", embedding=True)])
        assert ours.device == state_bytes(real) == 8 * 128 * 64
    finally:
        manager.module_weight_config_triple.clear()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ["adamw_torch", "adamw_torch_fused", "sgd", "adagrad", "rmsprop"])
def test_step_temporaries_of_torch(name: str, dtype: str, tmp_path: Path) -> None:
    made = real_optimizer(name, parameters_of(SHAPES, dtype), tmp_path)
    if not name.endswith("fused"):
        made.param_groups[0]["foreach"] = True  # torch's default on CUDA, not on the CPU
    # scalars (the value that step counters are raised by) come on top
    assert second_step_peak(made) - optimizer(name).step_temporaries(trained(dtype)) in (0, 4)


@pytest.mark.parametrize("name", ["adamw_torch", "adagrad", "rmsprop"])
def test_step_temporaries_with_two_dtypes(name: str, tmp_path: Path) -> None:
    parameters = parameters_of(SHAPES[:2], "float32") + parameters_of(SHAPES[2:], "bfloat16")
    made = real_optimizer(name, parameters, tmp_path)
    made.param_groups[0]["foreach"] = True
    ours = optimizer(name).step_temporaries(trained("float32", SHAPES[:2]) + trained("bfloat16", SHAPES[2:]))
    assert 0 <= second_step_peak(made) - ours <= 4


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_step_temporaries_of_adafactor(dtype: str, tmp_path: Path) -> None:
    largest_last = ((7,), (64, 64), (300, 70), (512, 64))
    real = second_step_peak(real_optimizer("adafactor", parameters_of(largest_last, dtype), tmp_path))
    ours = optimizer("adafactor").step_temporaries(trained(dtype, largest_last))
    new_rms = 4 * len(largest_last)  # each step puts a new scalar in the place of the state's old one
    assert ours <= real <= ours + new_rms
    # elsewhere in the model its predecessor is smaller: the bound is over by that difference at most
    first = (largest_last[-1], *largest_last[:-1])
    other = second_step_peak(real_optimizer("adafactor", parameters_of(first, dtype), tmp_path))
    assert other <= real
