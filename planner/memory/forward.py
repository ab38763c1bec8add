"""One forward pass under one run: what each module of a family's program really is."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

from planner.architecture.modules import Module
from planner.memory.kernels import patches_of
from planner.memory.shared import Shared
from planner.methods import Method
from planner.methods.base import kept_dtype
from planner.quantization import Scheme
from planner.run import TrainingRun
from planner.tape import (
    ONE,
    Size,
    Tape,
    Tensor,
    activations,
    gemma,
    layers,
    ops,
)
from planner.tape.attention import Heads, eager_attention, repeat_heads, rotary
from planner.tape.sdpa import flash_attention, scaled_dot_product_attention
from planner.tape.sinks import sink_attention
from planner.trainers import TRAINERS, has_kv_cache
from planner.versions import (
    ADDITIVE_MASK,
    CONTIGUOUS_QKV,
    REFERENCED_CACHE,
    REPEATED_FLASH,
    REPEATED_KV,
    UPCAST_LOGITS,
    behaviours,
)


class BlockForward:
    """`planner.architecture.program.Forward` for the modules of one block (or for the head).

    targets: names, among `modules`, that the method wraps. copies: names in `modules_to_save`.
    quantized: names whose weight is quantized. parameters: names of parameters that the method wraps by
    themselves -> rank.
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
        parameters: Mapping[str, int],
        model_type: str,
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
        self._parameters = parameters
        self.model_type = model_type
        self.patches = patches_of(run, model_type)
        self._older = behaviours(run.transformers_version, model_type)
        self._keeps_outputs = TRAINERS[run.trainer].keeps_outputs
        self.held: list[Tensor] = []
        """What frames around the modules hold until the forward pass of the whole model ends."""
        self.holds_first_input = True
        """Whether the decoder's frame holds the first block's input, as its `inputs_embeds`."""
        self.frame: list[Tensor] = []
        """What the block's own frame holds until it returns."""
        self.windows: set[int | None] = set()
        """Windows of the attention layers that ran: which of the model's masks they were given."""
        self.prefix: Tensor | None = None
        """Learned keys and values of all layers, until the last layer's attention has read them."""
        self.prefixed = False
        """Whether attention has put a learned prefix before its keys and values."""
        self.caches = has_kv_cache(run, model_type)
        """Whether keys and values go into a cache, which is one of the outputs; with checkpointing there is none."""
        self.cached = False
        """Whether attention has put its keys and values into that cache."""
        self.outputs: list[Tensor] = []
        """What the loop keeps of a step's outputs: logits, keys and values."""

    def linear(self, name: str, x: Tensor) -> Tensor:
        """The module `name` applied to x: plain or quantized, with what the method adds."""
        module = self._modules[name]
        with self.tape.module(name):
            if name in self._targets:
                patched = self.patches.adapted(self, name, x)
                if patched is not None:
                    return patched
                return self._method.forward(self, name, module, x, lambda x: self._base(name, module, x))
            return self._base(name, module, x)

    def _base(self, name: str, module: Module, x: Tensor) -> Tensor:
        bias = self.parameter(f"{name}.bias") if module.bias else None
        if self._scheme is not None and name in self._quantized:
            patched = self.patches.quantized(self, module, x)
            out = self._scheme.linear(module, x, self.run) if patched is None else patched
            # the bias is added inside the kernel; only a trained one needs a place in the graph
            return ops.add(out, bias) if bias is not None and bias.requires_grad else out
        return layers.linear(x, self.parameter(f"{name}.weight"), bias)

    def qkv(self, q: str, k: str, v: str, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The linear modules `q`, `k` and `v` applied to x."""
        patched = self.patches.qkv(self, (q, k, v), x)
        return (self.linear(q, x), self.linear(k, x), self.linear(v, x)) if patched is None else patched

    def module(self, name: str) -> Module:
        """The module `name`."""
        return self._modules[name]

    def touches(self, name: str) -> bool:
        """Whether the method wraps module `name`."""
        return name in self._targets

    def weight_copy(self, name: str, module: Module, dtype: str) -> Tensor:
        """The frozen weight of module `name` in `dtype`: a copy where it is quantized or of another dtype."""
        rows, cols = module.out_features, module.in_features
        if name not in self._quantized and kept_dtype(self.run, name) == dtype:
            return self.tape.parameter("", rows, cols, dtype, requires_grad=False)
        return self.tape.new(ONE.times(rows), cols, dtype, "copy of the weight")

    def parameter(self, name: str) -> Tensor:
        """A parameter of the base model by its name: `input_layernorm.weight`."""
        module_name, _, parameter = name.rpartition(".")
        module = self._modules[module_name]
        shape = dict(module.parameters)[parameter]
        copied = module_name in self._copies
        trained = copied or parameter in self._method.trains(module, self.run, wrapped=module_name in self._targets)
        if module.kind in ("linear", "conv1d") and parameter == "weight":
            rows, cols = module.out_features, module.in_features
        else:
            rows = 1 if len(shape) == 1 else shape[0]
            cols = prod(shape) // rows
        tensor = self.tape.parameter(name, rows, cols, kept_dtype(self.run, module_name), requires_grad=trained)
        rank = self._parameters.get(name)
        return tensor if rank is None else self._method.parameter(self, name, shape, rank, tensor)

    def adapter(self, module_name: str, tensor: str, rows: int, cols: int) -> Tensor:
        """A trainable tensor that the method added at a module."""
        return self.tape.parameter(f"{module_name}.{tensor}", rows, cols, self.run.adapter_dtype, requires_grad=True)

    def rms_norm(self, name: str, x: Tensor, *, groups: int = 1) -> Tensor:
        """Llama's RMS norm with the weight of module `name`."""
        with self.tape.module(name):
            weight = self.parameter(f"{name}.weight")
            patched = self.patches.rms_norm(x, weight, groups=groups)
            return layers.rms_norm(x, weight, groups=groups) if patched is None else patched

    def offset_rms_norm(self, name: str, x: Tensor, *, groups: int = 1) -> Tensor:
        """Gemma's RMS norm with the weight of module `name`."""
        with self.tape.module(name):
            weight = self.parameter(f"{name}.weight")
            patched = self.patches.rms_norm(x, weight, groups=groups)
            return gemma.rms_norm(x, weight, groups=groups) if patched is None else patched

    def layer_norm(self, name: str, x: Tensor) -> Tensor:
        """`nn.LayerNorm` with the parameters of module `name`."""
        module = self._modules[name]
        with self.tape.module(name):
            bias = self.parameter(f"{name}.bias") if module.bias else None
            return layers.layer_norm(x, self.parameter(f"{name}.weight"), bias)

    def gated(self, gate: str, up: str, x: Tensor, *, activation: str = "silu") -> Tensor:
        """activation(gate(x)) * up(x); the gate itself is gone when up(x) is made, unless it is saved."""
        patched = self.patches.gated(self, gate, up, x, activation=activation)
        if patched is not None:
            return patched
        activated = activations.activation(activation, self.linear(gate, x))
        return ops.mul(activated, self.linear(up, x))

    @property
    def rotary_tables(self) -> tuple[Tensor, Tensor]:
        """cos and sin, S x the program's `rotary_width` each."""
        if self._shared.cos is None or self._shared.sin is None:
            raise AssertionError("a program without a rotary_width asked for its rotary tables")
        return self._shared.cos, self._shared.sin

    def rotary(self, x: Tensor, *, width: int | None = None) -> Tensor:
        """Rotary embedding of q or k."""
        if self._shared.cos is None or self._shared.sin is None:
            return x
        patched = self.patches.rotary(x, self._shared.cos, self._shared.sin)
        return rotary(x, self._shared.cos, self._shared.sin, width=width) if patched is None else patched

    def does(self, behaviour: str) -> bool:
        """Whether the run's release of transformers does what `planner.versions` calls `behaviour`."""
        return behaviour in self._older

    def output(self, logits: Tensor) -> Tensor:
        """The logits as the model returns them, for its loss and for the loop."""
        if self.does(UPCAST_LOGITS):
            logits = ops.to(logits, "float32")
        if self._keeps_outputs:
            self.outputs.append(logits)
        return logits

    def hold(self, tensor: Tensor) -> None:
        """Keep `tensor` until the forward pass of the whole model ends."""
        self.held.append(tensor)

    def hold_inputs_embeds(self, tensor: Tensor) -> None:
        """`hold` for the `inputs_embeds` of a decoder whose first block gets another tensor."""
        self.held.append(tensor)
        self.holds_first_input = False

    def hold_in_block(self, tensor: Tensor) -> None:
        """Keep `tensor` until the block returns: eager attention's weights, which come with its output."""
        self.frame.append(tensor)

    @property
    def eager(self) -> bool:
        """Whether the run's attention is eager."""
        return self.run.attention == "eager"

    @property
    def sdpa(self) -> bool:
        """Whether the run's attention is SDPA."""
        return self.run.attention == "sdpa"

    @property
    def mask(self) -> Tensor | None:
        """The attention mask of full attention."""
        return self._shared.mask

    def attention(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        heads: Heads,
        *,
        dropout: float = 0.0,
        softcap: bool = False,
        upcast: bool = True,
        window: int | None = None,
        head_major: bool = False,
        sinks: Tensor | None = None,
    ) -> Tensor:
        """The run's attention implementation."""
        self.windows.add(window)
        mask = self._shared.mask if window is None else self._shared.local_mask
        prefix = self._method.prefix_tokens(self.run)
        if prefix:
            self.prefixed = True
            k, v = self._after_prefix("keys", k, prefix), self._after_prefix("values", v, prefix)
        if self.caches and not prefix:
            k, v = self._cached(k), self._cached(v)
        with self.tape.module("attention"):
            if sinks is not None:
                out, weights = sink_attention(q, k, v, sinks, heads, mask=mask, dropout=dropout)
                self.hold_in_block(weights)
                return out
            if self.run.attention == "eager":
                out, weights = eager_attention(
                    q,
                    k,
                    v,
                    heads,
                    mask=mask,
                    dropout=dropout,
                    softcap=softcap,
                    upcast=upcast,
                    head_major=head_major,
                    cached=self.caches and not self.does(REFERENCED_CACHE),
                )
                self.hold_in_block(weights)
                return out
            if self.run.attention != "sdpa":
                # without autocast float32 goes to the dtype that a quantized model was loaded in (`get_target_dtype`)
                dtype = self.tape.autocast or (self.run.base_dtype if q.dtype == "float32" else q.dtype)
                if self.does(REPEATED_FLASH):
                    k, v = repeat_heads(k, heads), repeat_heads(v, heads)
                    heads = heads._replace(kv_heads=heads.heads)
                q, k, v = (ops.to(x, dtype) for x in (q, k, v))
                out = flash_attention(q, k, v, heads, window)
                return ops.contiguous(out) if head_major else out
            # `use_gqa_in_sdpa`
            enable_gqa = mask is None and heads.head_dim == heads.value_dim <= 256 and not self.does(REPEATED_KV)
            copied = not enable_gqa and 1 < heads.kv_heads < heads.heads
            if not enable_gqa:
                k, v = repeat_heads(k, heads), repeat_heads(v, heads)
                heads = heads._replace(kv_heads=heads.heads)
            # beside a mask in older releases too, for the efficient kernel: modeling_llama.py 4.36.2 (line 721)
            if self.does(CONTIGUOUS_QKV) or (mask is not None and self.does(ADDITIVE_MASK)):
                q, head_major = ops.contiguous(q), True
                k, v = (k, v) if copied else (ops.contiguous(k), ops.contiguous(v))
            return scaled_dot_product_attention(
                q, k, v, heads, mask=mask, dropout=dropout, enable_gqa=enable_gqa, head_major=head_major
            )

    def _cached(self, x: Tensor) -> Tensor:
        """`DynamicCache.update` of an empty cache: a copy, which the cache holds; in older releases x itself."""
        out = x if self.does(REFERENCED_CACHE) else ops.cat([x])
        self._hold_in_cache(out)
        return out

    def _hold_in_cache(self, x: Tensor) -> None:
        self.cached = True
        # a trainer that drops the outputs does so once it has the loss
        (self.outputs if self.caches and self._keeps_outputs else self.held).append(x)

    def _after_prefix(self, name: str, x: Tensor, tokens: int) -> Tensor:
        """`DynamicCache.update`: the learned prefix and x in one buffer, which the cache holds.

        The prefix is a view of one tensor for all layers; what flows back into it waits, copied, for the
        gradients of the other layers.
        """
        rows = Size(batch=tokens)
        prefix = self.tape.parameter(f"prefix {name}", 0, x.cols, x.dtype, requires_grad=True)
        out = self.tape.new(x.rows.plus(rows), x.cols, x.dtype, f"prefix and {name}")
        if self.tape.records(prefix):
            before = ops.meta(x) if x.requires_grad else None

            def backward(grad: Tensor) -> tuple[Tensor, Tensor | None]:
                own = self.tape.new(rows, grad.cols, grad.dtype, "gradient of the prefix")
                if before is None:
                    return own, None
                return own, Tensor(self.tape, before.rows, before.cols, grad.dtype, storage=grad.storage)

            self.tape.record([out], [prefix, x], backward, [])
        self._hold_in_cache(out)
        return out
