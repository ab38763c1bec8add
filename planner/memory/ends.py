"""What lies around the blocks: the embedding before the first one, the head and the loss after the last."""

from __future__ import annotations

from dataclasses import dataclass

from planner.architecture.modules import Architecture
from planner.architecture.program import Program
from planner.memory.shared import Shared, shared_tensors
from planner.memory.sums import LOSS, Ledger, minus, plus
from planner.memory.wiring import Wiring, block_forward, new_tape
from planner.run import TrainingRun
from planner.tape import TOKENS, ZERO, Size, Tape, Tensor, ops
from planner.tape.size import total
from planner.tape.tape import GRADIENT, SAVED, TEMPORARY, Node
from planner.tape.work import NO_WORK, StepWork, Work
from planner.versions import ADDITIVE_MASK, behaviours


@dataclass(frozen=True, slots=True)
class StartProfile:
    """What comes before the first block."""

    dtype: str
    """Dtype of the residual stream."""
    requires_grad: bool
    """Whether the first block's input does."""
    shared: Ledger
    """Rotary tables and what the graph of the embedding keeps (a dropout mask), alive through the whole step;
    with checkpointing the attention mask too, which recomputation needs again."""
    mask: Ledger
    """The attention mask, and what else the model's frame holds: gone after the last block's forward pass."""
    forward: tuple[Ledger, ...]
    """Largest ledgers up to the input of the first block."""
    forward_only: Ledger
    """What stays until the forward pass of the whole model ends."""
    in_frame: Ledger
    """The part of it that the frame of the decoder itself holds: gone before the head."""
    holds_first_input: bool
    """Whether that frame holds the first block's input too, as its `inputs_embeds`."""
    backward: tuple[Ledger, ...]
    """Largest ledgers of the embedding's own backward pass, the last of all; none if nothing is trained."""
    by_window: tuple[tuple[int | None, Size], ...] = ()
    """With checkpointing and several kinds of attention: the part of `shared` that only layers of one window
    hold, which is free once the backward pass is through with them."""
    work: StepWork = NO_WORK
    """What its passes compute."""


def profile_start(architecture: Architecture, program: Program, run: TrainingRun, wiring: Wiring) -> StartProfile:
    """Run the embedding on a tape.

    With checkpointing its output is made to require grad (`enable_input_require_grads`), or nothing would
    flow into the first checkpointed block.
    """
    tape = new_tape(run)
    nothing = Shared(None, None, None)
    forward = block_forward(tape, run, architecture.outer, wiring, nothing)
    tape.embeddings_require_grad = run.gradient_checkpointing
    held_by_decoder: list[Tensor] = []

    def embeds() -> Tensor:
        out = program.embed(forward)
        held_by_decoder.extend(forward.held)
        forward.held.clear()
        return out

    x = wiring.method.embed(forward, architecture, embeds, wrapped=architecture.embed in wiring.targets)
    end = len(tape.events)
    work = tape.meter.read()
    first_pass = tape.peaks(0, end)
    root, output, gradient = _root_of(x if forward.prefix is None else forward.prefix)
    # the last layer's attention lets go of the prefix, before that layer is at its largest
    forward.prefix = None
    held = tape.alive(0, len(tape.events))
    held_by_decoder.clear()
    in_frame = minus(held, tape.alive(0, len(tape.events)))
    forward.held.clear()
    tape.casts.clear()
    around = plus(tape.alive(0, len(tape.events)), {_component(x): x.size.times(-1)})
    forward_only = minus(plus(held, {_component(x): x.size.times(-1)}), around)
    shared = shared_tensors(new_tape(run), run, architecture, program, x.dtype)
    tables = total(tensor.size for tensor in (shared.cos, shared.sin) if tensor is not None)
    masks = [mask.size for mask in (shared.mask, shared.local_mask) if mask is not None]
    mask: Ledger = {SAVED: total(masks)} if masks else {}
    kept = plus(around, {SAVED: tables.times(architecture.rotary_sets)})
    needs, dtype = x.requires_grad or run.gradient_checkpointing, x.dtype
    del x
    begin = len(tape.events)
    if gradient is not None:
        tape.tied = tied_weights(architecture, run)
        tape.backward(root, output, [tape.new(*gradient, "gradient of the output")])
        if not forward.patches.fused_loss:
            _add_tied_gradient(tape)
    backward = tape.peaks(begin, len(tape.events)) if gradient is not None else []
    # an additive mask every layer's SDPA saves, and eager attention adds without saving it
    saved = run.attention == "sdpa" and ADDITIVE_MASK in behaviours(run.transformers_version, architecture.model_type)
    if run.gradient_checkpointing or architecture.mask == "boolean" or saved:
        kept, mask = plus(kept, mask), {}
    by_window = _by_window(architecture, shared) if run.gradient_checkpointing else ()
    return StartProfile(
        dtype=dtype,
        requires_grad=needs,
        shared=kept,
        mask=mask,
        forward=tuple(first_pass),
        forward_only=forward_only,
        in_frame=in_frame,
        holds_first_input=forward.holds_first_input,
        backward=tuple(backward),
        by_window=by_window,
        work=StepWork(work, Work(), tape.meter.read()),
    )


