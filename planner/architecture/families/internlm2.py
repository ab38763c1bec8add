"""InternLM 2 and 2.5: only in the models' own repositories, not in transformers.

Names and shapes are those of their remote code, `modeling_internlm2.py`, which is never run.
"""

from __future__ import annotations

from planner.architecture.config import Config
from planner.architecture.families.gpt_parts import REMOTE_CODE, gpt_decoder
from planner.architecture.families.parts import default_head_dim
from planner.architecture.modules import Architecture, Block, embedding, linear, norm


def build(config: Config) -> Architecture:
    """The architecture of an `InternLM2Config`."""
    hidden = config.int("hidden_size", minimum=1)
    inner = config.int("intermediate_size", minimum=1)
    heads = config.int("num_attention_heads", minimum=1)
    kv_heads = config.int("num_key_value_heads", minimum=1, default=heads)
    count = config.int("num_hidden_layers", minimum=1)
    vocab = config.int("vocab_size", minimum=1)
    head_dim = default_head_dim(config, hidden, heads)
    biased = config.bool("bias", default=True)
    block = Block(
        "decoder",
        (
            linear("attention.wqkv", hidden, (heads + 2 * kv_heads) * head_dim, bias=biased),
            linear("attention.wo", heads * head_dim, hidden, bias=biased),
            linear("feed_forward.w1", hidden, inner),
            linear("feed_forward.w3", hidden, inner),
            linear("feed_forward.w2", inner, hidden),
            norm("attention_norm", hidden),
            norm("ffn_norm", hidden),
        ),
        tuple(range(count)),
    )
    return gpt_decoder(
        config,
        hidden=hidden,
        blocks=(block,),
        block_prefix="model.layers",
        embed=embedding("model.tok_embeddings", vocab, hidden),
        rest=(norm("model.norm", hidden),),
        head=linear("output", hidden, vocab),
        tied=False,
        positions=config.int("max_position_embeddings", minimum=1, default=None),
        program=None,
        no_program_reason=REMOTE_CODE,
        kv_width=kv_heads * head_dim,
    )
