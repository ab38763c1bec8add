"""A difference that is as large as something known: copies of the logits, a mask, a weight, the other dtype."""

from __future__ import annotations

from math import prod

from planner.architecture.modules import Architecture
from planner.errors import Abstention, InputError
from planner.plan import resolved_run
from planner.quantization import is_quantized
from planner.units import format_bytes
from profiler.causes.evidence import CLOSE, Evidence, Gap, copies, mark

_WORDS = ("no", "one", "two", "three", "four")


def logits_copies(evidence: Evidence, gap: Gap) -> str | None:
    """Whole copies of micro-batch x tokens x vocabulary values, in 32 or 16 bits."""
    architecture = _architecture(evidence)
    if gap.line not in ("logits_and_loss", "temporaries") or architecture is None:
        return None
    run = evidence.measurement.run
    values = run.micro_batch_size * run.sequence_length * architecture.vocab_size
    for bits in (32, 16):
        if times := copies(gap.more, values * bits // 8):
            shape = f"{run.micro_batch_size} x {run.sequence_length:,} x {architecture.vocab_size:,}"
            version = dict(evidence.measurement.versions).get("transformers", "")
            ran = f" ({version} ran)" if version else ""
            return (
                f"{_WORDS[times]} {'copy' if times == 1 else 'copies'} of the logits ({shape} values) in {bits} bits; "
                f"planner/versions.py has the releases of transformers that make more or fewer{ran}"
            )
    return None


def factor_of_two(evidence: Evidence, gap: Gap) -> str | None:
    """Parameters, gradients or states in a dtype twice or half as wide, or four times."""
    if gap.line not in ("base_weights", "adapters", "gradients", "optimizer_states") or not gap.said:
        return None
    for factor, text in ((2, "twice"), (0.5, "half of"), (4, "four times"), (0.25, "a quarter of")):
        if abs(gap.measured / gap.said / factor - 1) <= CLOSE / 4:
            return f"{text} {format_bytes(gap.said)}, as in another dtype"
    return None


def square_buffers(evidence: Evidence, gap: Gap) -> str | None:
    """A mask of tokens x tokens values: SDPA got one, and with it another kernel than flash attention."""
    run, layers = evidence.measurement.run, evidence.measurement.layers
    if gap.line not in ("saved_activations", "temporaries") or gap.more < 0:
        return None
    values = run.micro_batch_size * run.sequence_length**2
    for count, where in ((1, ""), (layers, f" in each of {layers} layers")):
        for bits in (8, 16, 32):
            if count and copies(gap.more, count * values * bits // 8, most=1):
                return (
                    f"as large as a mask of {run.micro_batch_size} x {run.sequence_length:,} x "
                    f"{run.sequence_length:,} values in {bits} bits{where}: attention got one, which flash attention "
                    "does not take"
                )
    return None


def dequantized_weights(evidence: Evidence, gap: Gap) -> str | None:
    """Expanded copies of the largest quantized weight."""
    architecture, run = _architecture(evidence), evidence.measurement.run
    if gap.line != "temporaries" or architecture is None or run.quantization == "none":
        return None
    sizes = {
        prod(module.weight): name
        for name, module in architecture.modules()
        if is_quantized(architecture, name, module, run)
    }
    largest = max(sizes, default=0)
    for bits in (16, 32):
        if times := copies(gap.more, largest * bits // 8, most=2):
            return f"{_WORDS[times]} of {sizes[largest].rpartition('.')[2]}'s weights expanded to {bits} bits"
    return None


def other_column_agrees(evidence: Evidence, gap: Gap) -> str | None:
    """The other column is as measured: the real stack on fake tensors, or the formulas."""
    if _agrees(evidence, gap, "simulation"):
        return "the simulation, which runs the installed libraries, agrees: they do what the formulas leave out"
    if _agrees(evidence, gap, "formula"):
        return "the formulas agree: it is in what the simulation approximates"
    return None


def kernel_scratch(evidence: Evidence, gap: Gap) -> str | None:
    """What kernels allocate inside themselves, which neither formulas nor fake tensors see."""
    if gap.line != "temporaries" or gap.more < 0 or gap.columns != ("formula", "simulation"):
        return None
    if evidence.measurement.device.kind not in ("cuda", "xpu"):
        return None
    return "estimate and simulation agree, and neither sees what kernels allocate inside themselves"


def _agrees(evidence: Evidence, gap: Gap, basis: str) -> bool:
    """Whether the column of that basis is within the mark of what was measured."""
    reconciliation = evidence.reconciliation
    if reconciliation is None or reconciliation.peak is None or basis not in reconciliation.columns:
        return False
    place = reconciliation.columns.index(basis)
    if reconciliation.peak.allocated.bytes[place] is None:
        return False
    line = next(line for line in reconciliation.peak.components if line.name == gap.line)
    return abs((line.bytes[place] or 0) - gap.measured) <= mark(reconciliation)


def _architecture(evidence: Evidence) -> Architecture | None:
    try:
        return resolved_run(evidence.measurement.run)[1]
    except (InputError, Abstention):
        return None
