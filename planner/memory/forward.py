"""One forward pass under one run: what each module of a family's program really is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from planner.architecture.modules import Module
from planner.methods import Method
from planner.quantization import Scheme
from planner.run import TrainingRun
from planner.tape import SCORES, SEQUENCE, Tape, Tensor, layers, ops
from planner.tape.attention import Heads, eager_attention, fused_attention, rotary


@dataclass(slots=True)
class Shared:
    """Tensors that every block reads and that live outside them: rotary tables and the attention mask."""

    cos: Tensor | None
    sin: Tensor | None
    mask: Tensor | None
    grouped_attention: bool
    """Whether the attention kernel takes fewer k and v heads than q heads as they are."""


class BlockForward:
    """`planner.architecture.program.Forward` for the modules of one block (or for the head).

    targets: names, among `modules`, that the method wraps. copies: names in `modules_to_save`.
    quantized: names whose weight is quantised.
    """

    def __init__(
        self,
        tape: Tape,
        run: TrainingRun,
        *,
        modules: Mapping[str, Module],
        method: Method,
        scheme: Scheme | None,
        targets: frozenset[str],
        copies: frozenset[str],
        quantized: frozenset[str],
        shared: Shared,
    ) -> None:
        self.tape = tape
        self.run = run
        self._modules = modules
        self._method = method
        self._scheme = scheme
        self._targets = targets
        self._copies = copies
        self._quantized = quantized
        self._shared = shared

    def linear(self, name: str, x: Tensor) -> Tensor:
        """The module `name` applied to x: plain or quantised, with what the method adds."""
        module = self._modules[name]
        with self.tape.module(name):
            if name in self._targets:
                return self._method.forward(self, name, module, x, lambda x: self._base(name, module, x))
            return self._base(name, module, x)

    def _base(self, name: str, module: Module, x: Tensor) -> Tensor:
        bias = self.parameter(f"{name}.bias") if module.bias else None
        if self._scheme is not None and name in self._quantized:
            out = self._scheme.linear(module, x, self.run)
            # the bias is added inside the kernel; only a trained one needs a place in the graph
            return ops.add(out, bias) if bias is not None and bias.requires_grad else out
        return layers.linear(x, self.parameter(f"{name}.weight"), bias)

    def plain_linear(self, module: Module, x: Tensor) -> Tensor:
        """`F.linear` with the frozen weight of a module in x's dtype, without its bias (DoRA's own product)."""
        weight = self.tape.parameter(
            "", module.out_features, module.in_features, x.dtype, requires_grad=False
        )
        return layers.linear(x, weight)

    def copies_weight(self, module: Module, dtype: str) -> bool:
        """Whether reading the weight of `module` in `dtype` makes a copy of it."""
        return module.name in self._quantized or self.run.base_dtype != dtype

    def parameter(self, name: str) -> Tensor:
        """A parameter of the base model by its name: `input_layernorm.weight`."""
        module_name, _, parameter = name.rpartition(".")
        module = self._modules[module_name]
        shape = dict(module.parameters)[parameter]
        copied = module_name in self._copies
        trained = copied or parameter in self._method.trains(module_name, module, self.run)
        if module.kind in ("linear", "conv1d") and parameter == "weight":
            rows, cols = module.out_features, module.in_features
        else:
            rows = 1 if len(shape) == 1 else shape[0]
            cols = shape[-1] if len(shape) <= 2 else shape[1] * shape[2]
        return self.tape.parameter(name, rows, cols, self.base_dtype(module_name), requires_grad=trained)

    def base_dtype(self, module_name: str) -> str:
        """Dtype of the base parameters of a module: float32 after `prepare_model_for_kbit_training`."""
        if self.run.prepare_kbit and self.run.quantization not in ("gptq", "awq"):
            return "float32"
        return self.run.base_dtype

    def adapter(self, module_name: str, tensor: str, rows: int, cols: int) -> Tensor:
        """A trainable tensor that the method added at a module."""
        return self.tape.parameter(
            f"{module_name}.{tensor}", rows, cols, self.run.adapter_dtype, requires_grad=True
        )

    def rms_norm(self, name: str, x: Tensor, *, groups: int = 1) -> Tensor:
        """Llama's RMS norm with the weight of module `name`."""
        with self.tape.module(name):
            return layers.rms_norm(x, self.parameter(f"{name}.weight"), groups=groups)

    def layer_norm(self, name: str, x: Tensor) -> Tensor:
        """`nn.LayerNorm` with the parameters of module `name`."""
        module = self._modules[name]
        with self.tape.module(name):
            bias = self.parameter(f"{name}.bias") if module.bias else None
            return layers.layer_norm(x, self.parameter(f"{name}.weight"), bias)

    def gated(self, gate: str, up: str, x: Tensor, *, activation: str = "silu") -> Tensor:
        """activation(gate(x)) * up(x); the gate itself is gone when up(x) is made, unless it is saved."""
        activated = ops.saves_input(self.linear(gate, x), activation)
        return ops.mul(activated, self.linear(up, x))

    def rotary(self, x: Tensor, *, width: int | None = None) -> Tensor:
        """Rotary embedding of q or k."""
        if self._shared.cos is None or self._shared.sin is None:
            return x
        return rotary(x, self._shared.cos, self._shared.sin, width=width)

    def attention(
        self, q: Tensor, k: Tensor, v: Tensor, heads: Heads, *, dropout: float = 0.0, softcap: bool = False
    ) -> Tensor:
        """The run's attention implementation."""
        with self.tape.module("attention"):
            if self.run.attention == "eager":
                return eager_attention(
                    q, k, v, heads, mask=self._shared.mask, dropout=dropout, softcap=softcap
                )
            if not self._shared.grouped_attention:
                groups = heads.heads // heads.kv_heads
                k, v = ops.expand_copy(k, groups), ops.expand_copy(v, groups)
            if self.tape.autocast:
                q, k, v = (ops.to(x, self.tape.autocast) for x in (q, k, v))
            return fused_attention(q, k, v, heads, self._shared.mask)


def shared_tensors(tape: Tape, run: TrainingRun, head_dim: int, dtype: str) -> Shared:
    """The rotary tables (S x head_dim each) and, where the run has one, the attention mask.

    Source: transformers 5.23: `create_causal_mask` returns no mask to SDPA and flash attention when nothing is
    padded (one sequence, or packed ones), and a boolean B x S x S one to SDPA otherwise; `use_gqa_in_sdpa`.
    """
    cos = sin = None
    if head_dim:
        with tape.module("rotary embedding"):
            cos = tape.new(SEQUENCE, head_dim, dtype, "cos")
            sin = tape.new(SEQUENCE, head_dim, dtype, "sin")
    padded = run.micro_batch_size > 1 and not run.packing
    mask = None
    if run.attention == "eager":
        with tape.module("attention mask"):
            mask = tape.new(SCORES, 1, dtype, "additive mask")
    elif run.attention == "sdpa" and padded:
        with tape.module("attention mask"):
            mask = tape.new(SCORES, 1, "int8", "boolean mask")
    return Shared(cos, sin, mask, grouped_attention=mask is None)
