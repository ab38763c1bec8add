"""Optimizers on fake tensors, against real steps on the CPU, bitsandbytes' rule and the planner's table."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import nn

from planner.errors import Abstention, InputError
from planner.optimizers import OPTIMIZERS, Trained, clip_temporaries
from planner.run import TrainingRun
from planner.run.rules import OPTIMIZERS as ACCEPTED
from profiler.simulate.build.optimizers import Roles, clip, make_optimizer, roles, step
from profiler.simulate.device.backend import NAME
from tests.planner.optimizers.real import real_optimizer, second_step_peak
from tests.profiler.simulate.device.test_bitsandbytes import BytesOn, simulated

SHAPES: dict[str, tuple[int, ...]] = {
    "a.weight": (4096, 64),
    "b.weight": (64, 64),
    "c.bias": (7,),
    "d.weight": (1001, 7),
    "e.weight": (3, 500, 70),
    "f.norm.weight": (5000,),
    "wte.weight": (128, 64),
}
"""Above and below bitsandbytes' 4096 elements and its 100,000; two in the group without decay; an embedding."""

ROLES = Roles(frozenset(SHAPES) - {"c.bias", "f.norm.weight"}, frozenset({"wte.weight"}))
BITSANDBYTES = {name: (states, bits) for states, bits, names in (
    (2, 8, ("adamw_bnb_8bit", "paged_adamw_8bit")),
    (2, 32, ("paged_adamw_32bit",)),
    (1, 8, ("lion_8bit", "paged_lion_8bit", "rmsprop_bnb_8bit")),
    (1, 32, ("lion_32bit", "paged_lion_32bit", "rmsprop_bnb", "rmsprop_bnb_32bit")),
    (3, 8, ("ademamix_8bit", "paged_ademamix_8bit")),
    (3, 32, ("ademamix", "paged_ademamix_32bit")),
) for name in names}  # fmt: skip


class Stepped(NamedTuple):
    """Bytes beside parameters and gradients."""

    device: int
    """Kept after two steps."""
    host: int
    temporaries: int
    """Of the second step, beside what is kept."""
    clipping: int


def stepped(name: str, dtype: str) -> Stepped:
    run = TrainingRun(model="tiny", optimizer=name)
    with simulated(), BytesOn(NAME, []) as device, BytesOn("cpu", []) as host:
        parameters = list(fake_parameters(dtype))
        start = device.now
        optimizer = make_optimizer(run, parameters, ROLES)
        step(optimizer)
        kept = device.peak = device.now
        step(optimizer)
        assert device.now == kept
        temporaries, device.peak = device.peak - kept, kept
        clip([parameter for _, parameter in parameters], 1.0)
        return Stepped(kept - start, host.now, temporaries, device.peak - kept)


def fake_parameters(dtype: str) -> Iterator[tuple[str, nn.Parameter]]:
    for name, shape in SHAPES.items():
        parameter = nn.Parameter(torch.empty(shape, dtype=getattr(torch, dtype), device=NAME))
        parameter.grad = torch.empty_like(parameter)
        yield name, parameter


def trained(dtype: str, decayed: bool | None = None) -> list[Trained]:
    return [
        Trained(shape, dtype, embedding=name in ROLES.embeddings)
        for name, shape in SHAPES.items()
        if decayed is None or (name in ROLES.decayed) is decayed
    ]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_states_and_temporaries_are_the_planners(name: str, dtype: str) -> None:
    if dtype == "bfloat16" and name.startswith("rmsprop_bnb"):
        with pytest.raises(InputError, match="no kernel for bfloat16"):
            stepped(name, dtype)
        return
    found, planned = stepped(name, dtype), OPTIMIZERS[name]
    assert found.device == planned.state_bytes(trained(dtype)).device
    groups = [planned.step_temporaries(trained(dtype, decayed)) for decayed in (True, False)]
    if name == "adafactor":  # the planner's is an upper bound, by at most one tensor in float32
        assert max(groups) - 4 * 4096 * 64 <= found.temporaries <= max(groups) + 4 * len(SHAPES)
    else:
        assert found.temporaries == max(groups)
    assert found.clipping == clip_temporaries(trained(dtype))


