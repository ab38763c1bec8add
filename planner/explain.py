"""`explain`: the formula of one component, with this run's numbers in it and its source."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from planner.architecture.modules import Architecture
from planner.catalogue import Gpu
from planner.errors import InputError
from planner.memory.estimate import Estimate, estimate
from planner.memory.ledger import COMPONENTS
from planner.memory.step import FIRST_BACKWARD, LAST_BACKWARD, MIDDLE_BACKWARD
from planner.names import did_you_mean
from planner.plan import resolved_run
from planner.run import TrainingRun
from planner.tape import Size
from planner.units import DTYPE_BYTES


@dataclass(frozen=True, slots=True)
class Line:
    """One term of a component."""

    label: str
    formula: str
    bytes: int | None
    """None for a line that only details the one before."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """How a component comes to its bytes at the peak."""

    component: str
    title: str
    lines: tuple[Line, ...]
    total_bytes: int
    source: str


@dataclass(frozen=True, slots=True)
class _Subject:
    run: TrainingRun
    architecture: Architecture
    estimate: Estimate

    @property
    def at_peak(self) -> dict[str, int]:
        return self.estimate.memory.peak.components

    def number(self, size: Size) -> int:
        """A size at this run's batch and sequence length."""
        sequence = self.run.sequence_length + self.estimate.profile.virtual_tokens
        return round(size.at(self.run.micro_batch_size, sequence))


def explain(run: TrainingRun, component: str, gpu: Gpu | None = None) -> Explanation:
    """The terms of `component` (a name of `COMPONENTS`) at the peak of a run.

    Raises `InputError` for another name, and whatever `plan` raises for the run.
    """
    name = component.strip().lower().replace("-", "_").replace(" ", "_")
    if name not in _EXPLAINERS:
        raise InputError(
            f"there is no component '{component}' to explain; choose one of {', '.join(COMPONENTS)}"
            f"{did_you_mean(name, COMPONENTS)}",
            field="explain",
        )
    _, architecture, run = resolved_run(run)
    subject = _Subject(run, architecture, estimate(architecture, run, gpu))
    title, lines, source = _EXPLAINERS[name](subject)
    return Explanation(name, title, tuple(lines), subject.at_peak[name], source)


_Explained = tuple[str, list[Line], str]


def _base_weights(subject: _Subject) -> _Explained:
    lines = [
        Line(group.label, f"{group.parameters:,} x {group.bytes / group.parameters:.4f} B", group.bytes)
        for group in subject.estimate.profile.weights.groups
    ]
    gathered = subject.at_peak["base_weights"] - subject.estimate.profile.weights.bytes
    if gathered:
        lines.append(Line("gathered from the other GPUs", "units that are at work, whole", gathered))
    return (
        "the base model on the device",
        lines,
        "parameters as transformers 5.23 builds them; bitsandbytes.functional.QuantState (0.50); "
        "peft.utils.other.prepare_model_for_kbit_training (0.21)",
    )


def _adapters(subject: _Subject) -> _Explained:
    trained = subject.estimate.profile.trained
    added = trained.total - subject.architecture.parameters
    lines = [Line("added parameters", f"{added:,} x {trained.added_bytes / max(added, 1):g} B", trained.added_bytes)]
    return (f"what {subject.run.method} adds to the model", lines, "peft/tuners (0.21)")


def _gradients(subject: _Subject) -> _Explained:
    trained = subject.estimate.profile.trained
    counts: Counter[str] = Counter()
    for tensor in trained.tensors:
        counts[tensor.dtype] += tensor.elements * tensor.count
    lines = [
        Line(f"of parameters in {dtype}", f"{count:,} x {DTYPE_BYTES[dtype]} B", count * DTYPE_BYTES[dtype])
        for dtype, count in sorted(counts.items())
    ]
    buckets = subject.estimate.profile.buckets
    if buckets:
        lines.append(Line("once more in DDP's buckets", "all that is trained, flat", buckets))
    now = subject.at_peak["gradients"]
    everything = trained.gradient_bytes + buckets
    if now != everything:
        lines.append(Line(f"of which alive at {subject.estimate.memory.instant}", "those already made", now))
    return (
        "gradients of the trained parameters, in their dtype",
        lines,
        "torch.autograd: a gradient has the dtype of its parameter; zero_grad(set_to_none=True) frees it",
    )


