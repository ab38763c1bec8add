"""Profiles of single blocks: what one forward and one backward pass through each allocate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial

from planner.architecture.modules import Architecture, Block, Module
from planner.architecture.program import Program
from planner.errors import Abstention
from planner.memory.forward import BlockForward, Shared, shared_tensors
from planner.memory.kernels import head_loss
from planner.methods import Method
from planner.quantization import Scheme
from planner.run import TrainingRun
from planner.tape import TOKENS, ZERO, Size, Tape, Tensor, ops
from planner.tape.size import total
from planner.tape.tape import GRADIENT, SAVED, TEMPORARY, Node

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
    on_context: Size = ZERO
    """The part of `kept` that stays even after the block's backward pass (`Tape.keep_on_context`)."""
    keeps_input: bool = True
    """Whether `kept` has the input."""
    recomputed: bool = False
    """Whether it is checkpointed: `saved` is then there only while its backward pass runs."""
    windows: frozenset[int | None] = frozenset({None})
    """Windows of its attention layers: which of the model's masks a checkpoint of it holds."""


@dataclass(frozen=True, slots=True)
class Wiring:
    """How a run sees the modules of one block."""

    method: Method
    scheme: Scheme | None
    targets: frozenset[str]
    copies: frozenset[str]
    quantized: frozenset[str]
    parameters: Mapping[str, int]
    model_type: str


def new_tape(run: TrainingRun, *, training: bool = True) -> Tape:
    """A tape under the run's autocast."""
    autocast = {"no": None, "bf16": "bfloat16", "fp16": "float16"}[run.mixed_precision]
    return Tape(autocast=autocast, accumulating=run.gradient_accumulation_steps > 1, training=training)


def block_forward(
    tape: Tape, run: TrainingRun, modules: Iterable[Module], wiring: Wiring, shared: Shared
) -> BlockForward:
    """The forward pass over `modules` as the run wires them."""
    return BlockForward(
        tape,
        run,
        modules={module.name: module for module in modules},
        method=wiring.method,
        scheme=wiring.scheme,
        targets=wiring.targets,
        copies=wiring.copies,
        quantized=wiring.quantized,
        shared=shared,
        parameters=wiring.parameters,
        model_type=wiring.model_type,
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
    """Run one block on a tape, forward and backward. A block that the model skips has an empty profile.

    dtype: of the residual stream. needs_gradient: whether the block's input requires grad. checkpointed:
    the first pass keeps the input alone, and the backward pass begins with a second one.
    """
    tape = new_tape(run)
    shared = shared_tensors(
        tape,
        run,
        program.rotary_width,
        dtype,
        architecture.attention_windows,
        architecture.rotary_dtype,
        architecture.mask,
    )
    forward = block_forward(tape, run, block.modules, wiring, shared)
    x = tape.input(TOKENS, architecture.hidden_size, dtype, requires_grad=needs_gradient)
    start = len(tape.events)

    tape.grad_enabled = not checkpointed
    tape.keeps_contexts = not (checkpointed and run.use_reentrant)
    tape.unpacks_once = checkpointed and not run.use_reentrant
    y = program.block(forward, block.kind, x)
    if y is x:
        return BlockProfile(x.size, (), {}, {}, (), ZERO, ())
    if wiring.method.prefix_tokens(run) and not forward.prefixed and len(tape.events) > start:
        raise Abstention(
            f"what a learned prefix adds to the attention of '{architecture.model_type}' is in no table",
            way_out="choose another method",
        )
    first_pass = tape.peaks(start, len(tape.events))
    shape, node = ops.meta(y), y.node
    del y
    on_context = total(tape.sizes[storage.index] for storage in tape.contexts)
    forward_only: Ledger = {}
    if checkpointed:
        forward_only = {name: size for name, size in tape.alive(start, len(tape.events)).items() if name != SAVED}
        kept: Ledger = {SAVED: on_context if run.checkpoint_offload else x.size.plus(on_context)}
    else:
        held = tape.alive(start, len(tape.events))
        forward.held.clear()
        kept = tape.alive(start, len(tape.events))
        forward_only = minus(held, kept)
        if tape.is_saved(x):
            kept = plus(kept, {SAVED: x.size})
    tape.casts.clear()

    stop = 0
    recomputed = None
    if checkpointed:
        start = len(tape.events)
        tape.grad_enabled = tape.keeps_contexts = True
        first_pass_contexts = len(tape.contexts)
        y = program.block(forward, block.kind, x)
        node = y.node
        # `CheckpointFunction.backward` has the output and its gradient in its frame to the end
        recomputed = y if run.use_reentrant else None
        del y
        tape.casts.clear()
        if not run.use_reentrant:
            # the recomputation's own graph is thrown away: the first pass's is the one that runs
            del tape.contexts[first_pass_contexts:]
        # the non-reentrant kind stops once all that was saved is there again (`_StopRecomputationError`)
        stop = len(tape.events) if run.use_reentrant else tape.last_save
    table = saved_table(tape)
    begin = len(tape.events)
    gradients = [tape.new(*shape, "gradient of the output")]
    arrived = len(tape.events)
    framed = (recomputed, gradients[0]) if recomputed is not None else None
    tape.backward(node, 0, gradients)
    backward = tape.peaks(start, len(tape.events), since=begin)
    del recomputed, framed
    if checkpointed:
        # it also begins late: when the first node needs what it saved, after others have made gradients
        if not run.use_reentrant and tape.first_unpack is not None:
            arrived = tape.first_unpack
        waiting = tape.alive(begin, arrived)
        backward += [plus(ledger, waiting) for ledger in tape.peaks(start, stop)]
        backward = [plus(ledger, {SAVED: on_context}) for ledger in backward]
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
        on_context=on_context,
        keeps_input=not run.checkpoint_offload if checkpointed else tape.is_saved(x),
        recomputed=checkpointed,
        windows=frozenset(forward.windows),
    )


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
    backward: tuple[Ledger, ...]
    """Largest ledgers of the embedding's own backward pass, the last of all; none if nothing is trained."""
    by_window: tuple[tuple[int | None, Size], ...] = ()
    """With checkpointing and several kinds of attention: the part of `shared` that only layers of one window
    hold, which is free once the backward pass is through with them."""


