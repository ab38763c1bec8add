"""The tape: lifetimes by reference counts, what is saved, and the order of the backward pass."""

from __future__ import annotations

import gc

from planner.tape import ONE, TOKENS, Tape, layers, ops


def test_a_buffer_dies_with_the_last_tensor_that_names_it() -> None:
    tape = Tape()
    x = tape.new(TOKENS, 8, "bfloat16", "x")
    view = x.view(TOKENS.times(2), 4)
    del x
    assert tape.events == [1]
    del view
    assert tape.events == [1, -1]


def test_relu_saves_its_result_and_silu_its_input() -> None:
    tape = Tape()
    x = tape.input(TOKENS, 8, "float32", requires_grad=True)
    y = ops.saves_output(x, "relu")
    assert tape.is_saved(y)
    assert not tape.is_saved(x)
    ops.saves_input(y, "silu")
    ops.saves_input(x, "silu")
    assert tape.is_saved(x)


def test_a_frozen_linear_layer_saves_nothing_and_a_trained_one_its_input() -> None:
    tape = Tape()
    x = tape.input(TOKENS, 8, "float32", requires_grad=True)
    layers.linear(x, tape.parameter("w", 4, 8, "float32", requires_grad=False))
    assert not tape.is_saved(x)
    layers.linear(x, tape.parameter("w", 4, 8, "float32", requires_grad=True))
    assert tape.is_saved(x)


def test_nothing_is_saved_without_gradients() -> None:
    tape = Tape(training=False)
    x = tape.input(TOKENS, 8, "float32", requires_grad=True)
    ops.saves_input(x, "silu")
    assert not tape.saved


def test_the_backward_pass_of_two_linear_layers_by_hand() -> None:
    """y = (x W1) W2 with 4-byte elements, 10 tokens: x is 10 x 8, W1 16 x 8, W2 8 x 16.

    Alive at most: W1's output (640 B, saved for W2's gradient), the gradient of y (320 B), the gradients of
    W1's output (640 B) and of W2 (512 B).
    """
    tape = Tape()
    x = tape.input(TOKENS, 8, "float32", requires_grad=False)
    start = len(tape.events)
    first = tape.parameter("first", 16, 8, "float32", requires_grad=True)
    second = tape.parameter("second", 8, 16, "float32", requires_grad=True)
    y = layers.linear(layers.linear(x, first), second)
    node = y.node
    shape = ops.meta(y)
    del y
    begin = len(tape.events)
    tape.backward(node, 0, [tape.new(*shape, "gradient")])
    ledgers = [
        {name: size.at(1, 10) for name, size in ledger.items() if size.at(1, 10)}
        for ledger in tape.peaks(start, len(tape.events), since=begin)
    ]
    assert max(ledgers, key=lambda ledger: sum(ledger.values())) == {
        "saved_activations": 640,
        "temporaries": 320 + 640,
        "gradients": 512,
    }
    assert {name: g.size for name, g in tape.parameter_gradients.items()} == {
        "first": ONE.times(512),
        "second": ONE.times(512),
    }


def test_a_tape_leaves_no_garbage_behind() -> None:
    """Nothing of a walked graph may wait for the cycle collector: lifetimes are reference counts."""
    gc.collect()
    tape = Tape()
    x = tape.input(TOKENS, 8, "float32", requires_grad=True)
    y = ops.mul(ops.saves_input(x, "silu"), x)
    node = y.node
    shape = ops.meta(y)
    del x, y
    tape.backward(node, 0, [tape.new(*shape, "gradient")])
    tape.input_gradients.clear()
    alive = sum(1 if event > 0 else -1 for event in tape.events)
    assert alive == 0
