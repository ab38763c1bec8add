"""What decoder-only families share: the frame of embedding, blocks, final norm and head."""

from __future__ import annotations

from collections.abc import Sequence

from planner.architecture.config import Config
from planner.architecture.modules import Architecture, Block, Module, embedding, linear, norm
from planner.architecture.program import Program
from planner.errors import InputError


def default_head_dim(config: Config, hidden: int, heads: int) -> int:
    """`head_dim` if the config has it, else hidden_size / num_attention_heads."""
    if not config.has("head_dim") and hidden % heads:
        raise InputError(
            f"hidden_size {hidden} in {config.origin} is not a multiple of num_attention_heads {heads}; "
            "correct one of them or state head_dim",
            field="model",
        )
    return config.int("head_dim", minimum=1, default=hidden // heads)


def decoder(
    config: Config,
    *,
    hidden: int,
    blocks: Sequence[Block],
    program: Program | None,
    kv_width: int,
    final_norm: Module | None = None,
    prefix: str = "model",
    tied: bool = False,
    head_bias: bool = False,
    notes: tuple[str, ...] = (),
    no_program_reason: str = "",
) -> Architecture:
    """The architecture of a decoder laid out as `model.embed_tokens`, `model.layers`, `model.norm`, `lm_head`.

    tied: what the family takes `tie_word_embeddings` to be when the config does not say.
    """
    vocab = config.int("vocab_size", minimum=1)
    embed = f"{prefix}.embed_tokens"
    head = linear("lm_head", hidden, vocab, bias=head_bias)
    if config.bool("tie_word_embeddings", default=tied):
        head = Module(head.name, head.kind, head.parameters, tied_to=embed)
    return Architecture(
        model_type=config.str("model_type"),
        hidden_size=hidden,
        vocab_size=vocab,
        blocks=tuple(blocks),
        block_prefix=f"{prefix}.layers",
        outer=(embedding(embed, vocab, hidden), final_norm or norm(f"{prefix}.norm", hidden), head),
        embed=embed,
        max_position_embeddings=config.int("max_position_embeddings", minimum=1, default=None),
        dtype=config.str("dtype", "torch_dtype", default=None),
        program=program,
        no_program_reason=no_program_reason,
        notes=notes,
        kv_width=kv_width,
    )
