"""Llama 4's vision tower.

Source: `transformers/models/llama4/modeling_llama4.py` (5.23), `Llama4VisionModel`.
"""

from __future__ import annotations

from planner.architecture.config import Config
from planner.architecture.families.gpt_parts import even_head_dim
from planner.architecture.modules import Module, linear, norm


def vision_modules(config: Config, prefix: str) -> tuple[Module, ...]:
    """The modules of a `Llama4VisionModel` called `prefix`, with full names."""
    hidden = config.int("hidden_size", default=768)
    inner = config.int("intermediate_size", default=5632)
    heads = config.int("num_attention_heads", default=16)
    patch = config.int("patch_size", default=14)
    channels = config.int("num_channels", default=3)
    patches = (config.int("image_size", default=448) // patch) ** 2 + 1
    width = even_head_dim(config, hidden, heads) * heads
    projected = config.int("projector_output_dim", default=4096)
    embeddings = (("class_embedding", (hidden,)), ("positional_embedding_vlm", (patches, hidden)))
    modules = [
        Module(prefix, "other", embeddings),
        linear(f"{prefix}.patch_embedding.linear", channels * patch * patch, hidden),
        norm(f"{prefix}.layernorm_pre", hidden, bias=True),
        norm(f"{prefix}.layernorm_post", hidden, bias=True),
        linear(f"{prefix}.vision_adapter.mlp.fc1", inner, config.int("projector_input_dim", default=4096)),
        linear(f"{prefix}.vision_adapter.mlp.fc2", projected, projected),
    ]
    for layer in range(config.int("num_hidden_layers", default=34)):
        name = f"{prefix}.model.layers.{layer}"
        modules += [
            *(linear(f"{name}.self_attn.{part}", hidden, width, bias=True) for part in ("q_proj", "k_proj", "v_proj")),
            linear(f"{name}.self_attn.o_proj", width, hidden, bias=True),
            linear(f"{name}.mlp.fc1", hidden, inner, bias=True),
            linear(f"{name}.mlp.fc2", inner, hidden, bias=True),
            norm(f"{name}.input_layernorm", hidden, bias=True),
            norm(f"{name}.post_attention_layernorm", hidden, bias=True),
        ]
    return tuple(modules)
