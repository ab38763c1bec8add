"""GPT-BigCode: StarCoder and SantaCoder, which are GPT-2 with linear layers and one key and value head.

Source: `transformers/models/gpt_bigcode/modeling_gpt_bigcode.py` (5.23).
"""

from __future__ import annotations

from planner.architecture.config import Config
from planner.architecture.families.gpt2 import gpt2_decoder
from planner.architecture.families.gpt_parts import read_sizes
from planner.architecture.modules import Architecture, linear, norm


def build(config: Config) -> Architecture:
    """The architecture of a `GPTBigCodeConfig`."""
    sizes = read_sizes(config, positions=1024)
    hidden, inner = sizes.hidden, sizes.inner
    kv_heads = 1 if config.bool("multi_query", default=True) else sizes.heads
    modules = (
        norm("ln_1", hidden, bias=True),
        linear("attn.c_attn", hidden, hidden + 2 * kv_heads * sizes.head_dim, bias=True),
        linear("attn.c_proj", hidden, hidden, bias=True),
        norm("ln_2", hidden, bias=True),
        linear("mlp.c_fc", hidden, inner, bias=True),
        linear("mlp.c_proj", inner, hidden, bias=True),
    )
    return gpt2_decoder(
        config,
        sizes,
        modules,
        kv_heads=kv_heads,
        activation=config.str("activation_function", default="gelu_pytorch_tanh"),
        upcast=True,
    )
