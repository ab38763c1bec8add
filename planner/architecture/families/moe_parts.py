"""What mixture-of-experts families share: stacks of experts, the blocks they sit in, and how they run.

transformers 5 runs experts with `grouped_mm` unless told otherwise, on CUDA and on the CPU
(`PreTrainedModel.get_correct_experts_implementation`). That makes the memory independent of how the
router splits the tokens: every token takes part `num_experts_per_tok` times, and nothing is padded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from planner.architecture.config import Config
from planner.architecture.families.mistral import MistralProgram
from planner.architecture.modules import Block, Module
from planner.architecture.program import Forward
from planner.errors import InputError
from planner.tape import ONE, Tensor, activations, layers, moe, ops

SPARSE, DENSE = "moe", "dense"
"""Second half of a block's kind: experts, or one MLP. The first is `full` or `sliding` attention."""


@dataclass(frozen=True, slots=True)
class Experts:
    """One layer's experts: how many there are, how many a token takes, and their width."""

    count: int
    per_token: int
    hidden: int
    inner: int
    activation: str = "silu"


def experts_of(
    config: Config, keys: Sequence[str], *, hidden: int, inner: int, count: int, per_token: int | None
) -> Experts:
    """The experts of a config.

    keys: names of their number. count, per_token: what the family takes it and `num_experts_per_tok` to be
    when the config does not say (per_token None: it must say).
    """
    count = config.int(*keys, minimum=1, default=count)
    if per_token is None:
        per_token = config.int("num_experts_per_tok", minimum=1)
    else:
        per_token = config.int("num_experts_per_tok", minimum=1, default=per_token)
    if per_token > count:
        raise InputError(
            f"num_experts_per_tok {per_token} in {config.origin} is more than its {count} experts; lower it",
            field="model",
        )
    return Experts(count, per_token, hidden, inner, config.str("hidden_act", default="silu"))


def expert_stack(name: str, experts: Experts) -> Module:
    """`experts.gate_up_proj` and `experts.down_proj`: every expert's matrices in one parameter each."""
    return Module(
        name,
        "experts",
        (
            ("gate_up_proj", (experts.count, 2 * experts.inner, experts.hidden)),
            ("down_proj", (experts.count, experts.hidden, experts.inner)),
        ),
    )


def router(name: str, experts: Experts, *, bias: bool = False) -> Module:
    """A gate that holds its matrix as a plain parameter: no `nn.Linear`, so never quantized."""
    weight = ("weight", (experts.count, experts.hidden))
    return Module(name, "router", (weight, ("bias", (experts.count,))) if bias else (weight,))


def sparse_layers(config: Config, count: int) -> tuple[bool, ...]:
    """Which of `count` layers of a Qwen MoE have experts (`decoder_sparse_step`, `mlp_only_layers`)."""
    step = config.int("decoder_sparse_step", minimum=1, default=1)
    dense = config.list("mlp_only_layers", of=int, default=None) or ()
    return tuple(layer not in dense and (layer + 1) % step == 0 for layer in range(count))


def moe_blocks(
    attention: Sequence[str], sparse: Sequence[bool], *, moe: Sequence[Module], dense: Sequence[Module]
) -> tuple[Block, ...]:
    """One block for each pair of an attention kind and experts or MLP that occurs, in the order of layers."""
    kinds = [_kind(own, SPARSE if has else DENSE) for own, has in zip(attention, sparse, strict=True)]
    return tuple(
        Block(
            kind,
            tuple(moe if kind.endswith(SPARSE) else dense),
            tuple(layer for layer, own in enumerate(kinds) if own == kind),
        )
        for kind in dict.fromkeys(kinds)
    )


def _kind(attention: str, feed_forward: str) -> str:
    return f"{attention} {feed_forward}"


def uncovered(config: Config, *, jitter: str = "router_jitter_noise") -> str:
    """Why no program covers a config; empty where one does.

    jitter: the key of the noise by which the family multiplies the experts' input in training.
    """
    if config.bool("output_router_logits", default=False):
        return "output_router_logits adds a load-balancing loss, which is not covered"
    if config.float(jitter, default=0.0):
        return f"{jitter} is not covered"
    return ""