def profile_start(architecture: Architecture, program: Program, run: TrainingRun, wiring: Wiring) -> StartProfile:
    """Run the embedding on a tape.

    With checkpointing its output is made to require grad (`enable_input_require_grads`), or nothing would
    flow into the first checkpointed block.
    """
    tape = new_tape(run)
    nothing = Shared(None, None, None, grouped_attention=True)
    forward = block_forward(tape, run, architecture.outer, wiring, nothing)
    tape.embeddings_require_grad = run.gradient_checkpointing
    embeds = partial(program.embed, forward)
    x = wiring.method.embed(forward, architecture, embeds, wrapped=architecture.embed in wiring.targets)
    end = len(tape.events)
    first_pass = tape.peaks(0, end)
    root, output, gradient = _root_of(x if forward.prefix is None else forward.prefix)
    # the last layer's attention lets go of the prefix, before that layer is at its largest
    forward.prefix = None
    held = tape.alive(0, len(tape.events))
    forward.held.clear()
    tape.casts.clear()
    around = plus(tape.alive(0, len(tape.events)), {_component(x): x.size.times(-1)})
    forward_only = minus(plus(held, {_component(x): x.size.times(-1)}), around)
    shared = shared_tensors(
        new_tape(run),
        run,
        program.rotary_width,
        x.dtype,
        architecture.attention_windows,
        architecture.rotary_dtype,
        architecture.mask,
    )
    tables = total(tensor.size for tensor in (shared.cos, shared.sin) if tensor is not None)
    masks = [mask.size for mask in (shared.mask, shared.local_mask) if mask is not None]
    mask: Ledger = {SAVED: total(masks)} if masks else {}
    kept = plus(around, {SAVED: tables.times(architecture.rotary_sets)})
    needs, dtype = x.requires_grad or run.gradient_checkpointing, x.dtype
    del x
    begin = len(tape.events)
    if gradient is not None:
        tape.backward(root, output, [tape.new(*gradient, "gradient of the output")])
    backward = tape.peaks(begin, len(tape.events)) if gradient is not None else []
    if run.gradient_checkpointing or architecture.mask == "boolean":
        kept, mask = plus(kept, mask), {}
    by_window = _by_window(architecture, shared) if run.gradient_checkpointing else ()
    return StartProfile(dtype, needs, kept, mask, tuple(first_pass), forward_only, tuple(backward), by_window)


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

    forward: tuple[Ledger, ...]
    """Largest ledgers from the last block's output, which counts here, to the loss."""
    backward: tuple[Ledger, ...]
    """Largest ledgers from the loss to the gradient of the last block's output."""
    gradients: Size
    """Bytes of the gradients of the final norm and the head, afterwards."""
    tape: Tape
    """The tape of it, for explanations: its buffers have names."""


def profile_head(
    architecture: Architecture, program: Program, run: TrainingRun, wiring: Wiring, *, dtype: str
) -> HeadProfile:
    """Run the final norm, the head and the loss on a tape, forward and backward."""
    tape = new_tape(run)
    shared = Shared(None, None, None, grouped_attention=True)
    forward = block_forward(tape, run, architecture.outer, wiring, shared)
    start = len(tape.events)
    # the last block's output lives on only if the final norm saves it: no variable here may hold it
    normed = program.final(forward, tape.input(TOKENS, architecture.hidden_size, dtype, requires_grad=True))
    loss = head_loss(architecture, program, forward, normed)
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
        tape,
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


def _component(x: Tensor) -> str:
    return TEMPORARY if x.storage is None else x.tape.component(x.storage.index)


def minus(a: Ledger, b: Ledger) -> dict[str, Size]:
    """What is in ledger `a` and not in `b`."""
    rest = plus(a, {component: size.times(-1) for component, size in b.items()})
    return {component: size for component, size in rest.items() if any(size)}


def saved_table(tape: Tape) -> tuple[tuple[str, Size, int, str], ...]:
    """What autograd saves: label, rows, columns, dtype, in the order of allocation."""
    return tuple((tape.labels[index], *tape.shapes[index]) for index in sorted(tape.saved) if index < len(tape.shapes))
