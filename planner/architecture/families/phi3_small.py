"""Phi-3-small: only in the model's own repository, not in transformers.

Names and shapes are those of its remote code, `modeling_phi3_small.py`, which is never run. Every second
layer's attention is block-sparse, which changes no parameter.
"""

from __future__ import annotations

from planner.architecture.config import Config
from planner.architecture.families.gpt_parts import REMOTE_CODE, even_head_dim, gpt_decoder, lm_head
from planner.architecture.modules import Architecture, Block, embedding, linear, norm


def build(config: Config) -> Architecture:
    """The architecture of a `Phi3SmallConfig`; its gated GEGELU halves the width of `up_proj`."""
    hidden = config.int("hidden_size", minimum=1)
    inner = config.int("ff_intermediate_size", minimum=1)
    heads = config.int("num_attention_heads", minimum=1)
    kv_heads = config.int("num_key_value_heads", minimum=1, default=8)
    count = config.int("num_hidden_layers", minimum=1)
    vocab = config.int("vocab_size", minimum=1)
    biased = config.bool("attention_bias", default=True)
    head_dim = even_head_dim(config, hidden, heads)
    block = Block(
        "decoder",
        (
            linear("self_attn.query_key_value", hidden, (heads + 2 * kv_heads) * head_dim, bias=biased),
            linear("self_attn.dense", hidden, hidden, bias=biased),
            linear("mlp.up_proj", hidden, 2 * inner, bias=True),
            linear("mlp.down_proj", inner, hidden, bias=True),
            norm("input_layernorm", hidden, bias=True),
            norm("post_attention_layernorm", hidden, bias=True),
        ),
        tuple(range(count)),
    )
    return gpt_decoder(
        config,
        hidden=hidden,
        blocks=(block,),
        block_prefix="model.layers",
        embed=embedding("model.embed_tokens", vocab, hidden),
        rest=(norm("model.final_layernorm", hidden, bias=True),),
        head=lm_head(hidden, vocab),
        tied=True,
        positions=config.int("max_position_embeddings", minimum=1, default=None),
        program=None,
        no_program_reason=REMOTE_CODE,
        kv_width=kv_heads * head_dim,
    )
