"""The vision tower of Llama 3.2 Vision: a transformer over tiles, and a gated one over what it finds.

Source: `transformers/models/mllama/modeling_mllama.py` (5.23), `MllamaVisionModel`.
"""

from __future__ import annotations

from planner.architecture.config import Config
from planner.architecture.families.gpt_parts import even_head_dim
from planner.architecture.modules import Module, embedding, linear, norm

DEFAULT_ASPECT_RATIOS = 8


def vision_modules(config: Config, prefix: str) -> tuple[Module, ...]:
    """The modules of a `MllamaVisionModel` called `prefix`, with full names."""
    hidden = config.int("hidden_size", default=1280)
    patch = config.int("patch_size", default=14)
    tiles = config.int("max_num_tiles", default=4)
    patches = (config.int("image_size", default=448) // patch) ** 2 + 1
    # one row of embeddings per aspect ratio, and one for padding
    ratios = _aspect_ratios(config) + 1
    kernel = (hidden, config.int("num_channels", default=3), patch, patch)
    position = f"{prefix}.gated_positional_embedding"
    modules = [
        Module(prefix, "other", (("class_embedding", (hidden,)),)),
        Module(f"{prefix}.patch_embedding", "conv", (("weight", kernel),)),
        Module(position, "other", (("gate", (1,)), ("embedding", (patches, hidden)))),
        embedding(f"{position}.tile_embedding", ratios, tiles * patches * hidden),
    ]
    for name in ("pre_tile_positional_embedding", "post_tile_positional_embedding"):
        modules += [
            Module(f"{prefix}.{name}", "other", (("gate", (1,)),)),
            embedding(f"{prefix}.{name}.embedding", ratios, tiles * hidden),
        ]
    modules += [
        norm(f"{prefix}.layernorm_pre", hidden, bias=True),
        norm(f"{prefix}.layernorm_post", hidden, bias=True),
    ]
    for layer in range(config.int("num_hidden_layers", default=32)):
        modules += _layer(config, f"{prefix}.transformer.layers.{layer}", hidden)
    for layer in range(config.int("num_global_layers", default=8)):
        name = f"{prefix}.global_transformer.layers.{layer}"
        modules += [
            Module(name, "other", (("gate_attn", (1,)), ("gate_ffn", (1,)))),
            *_layer(config, name, hidden),
        ]
    return tuple(modules)


def _layer(config: Config, name: str, hidden: int) -> tuple[Module, ...]:
    heads = config.int("attention_heads", "num_attention_heads", default=16)
    inner = config.int("intermediate_size", default=5120)
    width = even_head_dim(config, hidden, heads) * heads
    return (
        linear(f"{name}.self_attn.q_proj", hidden, width),
        linear(f"{name}.self_attn.k_proj", hidden, width),
        linear(f"{name}.self_attn.v_proj", hidden, width),
        linear(f"{name}.self_attn.o_proj", width, hidden),
        linear(f"{name}.mlp.fc1", hidden, inner, bias=True),
        linear(f"{name}.mlp.fc2", inner, hidden, bias=True),
        norm(f"{name}.input_layernorm", hidden, bias=True),
        norm(f"{name}.post_attention_layernorm", hidden, bias=True),
    )


def _aspect_ratios(config: Config) -> int:
    if not config.has("supported_aspect_ratios"):
        return DEFAULT_ASPECT_RATIOS
    return len(config.list("supported_aspect_ratios", of=object))
