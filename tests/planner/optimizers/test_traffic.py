"""What an optimizer's step and clipping read and write, against the operators of real steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from planner.optimizers import OPTIMIZERS, Trained, clip_traffic, optimizer
from tests.planner.optimizers.real import parameters_of, real_optimizer, step

SHAPE = (1000, 500)
ELEMENTS = 500_000


class Traffic(TorchDispatchMode):
    """Bytes of the operands of each operator that makes or changes large tensors, and of what it writes."""

    bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        named = dict(zip((argument.name for argument in func._schema.arguments), args, strict=False)) | kwargs
        changed = [
            named.get(argument.name)
            for argument in func._schema.arguments
            if argument.alias_info is not None and argument.alias_info.is_write
        ]
        operands = {t.untyped_storage()._cdata for t in _large(named)}
        made = [t for t in _large(out) if t.untyped_storage()._cdata not in operands]
        written = [*_large(changed), *made]
        if written or not _large(out):
            self.bytes += sum(t.numel() * t.element_size() for t in [*_large(named), *written])
        return out


def _large(values: Any) -> list[torch.Tensor]:
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, torch.Tensor) and leaf.numel() >= ELEMENTS]


def measured(name: str, dtype: str, folder: Path) -> int:
    """Bytes of the second step of the optimizer that `Trainer` builds, foreach as on CUDA and without weight decay, as
    its groups are by default."""
    made = real_optimizer(name, parameters_of((SHAPE,), dtype), folder)
    made.param_groups[0]["weight_decay"] = 0.0
    if "foreach" in made.param_groups[0] and not name.endswith("fused"):
        made.param_groups[0]["foreach"] = True
    step(made)
    traffic = Traffic()
    with traffic:
        made.step()
    return traffic.bytes


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ["adamw_torch", "sgd", "adagrad", "rmsprop"])
def test_foreach_steps_of_torch(name: str, dtype: str, tmp_path: Path) -> None:
    assert optimizer(name).step_traffic([Trained(SHAPE, dtype)]) == measured(name, dtype, tmp_path)


def test_adafactor_within_a_tenth(tmp_path: Path) -> None:
    assert optimizer("adafactor").step_traffic([Trained(SHAPE, "float32")]) == pytest.approx(
        measured("adafactor", "float32", tmp_path), rel=0.1
    )


def test_adamw_by_hand() -> None:
    """Foreach: lerp_ 3, mul_ 2, addcmul_ 4, sqrt 2, div_ 2, add_ 2, addcdiv_ 4. Fused: parameter, gradient and two
    moments read, all but the gradient written."""
    one = [Trained(SHAPE, "bfloat16")]
    assert optimizer("adamw_torch").step_traffic(one) == 19 * 2 * ELEMENTS
    assert optimizer("adamw_torch_fused").step_traffic(one) == 7 * 2 * ELEMENTS


@pytest.mark.parametrize(("name", "each"), [("adamw_bnb_8bit", 3 * 2 + 4 * 1), ("paged_adamw_32bit", 3 * 2 + 4 * 4)])
def test_bitsandbytes_by_hand(name: str, each: int) -> None:
    assert optimizer(name).step_traffic([Trained(SHAPE, "bfloat16")]) == each * ELEMENTS


def test_bitsandbytes_keeps_small_tensors_and_embeddings_in_32_bits() -> None:
    small, embedding = Trained((63, 65), "float32"), Trained(SHAPE, "float32", embedding=True)
    assert optimizer("adamw_bnb_8bit").step_traffic([small]) == (12 + 16) * 63 * 65
    assert optimizer("adamw_bnb_8bit").step_traffic([embedding]) == (12 + 16) * ELEMENTS


def test_clipping_reads_gradients_twice_and_writes_them_once() -> None:
    parameters = parameters_of((SHAPE,), "float32")
    traffic = Traffic()
    with traffic:
        torch.nn.utils.clip_grad_norm_(parameters, 1.0, foreach=True)
    assert clip_traffic([Trained(SHAPE, "float32")]) == traffic.bytes == 3 * 4 * ELEMENTS


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_traffic_grows_with_tensors_and_is_at_least_a_read_and_a_write(name: str) -> None:
    one, three = [Trained(SHAPE, "bfloat16")], [Trained(SHAPE, "bfloat16", count=3)]
    assert optimizer(name).step_traffic(three) == 3 * optimizer(name).step_traffic(one)
    assert optimizer(name).step_traffic(one) >= 3 * 2 * ELEMENTS
