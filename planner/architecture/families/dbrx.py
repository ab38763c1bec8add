"""DBRX: clipped queries, keys and values, layer norms without bias, and experts that run one after the other.

Source: `transformers/models/dbrx/modeling_dbrx.py` (5.23).
"""

from __future__ import annotations

from planner.architecture.config import Config
from planner.architecture.families.parts import check_groups
from planner.architecture.modules import Architecture, Block, Module, embedding, linear, norm
from planner.errors import InputError


def build(config: Config) -> Architecture:
    """The architecture of a `DbrxConfig`."""
    hidden = config.int("d_model", "hidden_size", minimum=1)
    heads = config.int("n_heads", "num_attention_heads", minimum=1)
    count = config.int("n_layers", "num_hidden_layers", minimum=1)
    vocab = config.int("vocab_size", minimum=1)
    kv_heads = 1
    if config.has("attn_config"):
        kv_heads = config.sub("attn_config").int("kv_n_heads", minimum=1, default=1)
    inner, experts = 3584, 4
    if config.has("ffn_config"):
        feed = config.sub("ffn_config")
        inner = feed.int("ffn_hidden_size", minimum=1, default=inner)
        experts = feed.int("moe_num_experts", minimum=1, default=experts)
    if hidden % heads:
        raise InputError(
            f"d_model {hidden} in {config.origin} is not a multiple of n_heads {heads}; correct one of them",
            field="model",
        )
    check_groups(config, heads, kv_heads)
    if config.bool("tie_word_embeddings", default=False):
        raise InputError(
            f"'tie_word_embeddings' in {config.origin} is true, which DBRX does not allow; write false",
            field="model",
        )
    kv_width = kv_heads * (hidden // heads)
    stack = (experts * inner, hidden)
    modules = (
        norm("norm_attn_norm.norm_1", hidden),
        linear("norm_attn_norm.attn.Wqkv", hidden, hidden + 2 * kv_width),
        linear("norm_attn_norm.attn.out_proj", hidden, hidden),
        norm("norm_attn_norm.norm_2", hidden),
        linear("ffn.router.layer", hidden, experts),
        Module("ffn.experts.mlp", "experts", (("w1", stack), ("v1", stack), ("w2", stack))),
    )
    return Architecture(
        model_type=config.str("model_type"),
        hidden_size=hidden,
        vocab_size=vocab,
        blocks=(Block("moe", modules, tuple(range(count))),),
        block_prefix="transformer.blocks",
        outer=(
            embedding("transformer.wte", vocab, hidden),
            norm("transformer.norm_f", hidden),
            linear("lm_head", hidden, vocab),
        ),
        embed="transformer.wte",
        max_position_embeddings=config.int("max_seq_len", "max_position_embeddings", minimum=1, default=None),
        dtype=config.str("dtype", "torch_dtype", default=None),
        program=None,
        no_program_reason="its experts run one by one, each on as many tokens as the router sends it",
        kv_width=kv_width,
    )
