"""Loading the base model: one tensor after another, as transformers 5 places, quantizes and casts them."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from planner.architecture.modules import Architecture, Module
from planner.methods.base import kept_dtype
from planner.quantization import is_quantized, scheme
from planner.run import TrainingRun
from planner.units import DTYPE_BYTES


def loading_peak(architecture: Architecture, run: TrainingRun) -> int:
    """Most bytes of the base on the device until it is ready, before an adapter is placed.

    Each weight comes onto the card in the dtype it is loaded in, and is quantized there if it is to be. After the
    last one `prepare_model_for_kbit_training` casts what is left in 16 bits to float32, one parameter at a time.
    """
    quantizer = scheme(run.quantization)
    element, kept = DTYPE_BYTES[run.base_dtype], DTYPE_BYTES[kept_dtype(run)]
    now = peak = 0
    unquantized: list[int] = []
    for name, module in _in_order(architecture):
        quantized = quantizer is not None and is_quantized(architecture, name, module, run)
        for parameter, shape in module.parameters:
            if module.tied_to and parameter == "weight":
                continue
            if quantizer is not None and quantized and parameter == "weight":
                peak = max(peak, now + quantizer.load_bytes(module, run))
                now += quantizer.weight_bytes(module, run)
            else:
                now += prod(shape) * element
                unquantized.append(prod(shape))
        peak = max(peak, now)
    if kept != element:
        for count in unquantized:
            peak = max(peak, now + count * kept)
            now += count * (kept - element)
    return peak


def _in_order(architecture: Architecture) -> Iterator[tuple[str, Module]]:
    """Modules with their full names in the order of the model: embeddings, layers, what comes after them."""
    yield from ((module.name, module) for module in architecture.outer if module.kind == "embedding")
    by_layer = {layer: block for block in architecture.blocks for layer in block.layers}
    for layer in sorted(by_layer):
        for module in by_layer[layer].modules:
            yield f"{architecture.block_prefix}.{layer}.{module.name}".removesuffix("."), module
    yield from ((module.name, module) for module in architecture.outer if module.kind != "embedding")
