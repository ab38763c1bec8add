"""Profiles of single blocks: what one forward and one backward pass through each allocate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from planner.architecture.modules import Architecture, Block, Module
from planner.architecture.program import Program
from planner.memory.forward import BlockForward, Shared, shared_tensors
from planner.methods import Method
from planner.quantization import Scheme
from planner.run import TrainingRun
from planner.tape import TOKENS, ZERO, Size, Tape, ops
from planner.tape.loss import cross_entropy
from planner.tape.size import total
from planner.tape.tape import GRADIENT, SAVED

Ledger = Mapping[str, Size]
"""Component -> bytes."""

LOSS = "logits_and_loss"


@dataclass(frozen=True, slots=True)
class BlockProfile:
    """What one block adds to the ledgers, apart from its input and everything before it."""

    input: Size
    """Bytes of the block's input, which the block before has made."""
    forward: tuple[Ledger, ...]
    """Largest ledgers during the forward pass, beyond the input."""
    kept: Ledger
    """What stays for the backward pass, the input included if something saves it."""
    forward_only: Ledger
    """What stays until the forward pass of the whole model ends (autocast's casts of weights)."""
    backward: tuple[Ledger, ...]
    """Largest ledgers from the arrival of the output's gradient to the end of the block's backward pass
    (and of its recomputation), everything the block kept included."""
    gradients: Size
    """Bytes of the gradients of its parameters, afterwards."""
    saved: tuple[tuple[str, Size, int, str], ...]
    """What autograd saves in one pass: label, rows, columns, dtype."""


@dataclass(frozen=True, slots=True)
class Wiring:
    """How a run sees the modules of one block."""

    method: Method
    scheme: Scheme | None
    targets: frozenset[str]
    copies: frozenset[str]
    quantized: frozenset[str]


def new_tape(run: TrainingRun) -> Tape:
    """A tape under the run's autocast."""
    autocast = {"no": None, "bf16": "bfloat16", "fp16": "float16"}[run.mixed_precision]
    return Tape(autocast=autocast, accumulating=run.gradient_accumulation_steps > 1)


def block_forward(
    tape: Tape, run: TrainingRun, modules: Mapping[str, Module], wiring: Wiring, shared: Shared
) -> BlockForward:
    """The forward pass over `modules` as the run wires them."""
    return BlockForward(
        tape,
        run,
        modules=modules,
        method=wiring.method,
        scheme=wiring.scheme,
        targets=wiring.targets,
        copies=wiring.copies,
        quantized=wiring.quantized,
        shared=shared,
    )


def profile_block(
    architecture: Architecture,
    program: Program,
    run: TrainingRun,
    block: Block,
    wiring: Wiring,
    *,
    dtype: str,
    needs_gradient: bool,
    checkpointed: bool,
) -> BlockProfile:
    """Run one block on a tape, forward and backward.

    dtype: of the residual stream. needs_gradient: whether the block's input requires grad. checkpointed:
    the first pass keeps the input alone, and the backward pass begins with a second one.
    """
    tape = new_tape(run)
    shared = shared_tensors(tape, run, program.rotary_width, dtype)
    modules = {module.name: module for module in block.modules}
    forward = block_forward(tape, run, modules, wiring, shared)
    x = tape.input(TOKENS, architecture.hidden_size, dtype, requires_grad=needs_gradient)
    start = len(tape.events)

    tape.grad_enabled = not checkpointed
    y = program.block(forward, block.kind, x)
    first_pass = tape.peaks(start, len(tape.events))
    shape, node = ops.meta(y), y.node
    del y
    forward_only: Ledger = {}
    if checkpointed:
        forward_only = tape.alive(start, len(tape.events))
        kept: Ledger = {} if run.checkpoint_offload else {SAVED: x.size}
    else:
        kept = tape.alive(start, len(tape.events))
        if tape.is_saved(x):
            kept = plus(kept, {SAVED: x.size})
    tape.casts.clear()

    stop = 0
    if checkpointed:
        start = len(tape.events)
        tape.grad_enabled = True
        y = program.block(forward, block.kind, x)
        node = y.node
        del y
        tape.casts.clear()
        # the non-reentrant kind stops once all that was saved is there again (`_StopRecomputationError`)
        stop = len(tape.events) if run.use_reentrant else tape.last_save
    table = saved_table(tape)
    begin = len(tape.events)
    gradients = [tape.new(*shape, "gradient of the output")]
    arrived = len(tape.events)
    tape.backward(node, 0, gradients)
    backward = tape.peaks(start, len(tape.events), since=begin)
    if checkpointed:
        # it also begins late: when the first node needs what it saved, after others have made gradients
        if not run.use_reentrant and tape.first_unpack is not None:
            arrived = tape.first_unpack
        waiting = tape.alive(begin, arrived)
        backward += [plus(ledger, waiting) for ledger in tape.peaks(start, stop)]
    if checkpointed or tape.is_saved(x):
        backward = [plus(ledger, {SAVED: x.size}) for ledger in backward]
    return BlockProfile(
        input=x.size,
        forward=tuple(first_pass),
        kept=kept,
        forward_only=forward_only,
        backward=tuple(backward),
        gradients=total(gradient.size for gradient in tape.parameter_gradients.values()),
        saved=table,
    )


