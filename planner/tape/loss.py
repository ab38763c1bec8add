"""The causal language-modelling loss on materialised logits.

Source: `transformers/loss/loss_utils.py` (`ForCausalLMLoss`, 5.23): logits are copied to float32, labels are
shifted (not the logits), and `F.cross_entropy` is a log-softmax, whose result is saved, and an
`nll_loss`, whose gradient is a full matrix.
"""

from __future__ import annotations

from planner.tape import ops
from planner.tape.size import ONE
from planner.tape.tape import Gradient
from planner.tape.tensor import Tensor


def cross_entropy(logits: Tensor) -> Tensor:
    """The scalar loss of T x vocabulary logits. The caller's frame holds the logits while it runs."""
    tape = logits.tape
    with tape.module("loss"):
        return _nll(_log_softmax(ops.to(logits, "float32")))


def _log_softmax(x: Tensor) -> Tensor:
    return ops.saves_output(x, "log_softmax")


def _nll(x: Tensor) -> Tensor:
    tape = x.tape
    out = tape.new(ONE, 1, "float32", "loss")
    if tape.records(x):
        shape = ops.meta(x)

        def backward(grad: Tensor, saved: Tensor = x) -> tuple[Gradient]:
            return (tape.new(*shape, "gradient of nll_loss"),)

        tape.record([out], [x], backward, [x])
    return out
