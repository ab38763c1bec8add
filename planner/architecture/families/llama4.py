"""Llama 4, text only (`llama4_text`) and with its vision tower (`llama4`).

Source: `transformers/models/llama4/modeling_llama4.py` (5.23).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from planner.architecture.config import Config
from planner.architecture.families.gemma import attention_dropout, read_heads
from planner.architecture.families.llama4_vision import vision_modules
from planner.architecture.families.parts import attention_projections, decoder, require_pairs
from planner.architecture.modules import Architecture, Block, Module, linear, norm
from planner.architecture.program import Forward
from planner.errors import InputError
from planner.tape import TOKENS, Tensor, layers, ops
from planner.tape.activations import activation
from planner.tape.attention import Heads
from planner.tape.llama4 import (
    batched_linear,
    complex_rotary,
    l2_norm,
    repeat_rows,
    router_scores,
    tune_temperature,
)
from planner.tape.moe import add_in_place, sum_choices

MOE, NOPE, LOCAL = "moe", "nope", "local"
"""Words of a block's kind: it has experts, its attention is not rotated, it attends within chunks."""

TEXT_ONLY = (
    "only the text part is planned: batches without images, in which the vision tower and the projector "
    "hold their weights and are idle"
)

NO_ALL_LINEAR = (
    "PEFT 0.21 cannot run Llama 4 with target_modules all-linear, which takes in the router: name the targets"
)


@dataclass(frozen=True, slots=True)
class Llama4Program:
    """Llama's block with complex rotation or none, and experts that see every token."""

    prefix: str
    heads: Heads
    attention_dropout: float
    activation: str
    window: int
    qk_norm: bool
    tunes_temperature: bool
    experts: int
    experts_per_token: int
    expert_width: int

    @property
    def rotary_width(self) -> int:
        # a complex64 number for each pair of columns: half of it is called cos, half sin
        return self.heads.head_dim // 2

    def embed(self, forward: Forward) -> Tensor:
        return layers.embedding(forward.tape, forward.parameter(f"{self.prefix}model.embed_tokens.weight"), TOKENS)

    def block(self, forward: Forward, kind: str, x: Tensor) -> Tensor:
        # `attention_states` of the original stays in its frame to the end
        attended = self.attention(forward, kind, forward.rms_norm("input_layernorm", x))
        x = ops.add(x, attended)
        normed = forward.rms_norm("post_attention_layernorm", x)
        if MOE in kind:
            return ops.add(x, self.moe(forward, normed))
        return ops.add(x, self.mlp(forward, "feed_forward", normed))

    def attention(self, forward: Forward, kind: str, x: Tensor) -> Tensor:
        q = forward.linear("self_attn.q_proj", x)
        k = forward.linear("self_attn.k_proj", x)
        v = forward.linear("self_attn.v_proj", x)
        if NOPE not in kind:
            q, k = complex_rotary(q, k, forward.rotary_tables)
            if self.qk_norm:
                q = l2_norm(q, groups=self.heads.heads)
                k = l2_norm(k, groups=self.heads.kv_heads)
        elif self.tunes_temperature:
            q = tune_temperature(q)
        out = forward.attention(
            q,
            k,
            v,
            self.heads,
            dropout=self.attention_dropout,
            upcast=False,
            window=self.window if LOCAL in kind else None,
        )
        return forward.linear("self_attn.o_proj", out)

    def mlp(self, forward: Forward, name: str, x: Tensor) -> Tensor:
        inner = forward.gated(f"{name}.gate_proj", f"{name}.up_proj", x, activation=self.activation)
        return forward.linear(f"{name}.down_proj", inner)

    def moe(self, forward: Forward, x: Tensor) -> Tensor:
        """`Llama4TextMoe.forward`: every expert sees every token, scaled by its score."""
        logits = forward.linear("feed_forward.router", x)
        scores = router_scores(logits, self.experts_per_token)
        routed_in = repeat_rows(x, self.experts)
        routed_in = ops.mul(routed_in, ops.contiguous(scores).view(routed_in.rows, 1))
        routed_out = self.expert_mlps(forward, routed_in)
        out = self.mlp(forward, "feed_forward.shared_expert", x)
        return add_in_place(out, sum_choices(routed_out, TOKENS))

    def expert_mlps(self, forward: Forward, x: Tensor) -> Tensor:
        """`Llama4TextExperts.forward`: batched products with the stacks of all experts."""
        gate_up = batched_linear(x, forward.parameter("feed_forward.experts.gate_up_proj"), 2 * self.expert_width)
        gate, up = ops.split(gate_up, (self.expert_width, self.expert_width))
        inner = ops.mul(up, activation(self.activation, gate))
        return batched_linear(inner, forward.parameter("feed_forward.experts.down_proj"), x.cols)

    def final(self, forward: Forward, x: Tensor) -> Tensor:
        return forward.rms_norm(f"{self.prefix}model.norm", x)

    def logits(self, forward: Forward, x: Tensor) -> Tensor:
        return forward.linear(f"{self.prefix}lm_head", x)


