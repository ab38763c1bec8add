"""GLM 4 9B (`model_type` glm) and GLM 4 0414 (`model_type` glm4).

Source: `transformers/models/glm/modeling_glm.py`, `glm4/modeling_glm4.py` (5.23).
"""

from __future__ import annotations

from dataclasses import dataclass

from planner.architecture.config import Config
from planner.architecture.families.gpt_parts import rotary_width
from planner.architecture.families.mistral import MistralProgram
from planner.architecture.families.parts import attention_heads, attention_projections, decoder
from planner.architecture.families.windows import FULL
from planner.architecture.modules import Architecture, Block, linear, norm
from planner.architecture.program import Forward
from planner.tape import SEQUENCE, Tensor, ops
from planner.tape.activations import activation
from planner.tape.attention import rotate_half


@dataclass(frozen=True, slots=True)
class GlmProgram(MistralProgram):
    """Llama's block with fused gate and up, and part of each head rotated by tables made in every layer."""

    rotated: int
    """Columns of a head that are rotated."""

    @property
    def rotary_width(self) -> int:
        return self.rotated

    @property
    def head_major(self) -> bool:
        return True

    def rotate(self, forward: Forward, kind: str, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        cos, sin = forward.rotary_tables
        cos = forward.tape.new(SEQUENCE, self.rotated, cos.dtype, "interleaved cos")
        sin = forward.tape.new(SEQUENCE, self.rotated, sin.dtype, "interleaved sin")
        return rotate_partly(q, k, cos, sin, self.rotated, self.heads.head_dim)

    def mlp(self, forward: Forward, x: Tensor) -> Tensor:
        fused = forward.linear("mlp.gate_up_proj", x)
        gate, up = ops.split(fused, [fused.cols // 2, fused.cols // 2])
        del fused
        up = ops.mul(up, activation(self.activation, gate))
        return forward.linear("mlp.down_proj", up)


@dataclass(frozen=True, slots=True)
class Glm4Program(GlmProgram):
    """GLM's block with norms on both sides of attention and MLP."""

    def block(self, forward: Forward, kind: str, x: Tensor) -> Tensor:
        out = self.attention(forward, kind, forward.rms_norm("input_layernorm", x))
        x = ops.add(x, forward.rms_norm("post_self_attn_layernorm", out))
        del out
        out = self.mlp(forward, forward.rms_norm("post_attention_layernorm", x))
        return ops.add(x, forward.rms_norm("post_mlp_layernorm", out))


def rotate_partly(q: Tensor, k: Tensor, cos: Tensor, sin: Tensor, rotated: int, head_dim: int) -> tuple[Tensor, Tensor]:
    """`apply_rotary_pos_emb` of the first `rotated` columns of each head, always with a concatenation."""
    q_width, k_width = q.cols // head_dim * rotated, k.cols // head_dim * rotated
    q_rot, q_pass = ops.narrow(q, q_width), ops.narrow(q, q.cols - q_width)
    k_rot, k_pass = ops.narrow(k, k_width), ops.narrow(k, k.cols - k_width)
    q_embed = ops.add(ops.mul(q_rot, cos), ops.mul(rotate_half(q_rot), sin))
    k_embed = ops.add(ops.mul(k_rot, cos), ops.mul(rotate_half(k_rot), sin))
    q_embed = ops.cat([q_embed, q_pass])
    k_embed = ops.cat([k_embed, k_pass])
    return q_embed, k_embed


def build(config: Config) -> Architecture:
    """The architecture of a `GlmConfig` or a `Glm4Config`."""
    fourth = config.str("model_type") == "glm4"
    hidden = config.int("hidden_size", minimum=1)
    inner = config.int("intermediate_size", minimum=1)
    count = config.int("num_hidden_layers", minimum=1)
    head_dim = config.int("head_dim", minimum=1, default=128)
    query_heads = config.int("num_attention_heads", minimum=1)
    heads = attention_heads(config, query_heads, head_dim, missing=2)
    act = config.str("hidden_act", default="silu")
    sandwich = (norm("post_self_attn_layernorm", hidden), norm("post_mlp_layernorm", hidden))
    modules = (
        *attention_projections(hidden, heads, bias=config.bool("attention_bias", default=True)),
        linear("mlp.gate_up_proj", hidden, 2 * inner),
        linear("mlp.down_proj", inner, hidden),
        norm("input_layernorm", hidden),
        norm("post_attention_layernorm", hidden),
        *(sandwich if fourth else ()),
    )
    dropout = config.float("attention_dropout", minimum=0.0, maximum=1.0, default=0.0)
    rotated = rotary_width(config, head_dim, 0.5)
    program = (Glm4Program if fourth else GlmProgram)(heads, dropout, act, None, rotated)
    return decoder(
        config,
        hidden=hidden,
        blocks=(Block(FULL, modules, tuple(range(count))),),
        program=program,
        kv_width=heads.kv_heads * heads.head_dim,
        activation=act,
    )
