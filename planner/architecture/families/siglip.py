"""SigLIP's vision transformer, as multimodal models hold it.

Source: `transformers/models/siglip/modeling_siglip.py` (5.23).
"""

from __future__ import annotations

from planner.architecture.config import Config
from planner.architecture.modules import Module, embedding, linear, norm


def vision_modules(config: Config, prefix: str) -> tuple[Module, ...]:
    """The modules of a `SiglipVisionModel` called `prefix`, with full names."""
    hidden = config.int("hidden_size", default=768)
    inner = config.int("intermediate_size", default=3072)
    patch = config.int("patch_size", default=16)
    channels = config.int("num_channels", default=3)
    positions = (config.int("image_size", default=224) // patch) ** 2
    modules = [
        Module(
            f"{prefix}.embeddings.patch_embedding",
            "conv",
            (("weight", (hidden, channels, patch, patch)), ("bias", (hidden,))),
        ),
        embedding(f"{prefix}.embeddings.position_embedding", positions, hidden),
        norm(f"{prefix}.post_layernorm", hidden, bias=True),
    ]
    for layer in range(config.int("num_hidden_layers", default=12)):
        name = f"{prefix}.encoder.layers.{layer}"
        modules += [
            norm(f"{name}.layer_norm1", hidden, bias=True),
            *(
                linear(f"{name}.self_attn.{part}", hidden, hidden, bias=True)
                for part in ("k_proj", "v_proj", "q_proj", "out_proj")
            ),
            norm(f"{name}.layer_norm2", hidden, bias=True),
            *_mlp(name, hidden, inner),
        ]
    if config.bool("vision_use_head", default=True):
        modules += _pooling_head(f"{prefix}.head", hidden, inner)
    return tuple(modules)


def _mlp(name: str, hidden: int, inner: int) -> tuple[Module, ...]:
    return (
        linear(f"{name}.mlp.fc1", hidden, inner, bias=True),
        linear(f"{name}.mlp.fc2", inner, hidden, bias=True),
    )


def _pooling_head(name: str, hidden: int, inner: int) -> tuple[Module, ...]:
    """`SiglipMultiheadAttentionPoolingHead`, around an `nn.MultiheadAttention`."""
    projections = (("in_proj_weight", (3 * hidden, hidden)), ("in_proj_bias", (3 * hidden,)))
    return (
        Module(name, "other", (("probe", (1, 1, hidden)),)),
        Module(f"{name}.attention", "other", projections),
        linear(f"{name}.attention.out_proj", hidden, hidden, bias=True),
        norm(f"{name}.layernorm", hidden, bias=True),
        *_mlp(name, hidden, inner),
    )
