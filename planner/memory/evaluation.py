"""An evaluation pass between steps: no gradients, nothing kept, and a batch size of its own."""

from __future__ import annotations

from planner.architecture.modules import Architecture
from planner.memory.ends import profile_start
from planner.memory.shared import shared_tensors
from planner.memory.step import Candidate, largest, program_of
from planner.memory.sums import LOSS, Ledger, plus
from planner.memory.wiring import block_forward, new_tape, wire_blocks, wire_outer
from planner.methods.counting import wrapped
from planner.run import TrainingRun
from planner.tape import TOKENS, Size
from planner.tape.loss import cross_entropy
from planner.tape.size import total
from planner.tape.tape import TEMPORARY


def profile_evaluation(architecture: Architecture, run: TrainingRun) -> tuple[Candidate, ...]:
    """The largest ledgers of a forward pass and loss without gradients, as `Trainer.evaluate` runs it.

    Without `compute_metrics` the Trainer drops the logits of each batch once it has its loss.
    """
    program = program_of(architecture)
    # whether its batch is padded is a question of its own size
    run = run.replace(micro_batch_size=run.eval_batch_size)
    found = wrapped(architecture, run)
    outer = wire_outer(architecture, run, found)
    start = profile_start(architecture, program, run, outer)
    always = plus(start.shared, start.mask)
    ledgers: list[Ledger] = []
    for variant in wire_blocks(architecture, run, found):
        tape = new_tape(run, training=False)
        shared = shared_tensors(tape, run, architecture, program, start.dtype)
        forward = block_forward(tape, run, variant.block.modules, variant.wiring, shared)
        begin = len(tape.events)
        x = tape.input(TOKENS, architecture.hidden_size, start.dtype, requires_grad=False)
        y = program.block(forward, variant.block.kind, x)
        ledgers += [{TEMPORARY: _sum(ledger).plus(x.size)} for ledger in tape.peaks(begin, len(tape.events))]
        del x, y
    # the model's frame holds masks, tables and the first block's input (`inputs_embeds`) until the last block is done
    ledgers = [plus(always, ledger) for ledger in ledgers]
    tape = new_tape(run, training=False)
    shared = shared_tensors(tape, run, architecture, program, start.dtype)
    forward = block_forward(tape, run, architecture.outer, outer, shared)
    begin = len(tape.events)
    x = program.final(forward, tape.input(TOKENS, architecture.hidden_size, start.dtype, requires_grad=False))
    cross_entropy(program.logits(forward, x))
    ledgers += [{LOSS: _sum(ledger)} for ledger in tape.peaks(begin, len(tape.events))]
    return largest(ledgers)


def _sum(ledger: Ledger) -> Size:
    return total(ledger.values())
