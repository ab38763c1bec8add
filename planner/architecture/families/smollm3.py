"""SmolLM 3.

Source: `transformers/models/smollm3/modeling_smollm3.py` (5.23).
"""

from __future__ import annotations

from dataclasses import dataclass

from planner.architecture.config import Config
from planner.architecture.families.mistral import MistralProgram
from planner.architecture.families.parts import (
    attention_heads,
    attention_projections,
    decoder,
    default_head_dim,
    gated_projections,
)
from planner.architecture.families.windows import (
    FULL,
    SLIDING,
    attention_windows,
    blocks_of,
    layer_kinds,
    require_window,
)
from planner.architecture.modules import Architecture, norm
from planner.architecture.program import Forward
from planner.tape import Tensor

_UNROTATED = ", no rotary embedding"


@dataclass(frozen=True, slots=True)
class SmolLM3Program(MistralProgram):
    """Llama's block, whose kinds also say whether q and k are rotated."""

    def rotate(self, forward: Forward, kind: str, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        if kind.endswith(_UNROTATED):
            return q, k
        return forward.rotary(q), forward.rotary(k)


def build(config: Config) -> Architecture:
    """The architecture of a `SmolLM3Config`: by default every fourth layer is without rotary embedding."""
    hidden = config.int("hidden_size", minimum=1)
    inner = config.int("intermediate_size", minimum=1)
    count = config.int("num_hidden_layers", minimum=1)
    query_heads = config.int("num_attention_heads", minimum=1)
    heads = attention_heads(config, query_heads, default_head_dim(config, hidden, query_heads), missing=4)
    biased = config.bool("attention_bias", default=False)
    activation = config.str("hidden_act", default="silu")
    window = config.int("sliding_window", minimum=1, default=None)
    if not config.bool("use_sliding_window", default=False):
        window = None
    interval = config.int("no_rope_layer_interval", minimum=1, default=4)
    every_nth = [int((layer + 1) % interval != 0) for layer in range(count)]
    rotated = config.list("no_rope_layers", of=int, length=count, default=every_nth)
    slides = [window is not None and not own for own in rotated]
    kinds = layer_kinds(config, [SLIDING if own else FULL for own in slides])
    require_window(config, window, kinds)
    modules = (
        *attention_projections(hidden, heads, bias=biased, out_bias=biased),
        *gated_projections(hidden, inner, bias=config.bool("mlp_bias", default=False)),
        norm("input_layernorm", hidden),
        norm("post_attention_layernorm", hidden),
    )
    dropout = config.float("attention_dropout", minimum=0.0, maximum=1.0, default=0.0)
    named = [kind if own else kind + _UNROTATED for kind, own in zip(kinds, rotated, strict=True)]
    return decoder(
        config,
        hidden=hidden,
        blocks=blocks_of(named, modules),
        program=SmolLM3Program(heads, dropout, activation, window),
        kv_width=heads.kv_heads * heads.head_dim,
        tied=True,
        activation=activation,
        attention_windows=attention_windows(window, kinds),
    )
