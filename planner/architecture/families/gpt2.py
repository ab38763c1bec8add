"""GPT-2: learned positions, `Conv1D` layers, dropout wherever something joins the residual stream.

Source: `transformers/models/gpt2/modeling_gpt2.py` (5.23).
"""

from __future__ import annotations

from dataclasses import dataclass

from planner.architecture.config import Config
from planner.architecture.families.gpt_parts import (
    EVERY,
    Dropouts,
    Sizes,
    gpt_decoder,
    lm_head,
    read_dropouts,
    read_sizes,
)
from planner.architecture.modules import Architecture, Block, Module, conv1d, embedding, norm
from planner.architecture.program import Forward
from planner.tape import SEQUENCE, TOKENS, Tensor, layers, ops
from planner.tape.activations import activation
from planner.tape.attention import Heads

OTHER_THAN_EAGER = EVERY[1:]
"""`reorder_and_upcast_attn` changes eager attention to operations that are in no table."""


@dataclass(frozen=True, slots=True)
class Gpt2Program:
    """Pre-norm attention and MLP, each dropped out and added to the residual stream."""

    heads: Heads
    activation: str
    dropouts: Dropouts
    upcast: bool
    """Whether eager attention takes its softmax in float32."""
    rotary_width: int = 0

    def embed(self, forward: Forward) -> Tensor:
        tokens = layers.embedding(forward.tape, forward.parameter("transformer.wte.weight"), TOKENS)
        positions = layers.embedding(forward.tape, forward.parameter("transformer.wpe.weight"), SEQUENCE)
        forward.hold_inputs_embeds(tokens)
        forward.hold(positions)
        return ops.dropout(ops.add(tokens, positions), self.dropouts.embd)

    def block(self, forward: Forward, kind: str, x: Tensor) -> Tensor:
        residual = x
        x = forward.layer_norm("ln_1", x)
        attended = self.attention(forward, x)
        x = ops.add(attended, residual)
        residual = x
        x = forward.layer_norm("ln_2", x)
        fed = self.mlp(forward, x)
        return ops.add(residual, fed)

    def attention(self, forward: Forward, x: Tensor) -> Tensor:
        width = self.heads.heads * self.heads.head_dim
        kv_width = self.heads.kv_heads * self.heads.head_dim
        q, k, v = ops.split(forward.linear("attn.c_attn", x), (width, kv_width, kv_width))
        out = forward.attention(q, k, v, self.heads, dropout=self.dropouts.attn, upcast=self.upcast)
        out = forward.linear("attn.c_proj", out)
        return ops.dropout(out, self.dropouts.resid)

    def mlp(self, forward: Forward, x: Tensor) -> Tensor:
        x = forward.linear("mlp.c_fc", x)
        x = activation(self.activation, x)
        x = forward.linear("mlp.c_proj", x)
        return ops.dropout(x, self.dropouts.resid)

    def final(self, forward: Forward, x: Tensor) -> Tensor:
        return forward.layer_norm("transformer.ln_f", x)

    def logits(self, forward: Forward, x: Tensor) -> Tensor:
        return forward.linear("lm_head", x)


def build(config: Config) -> Architecture:
    """The architecture of a `GPT2Config`."""
    sizes = read_sizes(config, positions=1024)
    hidden, inner = sizes.hidden, sizes.inner
    modules = (
        norm("ln_1", hidden, bias=True),
        conv1d("attn.c_attn", hidden, 3 * hidden),
        conv1d("attn.c_proj", hidden, hidden),
        norm("ln_2", hidden, bias=True),
        conv1d("mlp.c_fc", hidden, inner),
        conv1d("mlp.c_proj", inner, hidden),
    )
    return gpt2_decoder(
        config,
        sizes,
        modules,
        kv_heads=sizes.heads,
        activation=config.str("activation_function", default="gelu_new"),
        upcast=False,
        attention=OTHER_THAN_EAGER if config.bool("reorder_and_upcast_attn", default=False) else EVERY,
    )


def gpt2_decoder(
    config: Config,
    sizes: Sizes,
    modules: tuple[Module, ...],
    *,
    kv_heads: int,
    activation: str,
    upcast: bool,
    attention: tuple[str, ...] = EVERY,
) -> Architecture:
    """A decoder of GPT-2's blocks around its two embeddings; `modules` are those of one block."""
    hidden, head_dim = sizes.hidden, sizes.head_dim
    program = Gpt2Program(
        Heads(sizes.heads, kv_heads, head_dim, head_dim),
        activation,
        dropouts=read_dropouts(config, 0.1),
        upcast=upcast,
    )
    return gpt_decoder(
        config,
        hidden=hidden,
        blocks=(Block("decoder", modules, tuple(range(sizes.layers))),),
        block_prefix="transformer.h",
        embed=embedding("transformer.wte", sizes.vocab, hidden),
        rest=(embedding("transformer.wpe", sizes.positions, hidden), norm("transformer.ln_f", hidden, bias=True)),
        head=lm_head(hidden, sizes.vocab),
        tied=True,
        positions=sizes.positions,
        program=program,
        activation=activation,
        kv_width=kv_heads * head_dim,
        attention=attention,
    )