def _optimizer_states(subject: _Subject) -> _Explained:
    states = subject.estimate.profile.optimizer
    trained = subject.estimate.profile.trained.trainable
    lines = [Line(subject.run.optimizer, f"{trained:,} x {states.device / trained:.4f} B", states.device)]
    if states.host:
        lines.append(Line("at home in host memory", f"{states.host:,} B of paged states", None))
    return (
        "states of the optimizer, which exist from the first step on",
        lines,
        "torch.optim (2.13), bitsandbytes.optim (0.50), transformers/trainer_optimizer.py (5.23)",
    )


def _saved_activations(subject: _Subject) -> _Explained:
    step = subject.estimate.profile.step
    instant = subject.estimate.memory.instant
    lines: list[Line] = []
    listed = 0
    tables = subject.number(step.shared.get("saved_activations", Size()))
    if tables:
        lines.append(Line("rotary tables and attention mask", "read by every block", tables))
        listed += tables
    working = instant in (FIRST_BACKWARD, MIDDLE_BACKWARD, LAST_BACKWARD)
    if instant in (FIRST_BACKWARD, "end_of_forward", "loss"):
        for kind, count, profile in step.blocks:
            # the block at hand is counted with its working set
            blocks = count - 1 if working and (kind, count, profile) == step.blocks[-1] else count
            each = subject.number(profile.kept.get("saved_activations", Size()))
            if blocks and each:
                lines.append(Line(f"kept by {blocks} {kind} blocks", f"{blocks} x {each:,} B", blocks * each))
                listed += blocks * each
    rest = subject.at_peak["saved_activations"] - listed
    if rest:
        lines.append(Line("kept by the block at hand", "its saved tensors, below", rest))
    for kind, count, profile in step.blocks:
        when = ", while it is recomputed" if profile.recomputed else ""
        lines.append(Line(f"saved by one of {count} {kind} blocks{when}:", "", None))
        for label, rows, cols, dtype in profile.saved:
            size = subject.number(rows.times(cols * DTYPE_BYTES[dtype]))
            elements = subject.number(rows)
            lines.append(Line(f"  {label}", f"{elements:,} x {cols:,} x {DTYPE_BYTES[dtype]} B = {size:,} B", None))
    return (
        "what autograd keeps for the backward pass",
        lines,
        "the family's forward program, operation by operation "
        "(planner/architecture/families; transformers 5.23, derivatives.yaml of torch 2.13)",
    )


def _logits_and_loss(subject: _Subject) -> _Explained:
    tape = subject.estimate.profile.step.head.tape
    run = subject.run
    lines: list[Line] = []
    for index in tape.largest_moment(run.micro_batch_size, run.sequence_length):
        rows, cols, dtype = tape.shapes[index]
        size = subject.number(tape.sizes[index])
        formula = f"{subject.number(rows):,} x {cols:,} x {DTYPE_BYTES[dtype]} B"
        if size >= 1024:
            lines.append(Line(tape.labels[index], formula, size))
    if not subject.at_peak["logits_and_loss"]:
        lines.insert(0, Line("nothing at the peak itself; at the loss:", "", None))
    return (
        "logits, their float32 copy and the loss, at their largest",
        lines,
        "transformers/loss/loss_utils.py ForCausalLMLoss (5.23); log_softmax and nll_loss of torch 2.13",
    )


def _temporaries(subject: _Subject) -> _Explained:
    instant = subject.estimate.memory.instant
    size = subject.at_peak["temporaries"]
    meaning = {
        "optimizer_step": "copies that the optimizer's step makes and frees",
        "load": "the largest weight, held in 16 bits while it is quantized or cast",
        "loss": "the residual stream and what waits beside the loss",
    }.get(instant, "gradients of activations, dequantized weights and results not yet used, in the block at hand")
    return (
        "buffers that come and go within an instant",
        [Line(f"at {instant}", meaning, size)],
        "the family's forward program and the derivative of each operation (planner/tape)",
    )


def _runtime(subject: _Subject) -> _Explained:
    size = subject.at_peak["runtime"]
    return (
        "cuBLAS workspaces, which PyTorch takes from its own allocator",
        [Line("one for the forward thread, one for autograd's", f"2 x {size // 2:,} B", size)],
        "parseChosenWorkspaceSize in aten/src/ATen/cuda/CublasHandlePool.cpp",
    )


_EXPLAINERS: dict[str, Callable[[_Subject], _Explained]] = {
    "base_weights": _base_weights,
    "adapters": _adapters,
    "optimizer_states": _optimizer_states,
    "gradients": _gradients,
    "saved_activations": _saved_activations,
    "logits_and_loss": _logits_and_loss,
    "temporaries": _temporaries,
    "runtime": _runtime,
}