@pytest.mark.parametrize("name", BITSANDBYTES)
def test_states_are_those_of_bitsandbytes_rule(name: str) -> None:
    states, bits = BITSANDBYTES[name]
    device = host = 0
    for parameter, shape in SHAPES.items():
        elements = torch.Size(shape).numel()
        in_8bit = bits == 8 and elements >= 4096 and parameter not in ROLES.embeddings
        values = states * elements * (1 if in_8bit else 4)
        if name.startswith("paged") and elements >= 100_000:
            host += values
        else:
            device += values
        device += states * 4 * ceil(elements / 256) * in_8bit
    found = stepped(name, "float32")
    maps = min(states, 2) * 1024 if bits == 8 else 0
    assert found.device == device + maps
    # the map for unsigned values stays where it was made unless there is a second state
    assert found.host == host + (1024 if bits == 8 and states == 1 else 0)
    assert found.temporaries == 0


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ["adamw_torch", "adamw_torch_fused", "sgd", "adagrad", "rmsprop", "adafactor"])
def test_temporaries_are_those_of_a_real_step(name: str, dtype: str, tmp_path: Path) -> None:
    real: list[nn.Parameter] = []
    for shape in SHAPES.values():
        real.append(nn.Parameter(torch.randn(shape, dtype=getattr(torch, dtype))))
        real[-1].grad = torch.randn_like(real[-1])
    optimizer: Any = real_optimizer(name, real, tmp_path)
    (group,) = optimizer.param_groups
    undecayed = [parameter for parameter, of in zip(real, SHAPES, strict=True) if of not in ROLES.decayed]
    group["params"] = [parameter for parameter, of in zip(real, SHAPES, strict=True) if of in ROLES.decayed]
    optimizer.add_param_group({"params": undecayed})
    for group in optimizer.param_groups:
        if "foreach" in group and not group.get("fused"):
            group["foreach"] = True
    # on the host, what the step counters are raised by; in Adafactor a new RMS for each tensor's old one
    scalars = {"adafactor": 4 * len(SHAPES)}.get(name, 4)
    assert abs(second_step_peak(optimizer) - stepped(name, dtype).temporaries) <= scalars


def test_adagrad_makes_its_states_with_the_optimizer() -> None:
    with simulated(), BytesOn(NAME, []) as device:
        parameters = list(fake_parameters("float32"))
        start = device.now
        optimizer = make_optimizer(TrainingRun(model="tiny", optimizer="adagrad"), parameters, ROLES)
        assert device.now - start == OPTIMIZERS["adagrad"].state_bytes(trained("float32")).device
        del optimizer


def test_frozen_parameters_are_left_out() -> None:
    with simulated():
        parameters = list(fake_parameters("float32"))
        parameters[0][1].requires_grad_(False)
        optimizer = make_optimizer(TrainingRun(model="tiny"), parameters, ROLES)
    assert [len(group["params"]) for group in optimizer.param_groups] == [4, 2]
    assert optimizer.param_groups[0]["fused"]


@pytest.mark.parametrize("name", [name for name in ACCEPTED if name not in OPTIMIZERS])
def test_galore_abstains_for_the_planners_reason(name: str) -> None:
    with pytest.raises(Abstention, match="optim_target_modules"):
        make_optimizer(TrainingRun(model="tiny", optimizer=name), [], ROLES)


def test_roles_are_those_of_trainer() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.wte = nn.Embedding(4, 4)
            self.ln_1 = nn.LayerNorm(4)
            self.q_norm = nn.Linear(4, 4)
            self.proj = nn.Linear(4, 4)

    with torch.device("meta"):
        found = roles(Model())
    assert found == Roles(frozenset({"wte.weight", "proj.weight"}), frozenset({"wte.weight"}))


def test_clipping_returns_the_norm_and_scales_in_place() -> None:
    parameter = nn.Parameter(torch.zeros(3))
    parameter.grad = torch.tensor([3.0, 0.0, 4.0])
    assert clip([parameter], 1.0).item() == 5.0
    torch.testing.assert_close(parameter.grad, torch.tensor([0.6, 0.0, 0.8]))
    assert clip([parameter], float("inf")).item() == pytest.approx(1.0, abs=1e-5)
