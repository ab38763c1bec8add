"""Gemma 3, text only (`gemma3_text`) and with its SigLIP vision tower (`gemma3`).

Source: `transformers/models/gemma3/modeling_gemma3.py` (5.23).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from planner.architecture.config import Config
from planner.architecture.families.gemma import attention_dropout, projections, read_heads
from planner.architecture.families.gemma2 import Gemma2Program, kinds, norms
from planner.architecture.families.parts import decoder
from planner.architecture.families.siglip import vision_modules
from planner.architecture.families.windows import blocks_of
from planner.architecture.modules import Architecture, Module, norm
from planner.architecture.program import Forward
from planner.tape import Tensor

TEXT_ONLY = (
    "only the text part is planned: batches without images, in which the vision tower and the projector "
    "hold their weights and are idle"
)


@dataclass(frozen=True, slots=True)
class Gemma3Program(Gemma2Program):
    """Gemma 2's block with norms of q and k, and without soft-capping in attention."""

    def windowed_attention(self, forward: Forward, x: Tensor, window: int | None) -> Tensor:
        q = forward.linear("self_attn.q_proj", x)
        k = forward.linear("self_attn.k_proj", x)
        v = forward.linear("self_attn.v_proj", x)
        q = forward.offset_rms_norm("self_attn.q_norm", q, groups=self.heads.heads)
        k = forward.offset_rms_norm("self_attn.k_norm", k, groups=self.heads.kv_heads)
        q, k = forward.rotary(q), forward.rotary(k)
        out = forward.attention(q, k, v, self.heads, dropout=self.attention_dropout, window=window)
        return forward.linear("self_attn.o_proj", out)


def build(config: Config) -> Architecture:
    """The architecture of a `Gemma3TextConfig` or a `Gemma3Config`."""
    if config.str("model_type") == "gemma3_text":
        return _text(config, "model", tied=config.bool("tie_word_embeddings", default=True))
    text_config = config.sub("text_config")
    prefix = "model.language_model"
    text = _text(text_config, prefix, tied=config.bool("tie_word_embeddings", default=True))
    vision = config.sub("vision_config")
    vision_hidden = vision.int("hidden_size", default=768)
    projector = (
        Module(
            "model.multi_modal_projector",
            "other",
            (("mm_input_projection_weight", (vision_hidden, text.hidden_size)),),
        ),
        norm("model.multi_modal_projector.mm_soft_emb_norm", vision_hidden),
    )
    return replace(
        text,
        model_type=config.str("model_type"),
        outer=(*vision_modules(vision, "model.vision_tower"), *projector, *text.outer),
        dtype=config.str("dtype", "torch_dtype", default=text.dtype),
        notes=(TEXT_ONLY,),
        idle=("model.vision_tower.", "model.multi_modal_projector."),
    )


def _text(config: Config, prefix: str, *, tied: bool) -> Architecture:
    hidden = config.int("hidden_size")
    heads = read_heads(config, heads=8, kv_heads=4, head_dim=256)
    activation = config.str("hidden_activation", default="gelu_pytorch_tanh")
    both_directions = config.bool("use_bidirectional_attention", default=False)
    window = config.int("sliding_window", default=4096)
    program = Gemma3Program(
        heads,
        attention_dropout(config),
        activation,
        embed_name=f"{prefix}.embed_tokens",
        norm_name=f"{prefix}.norm",
        window=window,
        caps_logits=config.float("final_logit_softcapping", default=0.0) > 0,
    )
    qk_norms = (norm("self_attn.q_norm", heads.head_dim), norm("self_attn.k_norm", heads.head_dim))
    modules = (*projections(config, hidden, heads), *qk_norms, *norms(hidden))
    blocks = blocks_of(kinds(config, pattern=config.int("sliding_window_pattern", default=6)), modules)
    return decoder(
        config,
        hidden=hidden,
        blocks=blocks,
        program=None if both_directions else program,
        no_program_reason="its attention in both directions is not covered" if both_directions else "",
        activation=activation,
        kv_width=heads.kv_heads * heads.head_dim,
        prefix=prefix,
        vocab=262_208,
        tied=tied,
        attention_windows=(None, window),
        rotary_sets=len(blocks),
    )
