"""GPT-BigCode: StarCoder and SantaCoder, which are GPT-2 with linear layers and one key and value head.

Source: `transformers/models/gpt_bigcode/modeling_gpt_bigcode.py` (5.23).
"""

from __future__ import annotations

from planner.architecture.config import Config
from planner.architecture.families.gpt2 import Gpt2Program
from planner.architecture.families.gpt_parts import gpt_decoder, lm_head, read_dropouts, read_sizes
from planner.architecture.modules import Architecture, Block, embedding, linear, norm
from planner.tape.attention import Heads


def build(config: Config) -> Architecture:
    """The architecture of a `GPTBigCodeConfig`."""
    hidden, heads, count, positions, inner, vocab, head_dim = read_sizes(config, positions=1024)
    kv_heads = 1 if config.bool("multi_query", default=True) else heads
    block = Block(
        "decoder",
        (
            norm("ln_1", hidden, bias=True),
            linear("attn.c_attn", hidden, hidden + 2 * kv_heads * head_dim, bias=True),
            linear("attn.c_proj", hidden, hidden, bias=True),
            norm("ln_2", hidden, bias=True),
            linear("mlp.c_fc", hidden, inner, bias=True),
            linear("mlp.c_proj", inner, hidden, bias=True),
        ),
        tuple(range(count)),
    )
    program = Gpt2Program(
        Heads(heads, kv_heads, head_dim, head_dim),
        config.str("activation_function", default="gelu_pytorch_tanh"),
        dropouts=read_dropouts(config, 0.1),
        upcast=True,
    )
    return gpt_decoder(
        config,
        hidden=hidden,
        blocks=(block,),
        block_prefix="transformer.h",
        embed=embedding("transformer.wte", vocab, hidden),
        rest=(embedding("transformer.wpe", positions, hidden), norm("transformer.ln_f", hidden, bias=True)),
        head=lm_head(hidden, vocab),
        tied=True,
        positions=positions,
        program=program,
        activation=program.activation,
        kv_width=kv_heads * head_dim,
    )
