"""Bytes of the base model on the device, and what loading it takes besides."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, prod

from planner.architecture.modules import Architecture, Module
from planner.errors import Abstention
from planner.memory.loading import loading_peak
from planner.methods.base import kept_dtype
from planner.quantization import is_quantized, scheme
from planner.run import TrainingRun
from planner.units import DTYPE_BYTES
from planner.versions import ROTARY_TABLES, behaviours


@dataclass(frozen=True, slots=True)
class WeightGroup:
    """Base parameters that are stored in the same way."""

    label: str
    parameters: int
    bytes: int
    apart: int = 0
    """Bytes of it that are no parameters: quantization constants and other buffers, of which no GPU keeps a share."""


@dataclass(frozen=True, slots=True)
class BaseWeights:
    """The base model on the device."""

    groups: tuple[WeightGroup, ...]
    load_temporaries: int
    """What loading holds beyond that at its peak: a weight that is being quantized, or cast to float32."""
    host_bytes: int
    """The base in its published 16-bit form (a download, or the host memory a merge needs)."""

    @property
    def bytes(self) -> int:
        """All of it."""
        return sum(group.bytes for group in self.groups)


def base_weights(architecture: Architecture, run: TrainingRun) -> BaseWeights:
    """The base weights of a run, by how they are stored.

    Raises `Abstention` for a GPTQ or AWQ checkpoint of a model with stacked expert matrices.
    """
    quantizer = scheme(run.quantization)
    modules = _modules(architecture)
    if run.quantization in ("gptq", "awq") and any(module.kind == "experts" for _, module, _ in modules):
        raise Abstention(
            f"how transformers 5 loads the quantized experts of a {run.quantization.upper()} checkpoint into stacked "
            "3-D parameters is not known",
            way_out="plan it with --quantization nf4 or none",
        )
    dtype = kept_dtype(run)
    bits = 8 if run.quantization == "int8" else 4
    quantized = [0, 0, 0]
    experts = [0, 0]
    rest: dict[str, list[int]] = {}
    for name, module, times in modules:
        kept = kept_dtype(run, name)
        kept_element = DTYPE_BYTES[kept]
        others = rest.setdefault(kept, [0, 0])
        if quantizer is not None and is_quantized(architecture, name, module, run):
            weight = prod(module.weight)
            quantized[0] += weight * times
            quantized[1] += quantizer.weight_bytes(module, run) * times
            quantized[2] += (quantizer.weight_bytes(module, run) - ceil(weight * bits / 8)) * times
            bias = module.count - weight
            others[0] += bias * times
            others[1] += bias * kept_element * times
            continue
        group = experts if module.kind == "experts" else others
        group[0] += module.count * times
        group[1] += module.count * kept_element * times
    if quantizer is None:
        named = [(f"all parameters in {dtype}", [a + b for a, b in zip(experts, rest[dtype], strict=True)])]
    else:
        named = [
            (f"linear layers in {_quantization(run)}", quantized),
            (f"expert matrices in {dtype}, which are not quantized", experts),
            *((_rest(kept, len(rest) > 1, dtype), group) for kept, group in rest.items()),
        ]
    named.append(("rotary tables of every layer", _rotary_tables(architecture, run)))
    groups = tuple(WeightGroup(label, *counts) for label, counts in named if counts[0])
    total = sum(group.bytes for group in groups)
    return BaseWeights(groups, max(0, loading_peak(architecture, run) - total), 2 * architecture.parameters)


def _modules(architecture: Architecture) -> list[tuple[str, Module, int]]:
    """Each distinct module once: a full name of one of its kind, and how many there are."""
    out = [(module.name, module, 1) for module in architecture.outer]
    for block in architecture.blocks:
        first = f"{architecture.block_prefix}.{block.layers[0]}"
        out += [(f"{first}.{module.name}", module, len(block.layers)) for module in block.modules]
    return out


def _rotary_tables(architecture: Architecture, run: TrainingRun) -> list[int]:
    """Buffers for all positions, which older releases keep in every layer."""
    width = architecture.program.rotary_width if architecture.program is not None else 0
    if ROTARY_TABLES not in behaviours(run.transformers_version, architecture.model_type):
        return [0, 0]
    layers = sum(len(block.layers) for block in architecture.blocks)
    count = 2 * width * (architecture.max_position_embeddings or 0) * layers
    size = count * DTYPE_BYTES[run.base_dtype]
    return [count, size, size]


def _rest(kept: str, several: bool, dtype: str) -> str:
    if not several:
        return f"embeddings, head and norms in {kept}"
    return f"norms in {kept}" if kept == dtype else f"embeddings and head, cast back to {kept}"


def _quantization(run: TrainingRun) -> str:
    names = {"nf4": "NF4", "fp4": "FP4", "int8": "int8", "gptq": "4-bit GPTQ", "awq": "4-bit AWQ"}
    return names[run.quantization] + (" with double quantization" if run.double_quant else "")
