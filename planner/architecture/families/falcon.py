"""Falcon: parallel attention and MLP, with one key and value head (7B) or groups of them (40B, 180B).

Source: `transformers/models/falcon/modeling_falcon.py` (5.23).
"""

from __future__ import annotations

from dataclasses import dataclass

from planner.architecture.config import Config
from planner.architecture.families.gpt_parts import even_head_dim, gpt_decoder, lm_head
from planner.architecture.modules import Architecture, Block, embedding, linear, norm
from planner.architecture.program import Forward
from planner.errors import InputError
from planner.tape import TOKENS, Tensor, layers, ops
from planner.tape.activations import activation
from planner.tape.attention import Heads, batched
from planner.tape.attention_variants import add_in_place, scale_in_place, scores, weighted
from planner.tape.sdpa import scaled_dot_product_attention


@dataclass(frozen=True, slots=True)
class FalconProgram:
    """Attention and MLP in parallel on one norm or on one each, or one after the other."""

    heads: Heads
    grouped: bool
    """`new_decoder_architecture`: keys and values are repeated to the full number of heads at once."""
    parallel: bool
    norms: int
    activation: str
    hidden_dropout: float
    attention_dropout: float

    @property
    def rotary_width(self) -> int:
        return self.heads.head_dim

    def embed(self, forward: Forward) -> Tensor:
        return layers.embedding(forward.tape, forward.parameter("transformer.word_embeddings.weight"), TOKENS)

    def block(self, forward: Forward, kind: str, x: Tensor) -> Tensor:
        residual = x
        if self.parallel and self.norms == 2:
            normed = forward.layer_norm("ln_attn", x)
            mlp_normed = forward.layer_norm("ln_mlp", x)
            attended = self.attention(forward, normed)
        else:
            normed = forward.layer_norm("input_layernorm", x)
            attended = self.attention(forward, normed)
            if self.parallel:
                mlp_normed = normed
            else:
                residual = ops.add(residual, ops.dropout(attended, self.attention_dropout))
                mlp_normed = forward.layer_norm("post_attention_layernorm", residual)
        fed = self.mlp(forward, mlp_normed)
        if self.parallel:
            fed = add_in_place(fed, attended)
        return ops.add(residual, ops.dropout(fed, self.hidden_dropout))

    def attention(self, forward: Forward, x: Tensor) -> Tensor:
        qkv = forward.linear("self_attention.query_key_value", x)
        q, k, v = self.split(qkv)
        q, k = forward.rotary(q), forward.rotary(k)
        if forward.eager:
            # neither scaled nor taken in float32, and without the dropout of its config
            k_all, v_all = self.every_head(k), self.every_head(v)
            raw = scale_in_place(scores(batched(q, q.cols), k_all, self.heads))
            del k_all
            masked = raw if forward.mask is None else ops.add(raw, forward.mask)
            weights = ops.to(ops.softmax(masked), x.dtype)
            del raw, masked
            forward.hold_in_block(weights)
            out = ops.contiguous(weighted(weights, v_all, self.heads))
            del v_all
        elif forward.sdpa:
            # without `enable_gqa`, and without the dropout of its config
            out = scaled_dot_product_attention(q, k, v, self.repeated, mask=forward.mask)
        else:
            out = forward.attention(q, k, v, self.repeated)
        return forward.linear("self_attention.dense", out)

    @property
    def shared(self) -> bool:
        """Whether attention gets fewer key and value heads than query heads: no SDPA kernel takes them."""
        return not self.grouped and self.heads.kv_heads < self.heads.heads

    @property
    def repeated(self) -> Heads:
        """The heads that attention gets."""
        heads = self.heads
        return heads._replace(kv_heads=heads.heads) if self.grouped else heads

    def every_head(self, x: Tensor) -> Tensor:
        """Keys or values of every head, as `torch.matmul` takes them."""
        return batched(x, self.heads.heads * self.heads.head_dim)

    def split(self, qkv: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`_split_heads`: indexing with a list, as it does for keys and values, copies."""
        heads = self.heads
        width = heads.heads * heads.head_dim
        kv_width = heads.kv_heads * heads.head_dim
        q = ops.narrow(qkv, width)
        if heads.kv_heads == heads.heads and not self.grouped:
            return q, ops.narrow(qkv, kv_width), ops.narrow(qkv, kv_width)
        k = ops.contiguous(ops.narrow(qkv, kv_width))
        v = ops.contiguous(ops.narrow(qkv, kv_width))
        if not self.grouped:
            return q, k, v
        groups = heads.heads // heads.kv_heads
        q_all = ops.contiguous(q)
        k_all = ops.expand_copy(k, groups)
        v_all = ops.expand_copy(v, groups)
        return q_all, k_all, v_all

    def mlp(self, forward: Forward, x: Tensor) -> Tensor:
        x = activation(self.activation, forward.linear("mlp.dense_h_to_4h", x))
        return forward.linear("mlp.dense_4h_to_h", x)

    def final(self, forward: Forward, x: Tensor) -> Tensor:
        return forward.layer_norm("transformer.ln_f", x)

    def logits(self, forward: Forward, x: Tensor) -> Tensor:
        return forward.linear("lm_head", x)


def build(config: Config) -> Architecture:
    """The architecture of a `FalconConfig`."""
    hidden = config.int("n_embed", "hidden_size", minimum=1)
    heads = config.int("num_attention_heads", "n_head", minimum=1)
    count = config.int("num_hidden_layers", "n_layer", minimum=1)
    vocab = config.int("vocab_size", minimum=1)
    inner = config.int("ffn_hidden_size", minimum=1, default=4 * hidden)
    biased = config.bool("bias", default=False)
    grouped = config.bool("new_decoder_architecture", default=False)
    multi_query = config.bool("multi_query", default=True)
    parallel = config.bool("parallel_attn", default=True)
    alibi = config.bool("alibi", default=False)
    norms = config.int("num_ln_in_parallel_attn", minimum=1, default=2 if grouped else 1)
    head_dim = even_head_dim(config, hidden, heads)
    kv_heads = heads
    if grouped:
        kv_heads = config.int("num_kv_heads", minimum=1, default=heads)
    elif multi_query:
        kv_heads = 1
    if heads % kv_heads:
        raise InputError(
            f"num_attention_heads {heads} in {config.origin} is not a multiple of num_kv_heads {kv_heads}; "
            "correct one of them",
            field="model",
        )
    if not parallel:
        names: tuple[str, ...] = ("post_attention_layernorm", "input_layernorm")
    elif norms == 2:
        names = ("ln_attn", "ln_mlp")
    else:
        names = ("input_layernorm",)
    block = Block(
        "decoder",
        (
            linear("self_attention.query_key_value", hidden, (heads + 2 * kv_heads) * head_dim, bias=biased),
            linear("self_attention.dense", hidden, hidden, bias=biased),
            linear("mlp.dense_h_to_4h", hidden, inner, bias=biased),
            linear("mlp.dense_4h_to_h", inner, hidden, bias=biased),
            *(norm(name, hidden, bias=True) for name in names),
        ),
        tuple(range(count)),
    )
    program = FalconProgram(
        Heads(heads, kv_heads, head_dim, head_dim),
        grouped=grouped,
        parallel=parallel,
        norms=norms,
        activation=config.str("activation", default="gelu"),
        hidden_dropout=config.float("hidden_dropout", minimum=0.0, maximum=1.0, default=0.0),
        attention_dropout=config.float("attention_dropout", minimum=0.0, maximum=1.0, default=0.0),
    )
    uncovered = alibi or biased or (grouped and not parallel)
    return gpt_decoder(
        config,
        hidden=hidden,
        blocks=(block,),
        block_prefix="transformer.h",
        embed=embedding("transformer.word_embeddings", vocab, hidden),
        rest=(norm("transformer.ln_f", hidden, bias=True),),
        head=lm_head(hidden, vocab),
        tied=True,
        positions=config.int("max_position_embeddings", minimum=1, default=2048),
        program=None if uncovered else program,
        no_program_reason="its ALiBi, biases or serial blocks are in no table" if uncovered else "",
        activation=program.activation,
        kv_width=hidden,
        mask="always",
        returns_weights=True,
    )
