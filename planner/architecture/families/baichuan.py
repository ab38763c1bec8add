"""Baichuan 1 and 2: only in the models' own repositories, not in transformers.

Names and shapes are those of their remote code, `modeling_baichuan.py`, which is never run. The 7B model
rotates its positions, the 13B model has ALiBi: neither has parameters. Baichuan 2's `NormHead` has the
shape of a linear head.
"""

from __future__ import annotations

from planner.architecture.config import Config
from planner.architecture.families.gpt_parts import REMOTE_CODE, even_head_dim
from planner.architecture.families.parts import decoder
from planner.architecture.modules import Architecture, Block, linear, norm


def build(config: Config) -> Architecture:
    """The architecture of a `BaichuanConfig`."""
    hidden = config.int("hidden_size", minimum=1)
    inner = config.int("intermediate_size", minimum=1)
    heads = config.int("num_attention_heads", minimum=1)
    count = config.int("num_hidden_layers", minimum=1)
    even_head_dim(config, hidden, heads)
    block = Block(
        "decoder",
        (
            linear("self_attn.W_pack", hidden, 3 * hidden),
            linear("self_attn.o_proj", hidden, hidden),
            linear("mlp.gate_proj", hidden, inner),
            linear("mlp.down_proj", inner, hidden),
            linear("mlp.up_proj", hidden, inner),
            norm("input_layernorm", hidden),
            norm("post_attention_layernorm", hidden),
        ),
        tuple(range(count)),
    )
    return decoder(
        config,
        hidden=hidden,
        blocks=(block,),
        program=None,
        no_program_reason=REMOTE_CODE,
        kv_width=hidden,
    )
