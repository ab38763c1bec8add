"""BERT, counted as `BertForMaskedLM`: an encoder, which has no causal language-modelling step to plan.

Source: `transformers/models/bert/modeling_bert.py` (5.23).
"""

from __future__ import annotations

from planner.architecture.config import Config
from planner.architecture.families.gpt_parts import even_head_dim, gpt_decoder
from planner.architecture.modules import Architecture, Block, Module, embedding, linear, norm


def build(config: Config) -> Architecture:
    """The architecture of a `BertConfig`."""
    hidden = config.int("hidden_size", minimum=1)
    inner = config.int("intermediate_size", minimum=1)
    heads = config.int("num_attention_heads", minimum=1)
    count = config.int("num_hidden_layers", minimum=1)
    vocab = config.int("vocab_size", minimum=1)
    positions = config.int("max_position_embeddings", minimum=1, default=512)
    types = config.int("type_vocab_size", minimum=1, default=2)
    even_head_dim(config, hidden, heads)
    block = Block(
        "encoder",
        (
            linear("attention.self.query", hidden, hidden, bias=True),
            linear("attention.self.key", hidden, hidden, bias=True),
            linear("attention.self.value", hidden, hidden, bias=True),
            linear("attention.output.dense", hidden, hidden, bias=True),
            norm("attention.output.LayerNorm", hidden, bias=True),
            linear("intermediate.dense", hidden, inner, bias=True),
            linear("output.dense", inner, hidden, bias=True),
            norm("output.LayerNorm", hidden, bias=True),
        ),
        tuple(range(count)),
    )
    tied = config.bool("tie_word_embeddings", default=True)
    return gpt_decoder(
        config,
        hidden=hidden,
        blocks=(block,),
        block_prefix="bert.encoder.layer",
        embed=embedding("bert.embeddings.word_embeddings", vocab, hidden),
        rest=(
            embedding("bert.embeddings.position_embeddings", positions, hidden),
            embedding("bert.embeddings.token_type_embeddings", types, hidden),
            norm("bert.embeddings.LayerNorm", hidden, bias=True),
            linear("cls.predictions.transform.dense", hidden, hidden, bias=True),
            norm("cls.predictions.transform.LayerNorm", hidden, bias=True),
            Module("cls.predictions", "other", (("bias", (vocab,)),)),
        ),
        # with tied weights its bias is `cls.predictions.bias`
        head=linear("cls.predictions.decoder", hidden, vocab, bias=not tied),
        tied=True,
        positions=positions,
        program=None,
        no_program_reason="it is an encoder, trained on masked tokens",
        kv_width=hidden,
    )