@dataclass(frozen=True, slots=True)
class StartProfile:
    """What comes before the first block."""

    dtype: str
    """Dtype of the residual stream."""
    requires_grad: bool
    """Whether the first block's input does."""
    shared: Ledger
    """Rotary tables, alive through the whole step; with checkpointing the attention mask too, which
    recomputation needs again."""
    mask: Ledger
    """The attention mask that is gone after the last block's forward pass."""


def profile_start(
    architecture: Architecture, program: Program, run: TrainingRun, wiring: Wiring
) -> StartProfile:
    """Run the embedding on a tape.

    With checkpointing its output is made to require grad (`enable_input_require_grads`), or nothing would
    flow into the first checkpointed block.
    """
    tape = new_tape(run)
    modules = {module.name: module for module in architecture.outer}
    forward = block_forward(tape, run, modules, wiring, Shared(None, None, None, grouped_attention=True))
    x = program.embed(forward)
    shared = shared_tensors(new_tape(run), run, program.rotary_width, x.dtype)
    tables = total(tensor.size for tensor in (shared.cos, shared.sin) if tensor is not None)
    mask: Ledger = {SAVED: shared.mask.size} if shared.mask is not None else {}
    kept: Ledger = {SAVED: tables}
    needs = x.requires_grad or run.gradient_checkpointing or wiring.method.virtual_tokens(run) > 0
    if run.gradient_checkpointing:
        return StartProfile(x.dtype, needs, plus(kept, mask), {})
    return StartProfile(x.dtype, needs, kept, mask)


@dataclass(frozen=True, slots=True)
class HeadProfile:
    """The final norm, the head, the loss and their backward pass; and the embedding's, which comes last."""

    forward: tuple[Ledger, ...]
    """Largest ledgers from the last block's output, which counts here, to the loss."""
    backward: tuple[Ledger, ...]
    """Largest ledgers from the loss to the gradient of the last block's output."""
    gradients: Size
    """Bytes of the gradients of the final norm and the head, afterwards."""


def profile_head(
    architecture: Architecture, program: Program, run: TrainingRun, wiring: Wiring, *, dtype: str
) -> HeadProfile:
    """Run the final norm, the head and the loss on a tape, forward and backward."""
    tape = new_tape(run)
    shared = shared_tensors(tape, run, program.rotary_width, dtype)
    modules = {module.name: module for module in architecture.outer}
    forward = block_forward(tape, run, modules, wiring, shared)
    start = len(tape.events)
    # the last block's output lives on only if the final norm saves it: no variable here may hold it
    normed = program.final(forward, tape.input(TOKENS, architecture.hidden_size, dtype, requires_grad=True))
    loss = cross_entropy(program.logits(forward, normed))
    node, shape = loss.node, ops.meta(loss)
    del loss, normed
    tape.casts.clear()
    begin = len(tape.events)
    tape.backward(node, 0, [tape.new(*shape, "gradient of the loss")])
    end = len(tape.events)
    return HeadProfile(
        _as_loss(tape.peaks(start, begin)),
        _as_loss(tape.peaks(start, end, since=begin)),
        total(gradient.size for gradient in tape.parameter_gradients.values()),
    )


def _as_loss(ledgers: list[dict[str, Size]]) -> tuple[Ledger, ...]:
    return tuple(
        {
            LOSS: total(size for name, size in ledger.items() if name != GRADIENT),
            GRADIENT: ledger.get(GRADIENT, ZERO),
        }
        for ledger in ledgers
    )


def plus(a: Ledger, b: Ledger) -> dict[str, Size]:
    """The sum of two ledgers."""
    out = dict(a)
    for component, size in b.items():
        out[component] = out[component].plus(size) if component in out else size
    return out


def saved_table(tape: Tape) -> tuple[tuple[str, Size, int, str], ...]:
    """What autograd saves: label, rows, columns, dtype, in the order of allocation."""
    return tuple(
        (tape.labels[index], *tape.shapes[index]) for index in sorted(tape.saved) if index < len(tape.shapes)
    )
