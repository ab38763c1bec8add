"""An evaluation pass between steps: no gradients, nothing kept, and a batch size of its own."""

from __future__ import annotations

from dataclasses import dataclass

from planner.architecture.modules import Architecture
from planner.architecture.program import Program
from planner.memory.ends import profile_start
from planner.memory.shared import shared_tensors
from planner.memory.step import Candidate, largest, program_of
from planner.memory.sums import LOSS, WEIGHTS, Ledger, plus
from planner.memory.wiring import Variant, block_forward, new_tape, wire_blocks, wire_outer
from planner.methods.counting import wrapped
from planner.run import TrainingRun
from planner.strategies import strategy_of
from planner.tape import TOKENS, ZERO, Size
from planner.tape.size import total
from planner.tape.tape import TEMPORARY


def profile_evaluation(architecture: Architecture, run: TrainingRun) -> tuple[Candidate, ...]:
    """The largest ledgers of a forward pass and loss without gradients, as `Trainer.evaluate` runs it.

    Without `compute_metrics` the Trainer drops the logits of each batch once it has its loss.
    """
    program = program_of(architecture)
    strategy, stated = strategy_of(run), run
    # whether its batch is padded is a question of its own size
    run = strategy.computed(run).replace(micro_batch_size=run.eval_batch_size)
    found = wrapped(architecture, run)
    outer = wire_outer(architecture, run, found)
    start = profile_start(architecture, program, run, outer)
    # the model's frame holds masks, tables and the first block's input (`inputs_embeds`) until the last block is done
    always = plus(plus(start.shared, start.mask), start.forward_only)
    root: Ledger = {WEIGHTS: Size(strategy.gathered(architecture, stated, None))}
    always = plus(always, root)
    variants = wire_blocks(architecture, run, found)
    variant_of = {layer: number for number, variant in enumerate(variants) for layer in variant.layers}
    passes: dict[tuple[int, str], _Pass] = {}
    around: dict[tuple[int, str], Size] = {}
    casts, returned, dtype = ZERO, ZERO, start.dtype
    for layer in sorted(variant_of):
        key = (variant_of[layer], dtype)
        if key not in passes:
            gathered = strategy.gathered(architecture, stated, variants[key[0]].block)
            passes[key] = _pass(architecture, program, run, variants[key[0]], dtype, gathered)
        # the last layer of a kind has most around it
        around[key] = casts.plus(returned)
        casts = casts.plus(passes[key].casts)
        returned, dtype = passes[key].returned, passes[key].output_dtype
    ledgers: list[Ledger] = [
        plus(plus(always, block.gathered), {TEMPORARY: around[key].plus(size)})
        for key, block in passes.items()
        for size in block.sizes
    ]
    tape = new_tape(run, training=False)
    shared = shared_tensors(tape, run, architecture, program, start.dtype)
    forward = block_forward(tape, run, architecture.outer, outer, shared)
    begin = len(tape.events)
    x = program.final(forward, tape.input(TOKENS, architecture.hidden_size, dtype, requires_grad=False))
    forward.patches.loss(architecture, program, forward, x)
    peaks = tape.peaks(begin, len(tape.events))
    ledgers += [plus(root, {TEMPORARY: casts, LOSS: total(ledger.values())}) for ledger in peaks]
    return largest(ledgers)


@dataclass(frozen=True, slots=True)
class _Pass:
    """One block's forward pass."""

    sizes: tuple[Size, ...]
    """Its largest totals, the input included."""
    casts: Size
    """Autocast's copies of trained weights, which it keeps under `no_grad` too (`cached_cast`), and what a cache holds
    of keys and values."""
    returned: Size
    """What stays while the next block runs."""
    output_dtype: str
    gathered: Ledger
    """Its parameters, where several GPUs have shares of them."""


def _pass(
    architecture: Architecture, program: Program, run: TrainingRun, variant: Variant, dtype: str, gathered: int
) -> _Pass:
    """dtype: of the residual stream that comes in. gathered: bytes of the block's parameters, where that is done."""
    tape = new_tape(run, training=False)
    shared = shared_tensors(tape, run, architecture, program, dtype)
    forward = block_forward(tape, run, variant.block.modules, variant.wiring, shared)
    begin = len(tape.events)
    x = tape.input(TOKENS, architecture.hidden_size, dtype, requires_grad=False)
    y = program.block(forward, variant.block.kind, x)
    return _Pass(
        tuple(total(ledger.values()).plus(x.size) for ledger in tape.peaks(begin, len(tape.events))),
        total(tensor.size for tensor in (*tape.casts.values(), *forward.outputs)),
        total(weights.size for weights in forward.frame) if architecture.returns_weights else ZERO,
        y.dtype,
        {WEIGHTS: Size(gathered)},
    )
