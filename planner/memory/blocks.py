"""Profiles of single blocks: what one forward and one backward pass through each allocate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from planner.architecture.modules import Architecture, Block
from planner.architecture.program import Program
from planner.errors import Abstention
from planner.memory.shared import shared_tensors
from planner.memory.sums import Ledger, minus, plus
from planner.memory.wiring import Wiring, block_forward, new_tape
from planner.run import TrainingRun
from planner.tape import TOKENS, ZERO, Size, Tape, Tensor, ops
from planner.tape.size import total
from planner.tape.tape import SAVED
from planner.tape.work import NO_WORK, StepWork, Work
from planner.trainers import TRAINERS


@dataclass(frozen=True, slots=True)
class BlockProfile:
    """What one block adds to the ledgers, apart from its input and everything before it."""

    input: Size
    """Bytes of the block's input, which the block before has made."""
    output_dtype: str
    """Dtype of its output, the residual stream from here on."""
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
    on_context: Size = ZERO
    """The part of `kept` that stays even after the block's backward pass (`Tape.keep_on_context`)."""
    outputs: Size = ZERO
    """The part of `on_context` that the loop keeps beyond the step: the keys and values of the KV cache, and what the
    graph of its outputs has on contexts."""
    prefetching: tuple[Ledger, ...] = ()
    """Largest ledgers of the backward pass while the parameters of the block before it are gathered too."""
    holds_gradient: bool = False
    """Whether something holds the gradient of its input until the backward pass of the whole model ends."""
    keeps_input: bool = True
    """Whether `kept` has the input."""
    returned: Ledger = field(default_factory=dict[str, Size])
    """What it returns beside its output (`Architecture.returns_weights`), alive while the next block runs."""
    recomputed: bool = False
    """Whether it is checkpointed: `saved` is then there only while its backward pass runs."""
    windows: frozenset[int | None] = frozenset({None})
    """Windows of its attention layers: which of the model's masks a checkpoint of it holds."""
    work: StepWork = NO_WORK
    """What its passes compute."""


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
    """Run one block on a tape, forward and backward. A block that the model skips has an empty profile.

    dtype: of the residual stream that comes in. needs_gradient: whether the block's input requires grad. checkpointed:
    the first pass keeps the input alone, and the backward pass begins with a second one.
    """
    tape = new_tape(run)
    shared = shared_tensors(tape, run, architecture, program, dtype)
    forward = block_forward(tape, run, block.modules, wiring, shared)
    x = tape.input(TOKENS, architecture.hidden_size, dtype, requires_grad=needs_gradient)
    start = len(tape.events)

    tape.grad_enabled = not checkpointed
    tape.keeps_contexts = not (checkpointed and run.use_reentrant)
    tape.unpacks_once = checkpointed and not run.use_reentrant
    tape.meter.read()
    y = program.block(forward, block.kind, x)
    forward_work, recompute_work = tape.meter.read(), Work()
    if y is x:
        return BlockProfile(x.size, dtype, (), {}, {}, (), ZERO, ())
    if wiring.method.prefix_tokens(run) and not forward.prefixed and len(tape.events) > start:
        raise Abstention(
            f"what a learned prefix adds to the attention of '{architecture.model_type}' is in no table",
            way_out="choose another method",
        )
    first_pass = tape.peaks(start, len(tape.events))
    shape, root = ops.meta(y), y.node
    del y
    if forward.caches and not forward.cached:
        raise Abstention(
            f"what the KV cache of '{architecture.model_type}' holds is in no table",
            way_out="plan it with gradient checkpointing, which has none",
        )
    before = tape.alive(start, len(tape.events))
    forward.frame.clear()
    returned = minus(before, tape.alive(start, len(tape.events))) if architecture.returns_weights else {}
    outputs = total(tensor.size for tensor in forward.outputs)
    on_context = total(tape.sizes[storage.index] for storage in tape.contexts).plus(outputs)
    if TRAINERS[run.trainer].keeps_outputs:
        # they have the graph, and the graph its contexts
        outputs = on_context
    # the input of a block without a first norm is on the context of what it goes into
    own = ZERO if x.storage in tape.contexts else x.size
    forward_only: Ledger = {}
    if checkpointed:
        forward_only = {name: size for name, size in tape.alive(start, len(tape.events)).items() if name != SAVED}
        kept: Ledger = {SAVED: on_context if run.checkpoint_offload else own.plus(on_context)}
    else:
        held = tape.alive(start, len(tape.events))
        forward.held.clear()
        kept = tape.alive(start, len(tape.events))
        forward_only = minus(held, kept)
        if tape.is_saved(x):
            kept = plus(kept, {SAVED: x.size})
    tape.casts.clear()

    if checkpointed:
        again = partial(program.block, forward, block.kind, x)
        backward, recompute_work = _recomputed_backward(
            tape, run, again, shape, forward.frame, returns=architecture.returns_weights
        )
        backward = [plus(ledger, {SAVED: on_context.plus(own)}) for ledger in backward]
    else:
        begin = len(tape.events)
        tape.backward(root, 0, [tape.new(*shape, "gradient of the output")])
        backward = tape.peaks(start, len(tape.events), since=begin)
        if tape.is_saved(x):
            backward = [plus(ledger, {SAVED: x.size}) for ledger in backward]
    return BlockProfile(
        input=x.size,
        output_dtype=shape.dtype,
        forward=tuple(first_pass),
        kept=kept,
        forward_only=forward_only,
        backward=tuple(backward),
        gradients=total(gradient.size for gradient in tape.parameter_gradients.values()),
        saved=saved_table(tape),
        returned=returned,
        on_context=on_context,
        outputs=outputs,
        keeps_input=not run.checkpoint_offload if checkpointed else tape.is_saved(x),
        recomputed=checkpointed,
        windows=frozenset(forward.windows),
        work=StepWork(forward_work, recompute_work, tape.meter.read()),
    )


