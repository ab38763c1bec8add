"""Jamba: Mamba blocks with attention every few layers, and experts every few layers.

Source: `transformers/models/jamba/modeling_jamba.py` (5.23). Parameters only, no program.
"""

from __future__ import annotations

from contextlib import suppress

from planner.architecture.config import Config
from planner.architecture.families.moe_parts import Experts, expert_stack, experts_of, router
from planner.architecture.families.parts import (
    attention_heads,
    attention_projections,
    decoder,
    default_head_dim,
)
from planner.architecture.modules import Architecture, Block, Module, linear, norm
from planner.errors import InputError


def build(config: Config) -> Architecture:
    """The architecture of a `JambaConfig`."""
    hidden = config.int("hidden_size", minimum=1)
    inner = config.int("intermediate_size", minimum=1)
    count = config.int("num_hidden_layers", minimum=1)
    query_heads = config.int("num_attention_heads", minimum=1)
    heads = attention_heads(config, query_heads, default_head_dim(config, hidden, query_heads), missing=8)
    experts = experts_of(
        config, ("num_experts", "num_local_experts"), hidden=hidden, inner=inner, count=16, per_token=2
    )
    attends = _every(config, "attn_layer_period", 8, "attn_layer_offset", 4, count)
    sparse = _every(config, "expert_layer_period", 2, "expert_layer_offset", 1, count)
    mixers = {"attention": attention_projections(hidden, heads), "mamba": _mamba(config, hidden)}
    norms = (norm("input_layernorm", hidden), norm("pre_ff_layernorm", hidden))
    kinds = [
        ("attention" if own else "mamba", has and experts.count > 1) for own, has in zip(attends, sparse, strict=True)
    ]
    blocks = tuple(
        Block(
            f"{mixer} {'moe' if has else 'dense'}",
            (*mixers[mixer], *_feed_forward(experts, has), *norms),
            tuple(layer for layer, own in enumerate(kinds) if own == (mixer, has)),
        )
        for mixer, has in dict.fromkeys(kinds)
    )
    return decoder(
        config,
        hidden=hidden,
        blocks=blocks,
        final_norm=norm("model.final_layernorm", hidden),
        program=None,
        no_program_reason="the memory of Mamba's selective scan is not covered",
        kv_width=heads.kv_heads * heads.head_dim,
    )


def _every(config: Config, period_key: str, period: int, offset_key: str, offset: int, count: int) -> list[bool]:
    """Which layers are one of a kind that comes every `period` layers from `offset` on."""
    period = config.int(period_key, minimum=1, default=period)
    offset = config.int(offset_key, minimum=0, default=offset)
    if offset >= period:
        raise InputError(
            f"'{offset_key}' {offset} in {config.origin} is not below '{period_key}' {period}; lower it",
            field="model",
        )
    return [layer % period == offset for layer in range(count)]


def _feed_forward(experts: Experts, sparse: bool) -> tuple[Module, ...]:
    if sparse:
        return router("feed_forward.router", experts), expert_stack("feed_forward.experts", experts)
    return (
        linear("feed_forward.gate_proj", experts.hidden, experts.inner),
        linear("feed_forward.up_proj", experts.hidden, experts.inner),
        linear("feed_forward.down_proj", experts.inner, experts.hidden),
    )


def _mamba(config: Config, hidden: int) -> tuple[Module, ...]:
    """`JambaMambaMixer`."""
    inner = config.int("mamba_expand", minimum=1, default=2) * hidden
    states = config.int("mamba_d_state", minimum=1, default=16)
    kernel = config.int("mamba_d_conv", minimum=1, default=4)
    rank = _time_step_rank(config, hidden)
    biased = config.bool("mamba_proj_bias", default=False)
    convolution = ("weight", (inner, 1, kernel))
    bias = (("bias", (inner,)),) if config.bool("mamba_conv_bias", default=True) else ()
    return (
        Module("mamba", "other", (("A_log", (inner, states)), ("D", (inner,)))),
        Module("mamba.conv1d", "conv", (convolution, *bias)),
        linear("mamba.in_proj", hidden, 2 * inner, bias=biased),
        linear("mamba.x_proj", inner, rank + 2 * states),
        linear("mamba.dt_proj", rank, inner, bias=True),
        linear("mamba.out_proj", inner, hidden, bias=biased),
        norm("mamba.dt_layernorm", rank),
        norm("mamba.b_layernorm", states),
        norm("mamba.c_layernorm", states),
    )


def _time_step_rank(config: Config, hidden: int) -> int:
    """`mamba_dt_rank`: "auto" is a 16th of the hidden size, rounded up."""
    automatic = -(-hidden // 16)
    with suppress(InputError):
        if config.str("mamba_dt_rank", default="") == "auto":
            return automatic
    return config.int("mamba_dt_rank", minimum=1, default=automatic)
