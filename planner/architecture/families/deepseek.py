"""DeepSeek V2 and V3: multi-head latent attention, dense layers first, then experts beside shared ones.

Source: `transformers/models/deepseek_v2/modeling_deepseek_v2.py` and `deepseek_v3` (5.23).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from planner.architecture.config import Config
from planner.architecture.families.llama import mlp
from planner.architecture.families.moe_parts import (
    SPARSE,
    Experts,
    expert_stack,
    experts_of,
    grouped_experts,
    moe_blocks,
    router,
    uncovered,
)
from planner.architecture.families.parts import attention_heads, decoder, gated_projections
from planner.architecture.families.windows import FULL
from planner.architecture.modules import Architecture, Module, linear, norm
from planner.architecture.program import Forward
from planner.errors import InputError
from planner.tape import TOKENS, Tensor, latent, layers, moe, ops
from planner.tape.attention import Heads


@dataclass(frozen=True, slots=True)
class Latent:
    """Widths of latent attention."""

    heads: int
    q_rank: int | None
    """`q_lora_rank`: width of the compressed queries, None where they are not compressed."""
    kv_rank: int
    nope: int
    """Width of a head's part without a rotary embedding."""
    rope: int
    value: int


@dataclass(frozen=True, slots=True)
class Routing:
    """How the gate chooses: among the experts of the best of `groups`, or among all (groups 0)."""

    groups: int
    normalized: bool