def _recomputed_backward(
    tape: Tape,
    run: TrainingRun,
    block: Callable[[], Tensor],
    shape: ops.Meta,
    frame: list[Tensor],
    *,
    returns: bool,
) -> tuple[list[dict[str, Size]], Work]:
    """The largest ledgers of a checkpointed block's backward pass, which begins with `block` run again, and its work.

    Source: `torch/utils/checkpoint.py`. The reentrant kind runs the block to its end and has the output and its
    gradient in its frame (`CheckpointFunction.backward`). The other kind begins when the first node needs
    what it saved, after others have made gradients, and stops once all of it is there again
    (`_StopRecomputationError`); the graph of its second run is thrown away.
    """
    start = len(tape.events)
    tape.grad_enabled = tape.keeps_contexts = True
    first_pass_contexts = len(tape.contexts)
    tape.last_save_place = 0
    y = block()
    work = tape.meter.read(None if run.use_reentrant else tape.last_save_place)
    root = y.node
    in_frame = [y] if run.use_reentrant else []
    returned = list(frame) if returns and run.use_reentrant else []
    del y
    frame.clear()
    tape.casts.clear()
    stop = len(tape.events)
    if not run.use_reentrant:
        del tape.contexts[first_pass_contexts:]
        stop = tape.last_save
    begin = len(tape.events)
    gradients = [tape.new(*shape, "gradient of the output")]
    arrived = len(tape.events)
    if run.use_reentrant:
        in_frame.append(gradients[0])
        # what nothing reads further on gets a gradient of zeros
        in_frame.extend(tape.new(*ops.meta(output), "gradient of zeros") for output in returned)
    tape.backward(root, 0, gradients)
    backward = tape.peaks(start, len(tape.events), since=begin)
    in_frame.clear()
    returned.clear()
    if not run.use_reentrant and tape.first_unpack is not None:
        arrived = tape.first_unpack
    waiting = tape.alive(begin, arrived)
    return backward + [plus(ledger, waiting) for ledger in tape.peaks(start, stop)], work


def saved_table(tape: Tape) -> tuple[tuple[str, Size, int, str], ...]:
    """What autograd saves: label, rows, columns, dtype, in the order of allocation."""
    return tuple((tape.labels[index], *tape.shapes[index]) for index in sorted(tape.saved) if index < len(tape.shapes))
