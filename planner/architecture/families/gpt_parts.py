"""What the older GPT-style families share: a decoder whose parts have names of the family's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from planner.architecture.config import Config
from planner.architecture.modules import Architecture, Block, Module, linear
from planner.architecture.program import Program
from planner.errors import InputError
from planner.tape import activations

REMOTE_CODE = "its code is remote, not part of transformers"
"""Why a family of which only the parameters are known has no program."""

EVERY = ("eager", "sdpa", "flash_attention_2", "flash_attention_3")
"""The attention implementations that most families have."""


def even_head_dim(config: Config, hidden: int, heads: int) -> int:
    """hidden_size / num_attention_heads, which these families refuse to round."""
    if hidden % heads:
        raise InputError(
            f"the hidden size {hidden} in {config.origin} is not a multiple of the {heads} attention heads; "
            "correct one of them",
            field="model",
        )
    return hidden // heads


class Sizes(NamedTuple):
    """Sizes of a config in GPT-2's spelling, or under the names that `attribute_map` gives them."""

    hidden: int
    heads: int
    layers: int
    positions: int
    inner: int
    vocab: int
    head_dim: int


def read_sizes(config: Config, positions: int) -> Sizes:
    """The sizes of a config; positions: the family's default of `n_positions`."""
    hidden = config.int("n_embd", "hidden_size", minimum=1)
    heads = config.int("n_head", "num_attention_heads", minimum=1)
    return Sizes(
        hidden,
        heads,
        config.int("n_layer", "num_hidden_layers", minimum=1),
        config.int("n_positions", "max_position_embeddings", minimum=1, default=positions),
        config.int("n_inner", minimum=1, default=4 * hidden),
        config.int("vocab_size", minimum=1),
        even_head_dim(config, hidden, heads),
    )


class Dropouts(NamedTuple):
    """Probabilities of dropout, active in training."""

    embd: float
    attn: float
    resid: float


def read_dropouts(config: Config, default: float) -> Dropouts:
    """`embd_pdrop`, `attn_pdrop` and `resid_pdrop`; default: the family's for all three."""
    names = ("embd_pdrop", "attn_pdrop", "resid_pdrop")
    return Dropouts(*(config.float(name, minimum=0.0, maximum=1.0, default=default) for name in names))


def rotary_width(config: Config, head_dim: int, default: float, *names: str) -> int:
    """Columns of each head that are rotated: int(head_dim * partial_rotary_factor).

    The factor is in `rope_parameters` (transformers 5), in `rope_scaling`, or at the top level under one of
    `names`. transformers' older configs wrote it there.
    """
    names = ("partial_rotary_factor", *names)
    for key in ("rope_scaling", "rope_parameters"):
        if config.has(key) and config.sub(key).has("partial_rotary_factor"):
            config, names = config.sub(key), ("partial_rotary_factor",)
            break
    width = int(head_dim * config.float(*names, minimum=0.0, maximum=1.0, default=default))
    if width < 2 or width % 2:
        raise InputError(
            f"partial_rotary_factor in {config.origin} rotates {width} of the {head_dim} columns of a head; "
            "give one that rotates an even number of them",
            field="model",
        )
    return width


def gpt_decoder(
    config: Config,
    *,
    hidden: int,
    blocks: Sequence[Block],
    block_prefix: str,
    embed: Module,
    rest: Sequence[Module],
    head: Module,
    tied: bool,
    positions: int | None,
    program: Program | None,
    kv_width: int,
    activation: str = "",
    no_program_reason: str = "",
    attention: tuple[str, ...] = EVERY,
    mask: Literal["where needed", "always", "boolean"] = "where needed",
    returns_weights: bool = False,
) -> Architecture:
    """The architecture of a decoder.

    rest: modules outside the blocks beside embedding and head. tied: what the family takes
    `tie_word_embeddings` to be when the config does not say. activation: where the tape does not know it,
    there is no program.
    """
    if config.bool("tie_word_embeddings", default=tied):
        head = Module(head.name, head.kind, head.parameters, tied_to=embed.name)
    if activation and activation not in activations.ACTIVATIONS:
        program, no_program_reason = None, f"its activation '{activation}' is in no table"
    return Architecture(
        model_type=config.str("model_type"),
        hidden_size=hidden,
        vocab_size=embed.weight[0],
        blocks=tuple(blocks),
        block_prefix=block_prefix,
        outer=(embed, *rest, head),
        head=head.name,
        embed=embed.name,
        max_position_embeddings=positions,
        dtype=config.str("dtype", "torch_dtype", default=None),
        program=program,
        no_program_reason=no_program_reason,
        kv_width=kv_width,
        attention=attention,
        mask=mask,
        returns_weights=returns_weights,
    )


def lm_head(hidden: int, vocab: int, *, bias: bool = False) -> Module:
    """The output head, under its usual name."""
    return linear("lm_head", hidden, vocab, bias=bias)
