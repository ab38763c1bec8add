"""SparseMixer, the router of PhiMoE: two experts drawn with Gumbel noise, and a gradient of its own.

Source: `sparsemixer` and `PhimoeMultiplier` in `transformers/models/phimoe/modeling_phimoe.py` (5.23).
"""

from __future__ import annotations

from planner.tape import moe, ops
from planner.tape.tape import Gradient
from planner.tape.tensor import Tensor


def sparsemixer(scores: Tensor) -> tuple[Tensor, Tensor]:
    """T x experts scores -> T x 2 multipliers and int64 indices, in training."""
    first, first_index = _choice(scores, scores)
    # a scatter saves its index, as masked_fill does its mask
    others = moe.masked_fill(scores, first_index)
    second, second_index = _choice(scores, others)
    multiplier = ops.cat([first, second])
    index = scores.tape.new(scores.rows, 2, "int64", "selected experts")
    del first_index, second_index
    return multiplier, index


def _choice(scores: Tensor, candidates: Tensor) -> tuple[Tensor, Tensor]:
    """One expert: masked softmax, Gumbel sampling, and the multiplier with Heun's third-order gradient."""
    tape = scores.tape
    threshold = _threshold_mask(scores, candidates)
    gates = moe.masked_fill(candidates, threshold)
    selected = _gumbel(gates)
    gates = ops.softmax(gates)
    chosen = moe.gather(gates, selected, 1)
    mask = tape.new(scores.rows, 1, gates.dtype, "mask for one")
    out = tape.new(scores.rows, 1, gates.dtype, "multiplier")
    del mask
    if tape.records(scores):
        shape = ops.meta(scores)

        def backward(
            grad: Tensor, saved: tuple[Tensor, Tensor, Tensor] = (chosen.detach(), selected, gates.detach())
        ) -> tuple[Gradient, Gradient]:
            scaled = tape.new(shape.rows, 1, grad.dtype, "scaled gradient")
            negated = tape.new(shape.rows, 1, grad.dtype, "negated gradient")
            result = tape.new(*shape, "gradient of the scores")
            del scaled, negated
            return result, None

        # the graph behind the chosen gate stays until the backward pass, though no gradient flows into it
        tape.record([out], [scores, chosen], backward, [chosen, selected, gates])
    return out, selected


def _threshold_mask(scores: Tensor, candidates: Tensor) -> Tensor:
    """(max - scores) / max(|scores|, max) > 2 * jitter, without a graph: a boolean mask."""
    tape = scores.tape
    factor = tape.new(scores.rows, scores.cols, candidates.dtype, "factor")
    difference = tape.new(scores.rows, scores.cols, candidates.dtype, "difference")
    ratio = tape.new(scores.rows, scores.cols, candidates.dtype, "ratio")
    del difference
    mask = tape.new(scores.rows, scores.cols, "int8", "sparsity mask")
    del factor, ratio
    return mask


def _gumbel(gates: Tensor) -> Tensor:
    """(gates - log of exponential noise).max(-1)[1]: int64, with no graph left behind."""
    tape = gates.tape
    noise = tape.new(gates.rows, gates.cols, gates.dtype, "exponential noise")
    log = tape.new(gates.rows, gates.cols, gates.dtype, "log of the noise")
    del noise
    perturbed = tape.new(gates.rows, gates.cols, gates.dtype, "perturbed scores")
    del log
    index = tape.new(gates.rows, 1, "int64", "selected expert")
    del perturbed
    return index