@dataclass(frozen=True, slots=True)
class MoeProgram(MistralProgram):
    """Mistral's block with experts in the place of the MLP of blocks of the kind `moe`."""

    experts: Experts
    normalized: bool = True
    """`norm_topk_prob`: whether the routing weights of a token are divided by their sum."""
    cast_weights: bool = True
    """Whether they return to the dtype of the router's logits; float32 ones make the experts' results float32."""

    def block(self, forward: Forward, kind: str, x: Tensor) -> Tensor:
        attention, _, feed_forward = kind.partition(" ")
        x = ops.add(x, self.attention(forward, attention, forward.rms_norm("input_layernorm", x)))
        return ops.add(x, self.feed(forward, feed_forward, forward.rms_norm("post_attention_layernorm", x)))

    def feed(self, forward: Forward, kind: str, x: Tensor) -> Tensor:
        return self.sparse(forward, x) if kind == SPARSE else self.mlp(forward, x)

    def sparse(self, forward: Forward, x: Tensor) -> Tensor:
        """`SparseMoeBlock`; its frame holds the logits while the experts run."""
        _, weights, indices = self.route(forward, x)
        return grouped_experts(forward, "mlp.experts", x, indices, weights, self.experts)

    def route(self, forward: Forward, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`TopKRouter`: logits; weights and indices, from a float32 softmax over all experts and its top-k."""
        # PEFT merges an adapter of a plain parameter into it for as long as the module runs: so long it is held
        weight = forward.parameter("mlp.gate.weight")
        logits = layers.linear(x, weight, op="router logits")
        probabilities = ops.softmax(logits, "float32")
        weights, indices = moe.top_k(probabilities, self.experts.per_token)
        if self.normalized:
            weights = moe.divide(weights, moe.row_sum(weights), in_place=True)
        if self.cast_weights:
            weights = ops.to(weights, logits.dtype)
        return logits, weights, indices


def grouped_experts(
    forward: Forward,
    name: str,
    x: Tensor,
    indices: Tensor,
    weights: Tensor,
    experts: Experts,
    *,
    gate: Callable[[Tensor], Tensor] | None = None,
    biased: bool = False,
) -> Tensor:
    """`grouped_mm_experts_forward` (`transformers/integrations/moe.py`): T x hidden in and out.

    gate: what happens between the two products, by default `activation(gate) * up`. The local variables of
    the original live until it returns, and so they do here.
    """
    tape = forward.tape
    with tape.module(name):
        rows = x.rows.times(experts.per_token)
        expert_ids = tape.new(rows, 1, "int64", "sorted expert ids")
        permutation = tape.new(rows, 1, "int64", "permutation")
        selected = moe.index_rows(x, tape.new(rows, 1, "int64", "token indices"), rows)
        sample_weights = moe.index_rows(weights.view(rows, 1), permutation, rows)
        counts = [
            tape.new(rows, 1, "int32", "expert ids"),
            tape.new(ONE.times(experts.count), 1, "int32", "tokens per expert"),
            tape.new(ONE.times(experts.count), 1, "int32", "offsets"),
        ]
        biases = _expert_bias(forward, f"{name}.gate_up_proj_bias", expert_ids) if biased else None
        gate_up = forward.parameter(f"{name}.gate_up_proj")
        out = moe.grouped_mm(selected, gate_up, 2 * experts.inner)
        if biases is not None:
            out = moe.add_in_place(out, biases)
        out = gate(out) if gate else _gated(out, experts.activation)
        biases = _expert_bias(forward, f"{name}.down_proj_bias", expert_ids) if biased else None
        down = forward.parameter(f"{name}.down_proj")
        out = moe.grouped_mm(out, down, experts.hidden)
        if biases is not None:
            out = moe.add_in_place(out, biases)
        weighted = ops.mul(out, sample_weights)
        inverse = tape.new(rows, 1, "int64", "inverse permutation")
        positions = tape.new(rows, 1, "int64", "positions")
        del positions
        weighted = moe.index_rows(weighted, inverse, rows)
        final = moe.sum_choices(weighted, x.rows)
        result = ops.to(final, x.dtype)
        del counts
        return result


def _gated(gate_up: Tensor, activation: str) -> Tensor:
    """`_default_apply_gate`: activation(gate) * up of the two halves."""
    gate, up = ops.split(gate_up, [gate_up.cols // 2, gate_up.cols // 2])
    return ops.mul(activations.activation(activation, gate), up)


def _expert_bias(forward: Forward, name: str, expert_ids: Tensor) -> Tensor:
    """`bias[expert_ids]`: one row per token and chosen expert."""
    return moe.index_rows(forward.parameter(name), expert_ids, expert_ids.rows)
