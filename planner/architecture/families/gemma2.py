"""Gemma 2: norms before and after each half of a block, soft-capping, every other layer local.

Source: `transformers/models/gemma2/modeling_gemma2.py` (5.23). Soft-capped attention rules out SDPA
(`_supports_sdpa = False`): transformers runs eager attention unless flash attention is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from planner.architecture.config import Config
from planner.architecture.families.gemma import GemmaProgram, attention_dropout, projections, read_heads
from planner.architecture.families.llama import mlp
from planner.architecture.families.parts import decoder
from planner.architecture.families.windows import FULL, SLIDING, blocks_of, layer_kinds
from planner.architecture.modules import Architecture, Module, norm
from planner.architecture.program import Forward
from planner.tape import Tensor, ops
from planner.tape.gemma import softcap


@dataclass(frozen=True, slots=True)
class Gemma2Program(GemmaProgram):
    """Gemma's block with a norm on what each half adds, too."""

    window: int | None = None
    caps_attention: bool = False
    caps_logits: bool = False

    def block(self, forward: Forward, kind: str, x: Tensor) -> Tensor:
        window = self.window if kind == SLIDING else None
        attended = self.windowed_attention(forward, forward.offset_rms_norm("input_layernorm", x), window)
        attended = forward.offset_rms_norm("post_attention_layernorm", attended)
        x = ops.add(x, attended)
        del attended
        out = mlp(forward, forward.offset_rms_norm("pre_feedforward_layernorm", x), self.activation)
        out = forward.offset_rms_norm("post_feedforward_layernorm", out)
        return ops.add(x, out)

    def windowed_attention(self, forward: Forward, x: Tensor, window: int | None) -> Tensor:
        q = forward.linear("self_attn.q_proj", x)
        k = forward.linear("self_attn.k_proj", x)
        v = forward.linear("self_attn.v_proj", x)
        q, k = forward.rotary(q), forward.rotary(k)
        out = forward.attention(
            q,
            k,
            v,
            self.heads,
            dropout=self.attention_dropout,
            softcap=self.caps_attention,
            window=window,
        )
        return forward.linear("self_attn.o_proj", out)

    def logits(self, forward: Forward, x: Tensor) -> Tensor:
        # no name here holds the logits: there each step takes the place of the one before
        return softcap(forward.linear("lm_head", x)) if self.caps_logits else forward.linear("lm_head", x)


def build(config: Config) -> Architecture:
    """The architecture of a `Gemma2Config`."""
    hidden = config.int("hidden_size")
    heads = read_heads(config, heads=8, kv_heads=4, head_dim=256)
    activation = config.str("hidden_activation", default="gelu_pytorch_tanh")
    window = config.int("sliding_window", default=4096)
    program = Gemma2Program(
        heads,
        attention_dropout(config),
        activation,
        window=window,
        caps_attention=config.float("attn_logit_softcapping", default=50.0) > 0,
        caps_logits=config.float("final_logit_softcapping", default=30.0) > 0,
    )
    modules = (*projections(config, hidden, heads), *norms(hidden))
    text = decoder(
        config,
        hidden=hidden,
        blocks=blocks_of(kinds(config, pattern=2), modules),
        program=program,
        activation=activation,
        kv_width=heads.kv_heads * heads.head_dim,
        vocab=256_000,
        tied=True,
        attention_windows=(None, window),
    )
    return replace(text, attention=("eager", "flash_attention_2", "flash_attention_3"))


def norms(hidden: int) -> tuple[Module, ...]:
    """The four norms of a block."""
    return (
        norm("input_layernorm", hidden),
        norm("post_attention_layernorm", hidden),
        norm("pre_feedforward_layernorm", hidden),
        norm("post_feedforward_layernorm", hidden),
    )


def kinds(config: Config, *, pattern: int) -> tuple[str, ...]:
    """Local and full layers: as `layer_types` says, else every `pattern`-th one full."""
    count = config.int("num_hidden_layers")
    return layer_kinds(config, [SLIDING if (layer + 1) % pattern else FULL for layer in range(count)])
