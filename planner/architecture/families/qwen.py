"""Qwen (the first generation, before Qwen1.5): only in the model's own repository, not in transformers.

Names and shapes are those of its remote code, `modeling_qwen.py` (`QWenLMHeadModel`), which is never run.
"""

from __future__ import annotations

from planner.architecture.config import Config
from planner.architecture.families.gpt_parts import REMOTE_CODE, gpt_decoder, lm_head
from planner.architecture.modules import Architecture, Block, embedding, linear, norm
from planner.errors import InputError


def build(config: Config) -> Architecture:
    """The architecture of a `QWenConfig`: `intermediate_size` is twice the width of each MLP projection."""
    hidden = config.int("hidden_size", minimum=1)
    inner = config.int("intermediate_size", minimum=2)
    heads = config.int("num_attention_heads", minimum=1)
    count = config.int("num_hidden_layers", minimum=1)
    vocab = config.int("vocab_size", minimum=1)
    if inner % 2:
        raise InputError(
            f"intermediate_size {inner} in {config.origin} is odd, but it is twice the width of a "
            "projection; correct it",
            field="model",
        )
    projected = config.int("kv_channels", minimum=1, default=128) * heads
    biased = not config.bool("no_bias", default=True)
    block = Block(
        "decoder",
        (
            norm("ln_1", hidden),
            linear("attn.c_attn", hidden, 3 * projected, bias=True),
            linear("attn.c_proj", projected, hidden, bias=biased),
            norm("ln_2", hidden),
            linear("mlp.w1", hidden, inner // 2, bias=biased),
            linear("mlp.w2", hidden, inner // 2, bias=biased),
            linear("mlp.c_proj", inner // 2, hidden, bias=biased),
        ),
        tuple(range(count)),
    )
    return gpt_decoder(
        config,
        hidden=hidden,
        blocks=(block,),
        block_prefix="transformer.h",
        embed=embedding("transformer.wte", vocab, hidden),
        rest=(norm("transformer.ln_f", hidden),),
        head=lm_head(hidden, vocab),
        tied=False,
        positions=config.int("max_position_embeddings", minimum=1, default=None),
        program=None,
        no_program_reason=REMOTE_CODE,
        kv_width=hidden,
    )