@dataclass(frozen=True, slots=True)
class DeepseekV2Program:
    """The rotary table is one of complex numbers; the gate computes in float32."""

    latent: Latent
    attention_dropout: float
    activation: str
    experts: Experts
    routing: Routing

    @property
    def rotary_width(self) -> int:
        # complex64, as two float32 tables of half as many columns
        return self.latent.rope // 2

    def embed(self, forward: Forward) -> Tensor:
        return layers.embedding(forward.tape, forward.parameter("model.embed_tokens.weight"), TOKENS)

    def block(self, forward: Forward, kind: str, x: Tensor) -> Tensor:
        x = ops.add(x, self.attention(forward, forward.rms_norm("input_layernorm", x)))
        return ops.add(x, self.feed(forward, kind, forward.rms_norm("post_attention_layernorm", x)))

    def attention(self, forward: Forward, x: Tensor) -> Tensor:
        dims = self.latent
        q = self.queries(forward, x)
        q_nope, q_rope = ops.split(q, [dims.heads * dims.nope, dims.heads * dims.rope])
        compressed = forward.linear("self_attn.kv_a_proj_with_mqa", x)
        kv_nope, k_rope = ops.split(compressed, [dims.kv_rank, dims.rope])
        kv_nope = forward.rms_norm("self_attn.kv_a_layernorm", kv_nope)
        q_rope, k_rope = self.rotate(forward, q_rope, k_rope)
        query = ops.cat([q_nope, q_rope])
        key, value = self.expand(forward, kv_nope, k_rope)
        out = forward.attention(
            query,
            key,
            value,
            Heads(dims.heads, dims.heads, dims.nope + dims.rope, dims.value),
            dropout=self.attention_dropout,
            head_major=True,
        )
        return forward.linear("self_attn.o_proj", out)

    def queries(self, forward: Forward, x: Tensor) -> Tensor:
        if self.latent.q_rank is None:
            return forward.linear("self_attn.q_proj", x)
        compressed = forward.rms_norm("self_attn.q_a_layernorm", forward.linear("self_attn.q_a_proj", x))
        return forward.linear("self_attn.q_b_proj", compressed)

    def expand(self, forward: Forward, compressed: Tensor, k_rope: Tensor) -> tuple[Tensor, Tensor]:
        """`expand_kv`: keys and values of every head from what is compressed."""
        dims = self.latent
        kv = forward.linear("self_attn.kv_b_proj", compressed)
        k_nope, value = ops.split(kv, [dims.heads * dims.nope, dims.heads * dims.value])
        return latent.expand_keys(k_nope, k_rope, dims.heads), value

    def rotate(self, forward: Forward, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        cos, _ = forward.rotary_tables
        return latent.rotary_complex(q, cos), latent.rotary_complex(k, cos)

    def feed(self, forward: Forward, kind: str, x: Tensor) -> Tensor:
        return self.sparse(forward, x) if kind.endswith(SPARSE) else mlp(forward, x, self.activation)

    def sparse(self, forward: Forward, x: Tensor) -> Tensor:
        _, weights, indices = self.route(forward, x)
        out = grouped_experts(forward, "mlp.experts", x, indices, weights, self.experts)
        return ops.add(out, self.shared_experts(forward, x))

    def shared_experts(self, forward: Forward, x: Tensor) -> Tensor:
        name = "mlp.shared_experts"
        inner = forward.gated(f"{name}.gate_proj", f"{name}.up_proj", x, activation=self.activation)
        return forward.linear(f"{name}.down_proj", inner)

    def route(self, forward: Forward, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`DeepseekV2TopkRouter`"""
        logits = self.gate(forward, x)
        scores = ops.softmax(logits, "float32")
        if self.routing.groups:
            scores = moe.masked_fill(scores, moe.group_mask(scores, self.routing.groups))
        weights, indices = moe.top_k(scores, self.experts.per_token)
        weights = ops.scale(weights)
        return logits, weights, indices

    def gate(self, forward: Forward, x: Tensor) -> Tensor:
        """The gate's logits, from float32 copies of its input and of its weight."""
        weight = ops.to(forward.parameter("mlp.gate.weight"), "float32")
        return layers.linear(ops.to(x, "float32"), weight, op="router logits")

    def final(self, forward: Forward, x: Tensor) -> Tensor:
        return forward.rms_norm("model.norm", x)

    def logits(self, forward: Forward, x: Tensor) -> Tensor:
        return forward.linear("lm_head", x)


@dataclass(frozen=True, slots=True)
class DeepseekV3Program(DeepseekV2Program):
    """Rotary tables of cos and sin; a sigmoid gate whose choice is corrected by a bias."""

    interleaved: bool

    @property
    def rotary_width(self) -> int:
        return self.latent.rope

    def rotate(self, forward: Forward, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        if not self.interleaved:
            return forward.rotary(q), forward.rotary(k)
        cos, sin = forward.rotary_tables
        return latent.rotary_interleaved(q, cos, sin), latent.rotary_interleaved(k, cos, sin)

    def route(self, forward: Forward, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`DeepseekV3TopkRouter`: no gradient flows through the choice, only through the chosen scores."""
        logits = self.gate(forward, x)
        scores = ops.saves_output(logits, "sigmoid")
        corrected = ops.shift(scores.detach())
        mask = moe.group_mask(corrected, self.routing.groups)
        corrected = moe.masked_fill(corrected, mask)
        _, indices = moe.top_k(corrected, self.experts.per_token)
        weights = moe.gather(scores, indices, self.experts.per_token)
        if self.routing.normalized:
            denominator = ops.shift(moe.row_sum(weights))
            weights = moe.divide(weights, denominator, in_place=True)
        weights = ops.scale(weights)
        return logits, weights, indices


def build(config: Config) -> Architecture:
    """The architecture of a `DeepseekV2Config` or a `DeepseekV3Config`."""
    third = config.str("model_type") == "deepseek_v3"
    hidden = config.int("hidden_size", minimum=1)
    count = config.int("num_hidden_layers", minimum=1)
    query_heads = config.int("num_attention_heads", minimum=1)
    dims = _latent(config, query_heads)
    kv_heads = attention_heads(config, query_heads, dims.rope, missing=128 if third else None).kv_heads
    if kv_heads != query_heads:
        raise InputError(
            f"num_key_value_heads {kv_heads} in {config.origin} is not num_attention_heads {query_heads}, as "
            "latent attention wants it; write the same number",
            field="model",
        )
    experts = experts_of(
        config,
        ("n_routed_experts", "num_local_experts" if third else "num_experts"),
        hidden=hidden,
        inner=config.int("moe_intermediate_size", minimum=1, default=2048 if third else 1407),
        count=256 if third else 64,
        per_token=8 if third else None,
    )
    first = config.int("first_k_dense_replace", minimum=0, default=3 if third else 0)
    routing = _routing(config, experts, third)
    mlp_biased = config.bool("mlp_bias", default=False) and not third
    inner = config.int("intermediate_size", minimum=1, default=18432 if third else 11008)
    shared_inner = experts.inner * config.int("n_shared_experts", minimum=1, default=1 if third else 2)
    attention = _attention(hidden, dims, biased=config.bool("attention_bias", default=False))
    shared = (*attention, norm("input_layernorm", hidden), norm("post_attention_layernorm", hidden))
    sparse = (
        *shared,
        expert_stack("mlp.experts", experts),
        router("mlp.gate", experts),
        *(
            replace(module, name=module.name.replace("mlp.", "mlp.shared_experts."))
            for module in gated_projections(hidden, shared_inner, bias=mlp_biased)
        ),
    )
    dense = (*shared, *gated_projections(hidden, inner, bias=mlp_biased))
    dropout = config.float("attention_dropout", minimum=0.0, maximum=1.0, default=0.0)
    reason = uncovered(config)
    if third:
        interleaved = config.bool("rope_interleave", default=True)
        program = DeepseekV3Program(dims, dropout, experts.activation, experts, routing, interleaved)
    else:
        program = DeepseekV2Program(dims, dropout, experts.activation, experts, routing)
    return decoder(
        config,
        hidden=hidden,
        blocks=moe_blocks([FULL] * count, [layer >= first for layer in range(count)], moe=sparse, dense=dense),
        program=None if reason else program,
        no_program_reason=reason,
        activation=experts.activation,
        kv_width=kv_heads * dims.rope,
        rotary_dtype=None if third else "float32",
    )


def _latent(config: Config, heads: int) -> Latent:
    q_rank = None
    if config.has("q_lora_rank") or not config.states("q_lora_rank"):
        q_rank = config.int("q_lora_rank", minimum=1, default=1536)
    rope = config.int("qk_rope_head_dim", minimum=1, default=64)
    if rope % 2:
        raise InputError(
            f"'qk_rope_head_dim' in {config.origin} is {rope}, which has no halves; write an even number",
            field="model",
        )
    return Latent(
        heads=heads,
        q_rank=q_rank,
        kv_rank=config.int("kv_lora_rank", minimum=1, default=512),
        nope=config.int("qk_nope_head_dim", minimum=1, default=128),
        rope=rope,
        value=config.int("v_head_dim", minimum=1, default=128),
    )


def _routing(config: Config, experts: Experts, third: bool) -> Routing:
    normalized = config.bool("norm_topk_prob", default=third)
    method = config.str("topk_method", default="greedy")
    if not third and method == "greedy":
        return Routing(0, normalized)
    if not third and method != "group_limited_greedy":
        raise InputError(
            f"'topk_method' in {config.origin} is '{method}'; write greedy or group_limited_greedy",
            field="model",
        )
    groups = config.int("n_group", minimum=1, default=8) if third else config.int("n_group", minimum=1)
    best = config.int("topk_group", minimum=1, default=4) if third else config.int("topk_group", minimum=1)
    if experts.count % groups or best > groups or (third and experts.count < 2 * groups):
        raise InputError(
            f"{experts.count} experts in {config.origin} cannot be chosen from {best} of {groups} groups; "
            "correct n_group or topk_group",
            field="model",
        )
    return Routing(groups, normalized)


def _attention(hidden: int, dims: Latent, *, biased: bool) -> tuple[Module, ...]:
    q_width = dims.heads * (dims.nope + dims.rope)
    if dims.q_rank is None:
        queries = (linear("self_attn.q_proj", hidden, q_width),)
    else:
        queries = (
            linear("self_attn.q_a_proj", hidden, dims.q_rank, bias=biased),
            norm("self_attn.q_a_layernorm", dims.q_rank),
            linear("self_attn.q_b_proj", dims.q_rank, q_width),
        )
    return (
        *queries,
        linear("self_attn.kv_a_proj_with_mqa", hidden, dims.kv_rank + dims.rope, bias=biased),
        norm("self_attn.kv_a_layernorm", dims.kv_rank),
        linear("self_attn.kv_b_proj", dims.kv_rank, dims.heads * (dims.nope + dims.value)),
        linear("self_attn.o_proj", dims.heads * dims.value, hidden, bias=biased),
    )