def tied_weights(architecture: Architecture, run: TrainingRun) -> frozenset[str]:
    """The two names of the weight that embedding and head share, where that weight is trained."""
    head = next((module for module in architecture.outer if module.name == architecture.head), None)
    if run.method != "full" or head is None or head.tied_to != architecture.embed:
        return frozenset()
    return frozenset({f"{architecture.head}.weight", f"{architecture.embed}.weight"})


def _add_tied_gradient(tape: Tape) -> None:
    """The sum of a tied weight's two gradients, in a buffer of its own.

    The head's, which has waited since (`InputBuffer::accumulate`), is a transposed product: a view, into which
    autograd adds nothing. That of liger's fused loss is whole, and added to.
    """
    for name in tape.tied & tape.parameter_gradients.keys():
        shape = ops.meta(tape.parameter_gradients[name])
        if tape.autocast and shape.dtype != tape.autocast:
            continue  # cast to the weight's dtype, it is no view any more
        summed = tape.new(*shape, "sum of a tied weight's gradients")
        del summed


def _by_window(architecture: Architecture, shared: Shared) -> tuple[tuple[int | None, Size], ...]:
    windows = architecture.attention_windows
    if len(windows) == 1:
        return ()
    pair = total(tensor.size for tensor in (shared.cos, shared.sin) if tensor is not None)
    tables = pair if architecture.rotary_sets > 1 else ZERO
    masks = [shared.mask if window is None else shared.local_mask for window in windows]
    return tuple(
        (window, tables if mask is None else tables.plus(mask.size))
        for window, mask in zip(windows, masks, strict=True)
    )


def _root_of(tensor: Tensor) -> tuple[Node | None, int, ops.Meta | None]:
    """Where a backward pass from `tensor` begins, if there is one, and the shape of its gradient.

    Not `tensor` itself: nothing may hold it while the pass runs.
    """
    return (None, 0, None) if tensor.node is None else (tensor.node, tensor.output, ops.meta(tensor))


@dataclass(frozen=True, slots=True)
class HeadProfile:
    """The final norm, the head, the loss and their backward pass; and the embedding's, which comes last."""

    norm: tuple[Ledger, ...]
    """Largest ledgers of the final norm, which is the decoder's; the last block's output counts here."""
    forward: tuple[Ledger, ...]
    """Largest ledgers from there to the loss."""
    backward: tuple[Ledger, ...]
    """Largest ledgers from the loss to the gradient of the last block's output."""
    gradients: Size
    """Bytes of the gradients of the final norm and the head, afterwards."""
    tape: Tape
    """The tape of it, for explanations: its buffers have names."""
    outputs: Size = ZERO
    """The logits, where the loop keeps them beyond the step."""
    work: StepWork = NO_WORK
    """What its passes compute."""


def profile_head(
    architecture: Architecture, program: Program, run: TrainingRun, wiring: Wiring, *, dtype: str
) -> HeadProfile:
    """Run the final norm, the head and the loss on a tape, forward and backward."""
    tape = new_tape(run)
    shared = Shared(None, None, None)
    forward = block_forward(tape, run, architecture.outer, wiring, shared)
    start = len(tape.events)
    # the last block's output lives on only if the final norm saves it: no variable here may hold it
    normed = program.final(forward, tape.input(TOKENS, architecture.hidden_size, dtype, requires_grad=True))
    normed_at = len(tape.events)
    loss = forward.patches.loss(architecture, program, forward, normed)
    node, shape = loss.node, ops.meta(loss)
    del loss, normed
    tape.casts.clear()
    begin = len(tape.events)
    work = tape.meter.read()
    tape.tied = tied_weights(architecture, run)
    tape.backward(node, 0, [tape.new(*shape, "gradient of the loss")])
    end = len(tape.events)
    return HeadProfile(
        _as_loss(tape.peaks(start, normed_at)),
        _as_loss(tape.peaks(start, begin, since=normed_at)),
        _as_loss(tape.peaks(start, end, since=begin)),
        total(gradient.size for gradient in tape.parameter_gradients.values()),
        tape,
        total(tensor.size for tensor in forward.outputs),
        StepWork(work, Work(), tape.meter.read()),
    )


def _as_loss(ledgers: list[dict[str, Size]]) -> tuple[Ledger, ...]:
    return tuple(
        {
            LOSS: total(size for name, size in ledger.items() if name != GRADIENT),
            GRADIENT: ledger.get(GRADIENT, ZERO),
        }
        for ledger in ledgers
    )


def _component(x: Tensor) -> str:
    return TEMPORARY if x.storage is None else x.tape.component(x.storage.index)
