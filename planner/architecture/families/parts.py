"""What decoder-only families share: the frame of embedding, blocks, final norm and head."""

from __future__ import annotations

from collections.abc import Sequence

from planner.architecture.config import Config
from planner.architecture.modules import Architecture, Block, Module, embedding, linear, norm
from planner.architecture.program import Program
from planner.errors import InputError
from planner.tape.activations import ACTIVATIONS
from planner.tape.attention import Heads


def require_pairs(config: Config, head_dim: int) -> None:
    """Raise `InputError` for a head that rotary embedding cannot turn in pairs."""
    if head_dim % 2:
        raise InputError(
            f"head_dim {head_dim} in {config.origin} is odd, and rotary embedding turns pairs; correct it",
            field="model",
        )


def default_head_dim(config: Config, hidden: int, heads: int) -> int:
    """`head_dim` if the config has it, else hidden_size / num_attention_heads."""
    if not config.has("head_dim") and hidden % heads:
        raise InputError(
            f"hidden_size {hidden} in {config.origin} is not a multiple of num_attention_heads {heads}; "
            "correct one of them or state head_dim",
            field="model",
        )
    return config.int("head_dim", minimum=1, default=hidden // heads)


def attention_heads(
    config: Config, heads: int, head_dim: int, *, missing: int | None = None, null: int | None = None
) -> Heads:
    """Heads of grouped attention, with `num_key_value_heads` of the config.

    missing, null: what the family's config class takes it to be when the key is not there, or null; by
    default as many as there are query heads. Raises `InputError` where they do not divide into groups.
    """
    default = null if config.states("num_key_value_heads") else missing
    kv_heads = config.int("num_key_value_heads", minimum=1, default=default or heads)
    check_groups(config, heads, kv_heads)
    return Heads(heads, kv_heads, head_dim, head_dim)


def check_groups(config: Config, heads: int, kv_heads: int) -> None:
    """Raise `InputError` where the query heads cannot be shared out evenly over the key-value heads."""
    if heads % kv_heads:
        raise InputError(
            f"num_attention_heads {heads} in {config.origin} is not a multiple of "
            f"num_key_value_heads {kv_heads}; correct one of them",
            field="model",
        )


def attention_projections(
    hidden: int, heads: Heads, *, bias: bool = False, out_bias: bool = False
) -> tuple[Module, ...]:
    """`self_attn.{q,k,v,o}_proj`; bias: of the first three, out_bias: of the last."""
    return (
        linear("self_attn.q_proj", hidden, heads.heads * heads.head_dim, bias=bias),
        linear("self_attn.k_proj", hidden, heads.kv_heads * heads.head_dim, bias=bias),
        linear("self_attn.v_proj", hidden, heads.kv_heads * heads.value_dim, bias=bias),
        linear("self_attn.o_proj", heads.heads * heads.value_dim, hidden, bias=out_bias),
    )


def gated_projections(hidden: int, inner: int, *, bias: bool = False) -> tuple[Module, ...]:
    """`mlp.{gate,up,down}_proj`."""
    return (
        linear("mlp.gate_proj", hidden, inner, bias=bias),
        linear("mlp.up_proj", hidden, inner, bias=bias),
        linear("mlp.down_proj", inner, hidden, bias=bias),
    )


def decoder(
    config: Config,
    *,
    hidden: int,
    blocks: Sequence[Block],
    program: Program | None,
    kv_width: int,
    final_norm: Module | None = None,
    prefix: str = "model",
    head_name: str = "lm_head",
    vocab: int | None = None,
    tied: bool = False,
    head_bias: bool = False,
    notes: tuple[str, ...] = (),
    no_program_reason: str = "",
    activation: str = "",
    attention_windows: tuple[int | None, ...] = (None,),
    rotary_dtype: str | None = None,
    rotary_sets: int = 1,
) -> Architecture:
    """A decoder laid out as `model.embed_tokens`, `model.layers`, `model.norm`, `lm_head`.

    tied: what the family takes `tie_word_embeddings` to be when the config does not say; vocab: the same for
    `vocab_size`, for families whose published configs leave it out. activation: the family has no program
    where the tape does not know it.
    """
    if activation and activation not in ACTIVATIONS:
        program, no_program_reason = None, f"its activation '{activation}' is in no table"
    vocab = config.int("vocab_size", minimum=1) if vocab is None else config.int("vocab_size", default=vocab)
    embed = f"{prefix}.embed_tokens"
    head = linear(head_name, hidden, vocab, bias=head_bias)
    if config.bool("tie_word_embeddings", default=tied):
        head = Module(head.name, head.kind, head.parameters, tied_to=embed)
    return Architecture(
        model_type=config.str("model_type"),
        hidden_size=hidden,
        vocab_size=vocab,
        blocks=tuple(blocks),
        block_prefix=f"{prefix}.layers",
        outer=(embedding(embed, vocab, hidden), final_norm or norm(f"{prefix}.norm", hidden), head),
        head=head_name,
        embed=embed,
        max_position_embeddings=config.int("max_position_embeddings", minimum=1, default=None),
        dtype=config.str("dtype", "torch_dtype", default=None),
        program=program,
        no_program_reason=no_program_reason,
        notes=notes,
        kv_width=kv_width,
        attention_windows=attention_windows,
        rotary_dtype=rotary_dtype,
        rotary_sets=rotary_sets,
    )
