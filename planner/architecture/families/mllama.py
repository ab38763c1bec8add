"""Llama 3.2 Vision: Llama's blocks, and among them blocks that attend to an image.

Source: `transformers/models/mllama/modeling_mllama.py` (5.23). Without an image the model skips the
cross-attention blocks (`MllamaTextModel.forward`), so that a text batch runs Llama's blocks alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from planner.architecture.config import Config
from planner.architecture.families.gpt_parts import even_head_dim
from planner.architecture.families.llama import LlamaProgram
from planner.architecture.families.mllama_vision import vision_modules
from planner.architecture.families.parts import (
    attention_heads,
    attention_projections,
    decoder,
    gated_projections,
)
from planner.architecture.modules import Architecture, Block, Module, embedding, linear, norm
from planner.architecture.program import Forward
from planner.errors import InputError
from planner.tape import TOKENS, Tensor, layers, ops
from planner.tape.attention import Heads

SELF, CROSS = "self_attention", "cross_attention"

EXTRA_EMBEDDINGS = 8
"""Rows of the input embedding beyond the vocabulary (`nn.Embedding(config.vocab_size + 8, ...)`)."""

TEXT_ONLY = (
    "only the text part is planned: batches without images, in which the vision tower, the projector and "
    "the cross-attention layers hold their weights and are idle"
)


@dataclass(frozen=True, slots=True)
class MllamaProgram(LlamaProgram):
    """Llama's program under the names of a multimodal model, without the blocks that see images."""

    def embed(self, forward: Forward) -> Tensor:
        weight = forward.parameter("model.language_model.embed_tokens.weight")
        return layers.embedding(forward.tape, weight, TOKENS)

    def block(self, forward: Forward, kind: str, x: Tensor) -> Tensor:
        return x if kind == CROSS else LlamaProgram.block(self, forward, kind, x)

    def final(self, forward: Forward, x: Tensor) -> Tensor:
        return forward.rms_norm("model.language_model.norm", x)


@dataclass(frozen=True, slots=True)
class MllamaTextProgram(MllamaProgram):
    """`MllamaForCausalLM`, which has no vision tower and casts its logits to float32."""

    def embed(self, forward: Forward) -> Tensor:
        return LlamaProgram.embed(self, forward)

    def final(self, forward: Forward, x: Tensor) -> Tensor:
        return LlamaProgram.final(self, forward, x)

    def logits(self, forward: Forward, x: Tensor) -> Tensor:
        return ops.to(forward.linear("lm_head", x), "float32")


def build(config: Config) -> Architecture:
    """The architecture of a `MllamaTextConfig` or a `MllamaConfig`."""
    if config.str("model_type") == "mllama_text_model":
        return _text(config, "model", MllamaTextProgram)
    text = _text(config.sub("text_config"), "model.language_model", MllamaProgram)
    vision = config.sub("vision_config")
    width = vision.int("vision_output_dim", default=7680)
    projector = linear("model.multi_modal_projector", width, text.hidden_size, bias=True)
    return replace(
        text,
        model_type=config.str("model_type"),
        outer=(*vision_modules(vision, "model.vision_model"), projector, *text.outer),
        dtype=config.str("dtype", "torch_dtype", default=text.dtype),
        notes=(TEXT_ONLY,),
        idle=("model.vision_model.", "model.multi_modal_projector.", *text.idle),
    )


def _text(config: Config, prefix: str, program: type[LlamaProgram]) -> Architecture:
    hidden = config.int("hidden_size")
    heads = config.int("num_attention_heads", default=32)
    shape = attention_heads(config, heads, even_head_dim(config, hidden, heads), missing=8)
    text = decoder(
        config,
        hidden=hidden,
        blocks=_blocks(config, hidden, shape),
        program=program(shape, config.float("dropout", minimum=0.0, maximum=1.0, default=0.0)),
        activation=config.str("hidden_act", default="silu"),
        kv_width=shape.kv_heads * shape.head_dim,
        prefix=prefix,
        vocab=128_256,
    )
    outer = [
        embedding(text.embed, text.vocab_size + EXTRA_EMBEDDINGS, hidden)
        if module.name == text.embed
        # the family never ties its weights (its `_tied_weights_keys` are commented out)
        else replace(module, tied_to="")
        for module in text.outer
    ]
    crossing = [layer for block in text.blocks if block.kind == CROSS for layer in block.layers]
    return replace(
        text,
        outer=tuple(outer),
        attention=("eager", "sdpa"),
        idle=tuple(f"{prefix}.layers.{layer}." for layer in crossing),
    )


def _blocks(config: Config, hidden: int, heads: Heads) -> tuple[Block, ...]:
    count = config.int("num_hidden_layers", default=40)
    default = [3, 8, 13, 18, 23, 28, 33, 38]
    cross = sorted(set(config.list("cross_attention_layers", of=int, default=default)))
    projections = attention_projections(hidden, heads)
    common = (
        *gated_projections(hidden, config.int("intermediate_size", default=14_336)),
        norm("input_layernorm", hidden),
        norm("post_attention_layernorm", hidden),
    )
    crossing = (
        Module("", "other", (("cross_attn_attn_gate", (1,)), ("cross_attn_mlp_gate", (1,)))),
        *(replace(module, name=module.name.replace("self_attn", "cross_attn")) for module in projections),
        norm("cross_attn.q_norm", heads.head_dim),
        norm("cross_attn.k_norm", heads.head_dim),
        *common,
    )
    chosen = tuple(layer for layer in cross if 0 <= layer < count)
    others = tuple(layer for layer in range(count) if layer not in set(chosen))
    if not others:
        raise InputError(
            f"'cross_attention_layers' in {config.origin} has all {count} layers; leave some out",
            field="model",
        )
    kinds = (Block(SELF, (*projections, *common), others), Block(CROSS, crossing, chosen))
    return tuple(block for block in kinds if block.layers)