def build(config: Config) -> Architecture:
    """The architecture of a `Llama4TextConfig` or a `Llama4Config`."""
    if config.str("model_type") == "llama4_text":
        return _text(config, "")
    text_config, vision = config.sub("text_config"), config.sub("vision_config")
    text = _text(text_config, "language_model.")
    width = vision.int("vision_output_dim", default=7680)
    projector = linear("multi_modal_projector.linear_1", width, text.hidden_size)
    return replace(
        text,
        model_type=config.str("model_type"),
        outer=(*vision_modules(vision, "vision_model"), projector, *text.outer),
        dtype=config.str("dtype", "torch_dtype", default=text.dtype),
        notes=(TEXT_ONLY, *text.notes),
        idle=("vision_model.", "multi_modal_projector."),
    )


def _text(config: Config, prefix: str) -> Architecture:
    hidden = config.int("hidden_size")
    heads = read_heads(config, heads=40, kv_heads=8, head_dim=128)
    require_pairs(config, heads.head_dim)
    biased = config.bool("attention_bias", default=False)
    attention = attention_projections(hidden, heads, bias=biased, out_bias=biased)
    norms = (norm("input_layernorm", hidden), norm("post_attention_layernorm", hidden))
    dense = _mlp("feed_forward", hidden, config.int("intermediate_size_mlp", default=16384))
    experts = config.int("num_local_experts", default=16)
    expert_width = config.int("intermediate_size")
    moe = _experts(hidden, expert_width, experts)
    window = config.int("attention_chunk_size", default=8192)
    act = config.str("hidden_act", default="silu")
    program = Llama4Program(
        prefix,
        heads,
        attention_dropout(config),
        act,
        window=window,
        qk_norm=config.bool("use_qk_norm", default=True),
        tunes_temperature=config.bool("attn_temperature_tuning", default=True),
        experts=experts,
        experts_per_token=config.int("num_experts_per_tok", maximum=experts, default=1),
        expert_width=expert_width,
    )
    text = decoder(
        config,
        hidden=hidden,
        blocks=_blocks(config, (*attention, *dense, *norms), (*attention, *moe, *norms)),
        program=program,
        activation=act,
        kv_width=heads.kv_heads * heads.head_dim,
        prefix=f"{prefix}model",
        head_name=f"{prefix}lm_head",
        vocab=202_048,
        attention_windows=(None, window),
        rotary_dtype="float32",
        notes=(NO_ALL_LINEAR,),
    )
    return replace(text, attention=("eager", "sdpa"))


def _mlp(name: str, hidden: int, inner: int) -> tuple[Module, ...]:
    return (
        linear(f"{name}.gate_proj", hidden, inner),
        linear(f"{name}.up_proj", hidden, inner),
        linear(f"{name}.down_proj", inner, hidden),
    )


def _experts(hidden: int, inner: int, experts: int) -> tuple[Module, ...]:
    """The parts of a `Llama4TextMoe`.

    Its router is a subclass of `nn.Linear`: bitsandbytes leaves it alone, and PEFT's all-linear, which wraps
    it, fails in the forward pass (0.21).
    """
    stacks = (("gate_up_proj", (experts, hidden, 2 * inner)), ("down_proj", (experts, inner, hidden)))
    return (
        Module("feed_forward.experts", "experts", stacks),
        linear("feed_forward.router", hidden, experts),
        *_mlp("feed_forward.shared_expert", hidden, inner),
    )


def _blocks(config: Config, dense: tuple[Module, ...], moe: tuple[Module, ...]) -> tuple[Block, ...]:
    """Blocks by their MLP (experts or not), and by whether their attention is rotated and is local."""
    count = config.int("num_hidden_layers")
    step = config.int("interleave_moe_layer_step", default=1)
    with_experts = set(config.list("moe_layers", of=int, default=list(range(step - 1, count, step))))
    rotated = _rotated(config, count)
    local = ["chunked_attention" if flag else "full_attention" for flag in rotated]
    local = config.list("layer_types", of=str, length=count, default=local)
    groups: dict[str, list[int]] = {}
    for layer in range(count):
        kind = " ".join(
            (
                MOE if layer in with_experts else "dense",
                "rotary" if rotated[layer] else NOPE,
                LOCAL if local[layer] == "chunked_attention" else "full",
            )
        )
        groups.setdefault(kind, []).append(layer)
    return tuple(Block(kind, moe if MOE in kind else dense, tuple(group)) for kind, group in groups.items())


def _rotated(config: Config, count: int) -> list[bool]:
    """For each layer, whether it has rotary embeddings; the others are NoPE layers."""
    interval = config.int("no_rope_layer_interval", default=4)
    flags = config.list("no_rope_layers", of=int, default=None) or []
    if flags and len(flags) < count:
        raise InputError(
            f"'no_rope_layers' in {config.origin} has {len(flags)} items for {count} layers; write one per layer",
            field="model",
        )
    return [bool(flags[layer]) if flags else (layer + 1) % interval != 0 for layer in range(count)]
