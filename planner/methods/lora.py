"""LoRA and its relatives on the same layer: QLoRA, DoRA, rsLoRA.

Source: `peft/tuners/lora` (0.21): `layer.py`, `bnb.py`, `awq.py`, `gptq.py`. rsLoRA changes only the scaling
factor and costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from planner.architecture.modules import Architecture, Module, Shape
from planner.errors import Abstention, InputError
from planner.methods.base import AddedTensor, Method
from planner.methods.expert_targets import match_parameters, rewrite
from planner.methods.lora_layers import dora, embedding_update, merged_matrix, merged_stack, update
from planner.methods.targets import check_rank, match_targets
from planner.tape import Tensor, ops

if TYPE_CHECKING:
    from planner.memory.forward import BlockForward
    from planner.run import TrainingRun


class Lora(Method):
    """A product of two low-rank matrices beside each target."""

    def targets(self, architecture: Architecture, run: TrainingRun) -> frozenset[str]:
        chosen = rewrite(architecture, run).modules
        if not chosen:
            return frozenset()
        return match_targets(architecture, run, ("linear", "conv1d", "embedding"), chosen)

    def parameters(self, architecture: Architecture, run: TrainingRun) -> Mapping[str, int]:
        found = match_parameters(architecture, run, rewrite(architecture, run).parameters)
        if found and (run.dropout or run.use_dora):
            what = "DoRA" if run.use_dora else f"dropout {run.dropout:g}"
            raise InputError(
                f"the targets include '{next(iter(found))}', a parameter that is no layer of its own, on "
                f"which PEFT does not support {what}; choose target_modules without it, or no {what}",
                field="use_dora" if run.use_dora else "dropout",
            )
        return found

    def added(self, architecture: Architecture, run: TrainingRun, name: str, module: Module) -> tuple[AddedTensor, ...]:
        r, dtype = run.rank, run.adapter_dtype
        check_rank(name, r, *module.weight)
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

    def trains(self, module: Module, run: TrainingRun, *, wrapped: bool) -> tuple[str, ...]:
        trained = run.bias == "all" or (run.bias == "lora_only" and wrapped)
        return ("bias",) if trained and module.bias else ()

    def embed(
        self, forward: BlockForward, architecture: Architecture, base: Callable[[], Tensor], *, wrapped: bool
    ) -> Tensor:
        if not wrapped:
            return base()
        if forward.run.use_dora:
            raise Abstention("the activations of DoRA on an embedding are not covered")
        return embedding_update(forward, architecture, base())

    def forward(
        self, forward: BlockForward, name: str, module: Module, x: Tensor, base: Callable[[Tensor], Tensor]
    ) -> Tensor:
        if forward.run.quantization in ("none", "gptq"):
            result = base(x)
            dtype = result.dtype
            x = ops.to(x, forward.run.adapter_dtype)
            result = _adapted(forward, name, module, x, result)
            return ops.to(result, dtype)
        return _forward_bnb(forward, name, module, x, base)

    def parameter(self, forward: BlockForward, name: str, shape: Shape, rank: int, base: Tensor) -> Tensor:
        if len(shape) == 3 and shape[0] > 1:
            return merged_stack(forward, name, shape, rank, base)
        return merged_matrix(forward, name, shape, rank, base)


METHOD = Lora()


def wrapped_parameter(name: str, shape: Shape, rank: int, dtype: str) -> tuple[AddedTensor, AddedTensor]:
    """The tensors `ParamWrapper` adds for one parameter of `shape`, E x out x in or out x in.

    (Where a family stores E x in x out, as GPT-OSS does, in and out change places; the count is the same.)
    Raises `InputError` for a parameter of another rank than 2 or 3, which PEFT cannot wrap.
    """
    if len(shape) not in (2, 3):
        raise InputError(
            f"target_parameters matches '{name}' with {len(shape)} dimensions, but PEFT adapts matrices and "
            "stacks of them; choose another parameter",
            field="target_parameters",
        )
    experts = shape[0] if len(shape) == 3 else 1
    rows, cols = shape[-2:]
    check_rank(name.rpartition(".")[0], rank, rows, cols)
    return (
        AddedTensor("lora_A.weight", (rank * experts, cols), dtype),
        AddedTensor("lora_B.weight", (rows, rank * experts), dtype),
    )


def _adapted(forward: BlockForward, name: str, module: Module, x: Tensor, result: Tensor) -> Tensor:
    if forward.run.use_dora:
        return ops.add(result, dora(forward, name, module, x, result))
    return ops.add(result, update(forward, name, module, x))


def _forward_bnb(
    forward: BlockForward, name: str, module: Module, x: Tensor, base: Callable[[Tensor], Tensor]
) -> Tensor:
    """`lora.Linear8bitLt`, `lora.Linear4bit` (with a defensive clone) and AWQ's: no cast inside autocast."""
    result = base(x)
    if forward.run.quantization in ("nf4", "fp4"):
        result = ops.contiguous(result)
    converts = forward.tape.autocast is None
    dtype = result.dtype
    if converts:
        x = ops.to(x, forward.run.adapter_dtype)
    if forward.run.use_dora:
        result = ops.add(result, dora(forward, name, module, x, result))
        return ops.to(result, dtype) if converts else result
    output = update(forward, name, module, x)
    if converts:
        output = ops.to(output, dtype)
    return ops.add(result, output)
