"""LoRA and its relatives on the same layer: QLoRA, DoRA, rsLoRA.

Source: `peft/tuners/lora` (0.21): `layer.py`, `bnb.py`, `dora.py`, `variants.py`. rsLoRA changes only the
scaling factor and costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from planner.architecture.modules import Architecture, Module
from planner.methods.base import AddedTensor, Method
from planner.methods.targets import match_targets
from planner.tape import ONE, Tensor, layers, ops

if TYPE_CHECKING:
    from planner.memory.forward import BlockForward
    from planner.run import TrainingRun


class Lora(Method):
    """A product of two low-rank matrices beside each target."""

    def targets(self, architecture: Architecture, run: TrainingRun) -> frozenset[str]:
        return match_targets(architecture, run)

    def added(self, name: str, module: Module, run: TrainingRun) -> tuple[AddedTensor, ...]:
        r, dtype = run.rank, run.adapter_dtype
        if module.kind == "embedding":
            tensors = [
                AddedTensor("lora_embedding_A", (r, module.in_features), dtype),
                AddedTensor("lora_embedding_B", (module.out_features, r), dtype),
            ]
        else:
            tensors = [
                AddedTensor("lora_A.weight", (r, module.in_features), dtype),
                AddedTensor("lora_B.weight", (module.out_features, r), dtype),
            ]
        if run.use_dora:
            tensors.append(AddedTensor("lora_magnitude_vector", (module.out_features,), dtype))
        return tuple(tensors)

    def trains(self, name: str, module: Module, run: TrainingRun) -> tuple[str, ...]:
        return ("bias",) if run.bias == "all" and module.bias else ()

    def forward(
        self, forward: BlockForward, name: str, module: Module, x: Tensor, base: Callable[[Tensor], Tensor]
    ) -> Tensor:
        if run_in_4bit(forward.run):
            return self._forward_4bit(forward, name, module, x, base)
        result = base(x)
        dtype = result.dtype
        x = ops.to(x, forward.run.adapter_dtype)
        result = self._with_adapter(forward, name, module, x, result)
        return ops.to(result, dtype)

    def _forward_4bit(
        self, forward: BlockForward, name: str, module: Module, x: Tensor, base: Callable[[Tensor], Tensor]
    ) -> Tensor:
        """`lora.Linear4bit`: a defensive clone of the result, and no cast of x inside autocast."""
        result = base(x)
        result = ops.contiguous(result)
        dtype = result.dtype
        if forward.tape.autocast is None:
            x = ops.to(x, forward.run.adapter_dtype)
        if forward.run.use_dora:
            return ops.to(self._dora(forward, name, module, x, result), dtype)
        update = _update(forward, name, module, x)
        if forward.tape.autocast is None:
            update = ops.to(update, dtype)
        return ops.add(result, update)

    def _with_adapter(
        self, forward: BlockForward, name: str, module: Module, x: Tensor, result: Tensor
    ) -> Tensor:
        if forward.run.use_dora:
            return self._dora(forward, name, module, x, result)
        return ops.add(result, _update(forward, name, module, x))

    def _dora(self, forward: BlockForward, name: str, module: Module, x: Tensor, result: Tensor) -> Tensor:
        """`DoraLinearVariant.forward`: the magnitude rescales the base result, which is therefore kept."""
        base_result: Tensor | None = result
        if forward.run.dropout:
            x = ops.dropout(x, forward.run.dropout)
            base_result = None
        _weight_norm(forward, name, module, x.dtype)
        magnitude = ops.scale(forward.adapter(name, "lora_magnitude_vector", 1, module.out_features))
        lora = layers.linear(layers.linear(x, _a(forward, name, module)), _b(forward, name, module))
        if base_result is None:
            base_result = forward.plain_linear(module, x)
        first = ops.mul(ops.shift(magnitude), base_result)
        second = ops.scale(ops.mul(magnitude, lora))
        return ops.add(result, ops.add(first, second))


METHOD = Lora()


def run_in_4bit(run: TrainingRun) -> bool:
    """Whether targets are bitsandbytes 4-bit layers."""
    return run.quantization in ("nf4", "fp4")


def _a(forward: BlockForward, name: str, module: Module) -> Tensor:
    return forward.adapter(name, "lora_A.weight", forward.run.rank, module.in_features)


def _b(forward: BlockForward, name: str, module: Module) -> Tensor:
    return forward.adapter(name, "lora_B.weight", module.out_features, forward.run.rank)


def _update(forward: BlockForward, name: str, module: Module, x: Tensor) -> Tensor:
    """lora_B(lora_A(dropout(x))) * scaling"""
    x = ops.dropout(x, forward.run.dropout)
    inner = layers.linear(x, _a(forward, name, module), op="lora_A output")
    del x
    return ops.scale(layers.linear(inner, _b(forward, name, module), op="lora_B output"))


def _weight_norm(forward: BlockForward, name: str, module: Module, dtype: str) -> None:
    """`get_lora_weight` and `get_weight_norm`: the full update matrix, the weight in x's dtype and their sum.

    They are detached, so all of it is free again when the norm is known; it is a forward peak.
    """
    tape = forward.tape
    identity = tape.new(ONE.times(module.in_features), module.in_features, forward.run.adapter_dtype, "eye")
    update = layers.linear(
        layers.linear(identity, _a(forward, name, module)), _b(forward, name, module), op="DoRA update"
    )
    update = ops.to(update, dtype)
    shape = (ONE.times(module.out_features), module.in_features)
    weight = tape.new(*shape, dtype, "DoRA weight copy") if forward.copies_weight(module, dtype) else None
    scaled = tape.new(*shape, dtype, "DoRA scaled update")
    added = tape.new(*shape, dtype, "DoRA sum")
    del identity, update, weight, scaled, added
