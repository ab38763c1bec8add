"""Rows and sentences of a plan that its views have in common. GiB is 1024**3 bytes."""

from __future__ import annotations

from planner.memory.ledger import MEASUREMENT
from planner.plan_types import Footprint, Limits, Plan, PlannedGpu
from planner.run import TrainingRun
from planner.units import format_bytes
from reports.figures import gib, gib_number


def card_name(gpu: PlannedGpu) -> str:
    """`L40S`, `2 x L40S`."""
    return gpu.name if gpu.count == 1 else f"{gpu.count:,} x {gpu.name}"


def reserved_figure(plan: Plan) -> str:
    """`55.3 GiB (52.8–58.9) reserved`: what decides an out-of-memory, with its interval."""
    interval = plan.memory.interval_bytes
    known = "measured " if plan.memory.basis == MEASUREMENT else ""
    size = gib(plan.memory.peak_bytes.reserved)
    return f"{known}{size} ({gib_number(interval.low, 1)}–{gib_number(interval.high, 1)}) reserved"


def level_rows(plan: Plan) -> list[tuple[str, int, str]]:
    """The peak at each level that is known, in bytes, and what the level counts."""
    peak = plan.memory.peak_bytes
    rows = [
        ("allocated", peak.allocated, "live tensors"),
        ("reserved", peak.reserved, "held by PyTorch's allocator: decides an out-of-memory"),
    ]
    if peak.process is not None:
        rows.append(("process", peak.process, "what nvidia-smi shows: reserved and the CUDA context"))
    return rows


def interval_sentence(plan: Plan) -> str:
    """Between what the reserved peak is expected, and on what that stands."""
    interval = plan.memory.interval_bytes
    if plan.memory.basis == MEASUREMENT:
        holds = "as wide around the measured figure as the estimate's interval is"
    else:
        share = f"{100 * interval.coverage:.0f}%"
        holds = f"which holds {share} of measured and simulated runs (reports/gallery/accuracy.md)"
    return (
        f"By {plan.memory.basis}: {interval.level} is expected between {gib_number(interval.low, 1)} "
        f"and {gib_number(interval.high, 1)} GiB, {holds}"
    )


def limit_sentences(run: TrainingRun, limits: Limits) -> list[str]:
    """The largest micro-batch and the longest sequence that fit, everything else as it is."""
    batch, length, longest = limits.max_micro_batch_size, limits.max_seq_len, limits.max_position_embeddings
    made_for = f" (the model was made for {longest:,})" if longest else ""
    return [
        f"{'no micro-batch' if batch is None else f'micro-batch {batch:,}'} at {run.sequence_length:,} tokens",
        f"{'no sequence' if length is None else f'{length:,} tokens{made_for}'} "
        f"at micro-batch {run.micro_batch_size:,}",
    ]


def footprint_rows(run: TrainingRun, footprint: Footprint) -> list[tuple[str, str, str]]:
    """What the run needs off the GPU: what it is, its size, and what for."""
    trained = "model file" if run.method == "full" else "adapter file"
    rows = [
        (trained, footprint.adapter_file_bytes, ""),
        ("checkpoint", footprint.checkpoint_bytes, "trained weights and optimizer states"),
        ("host memory", footprint.host_ram_bytes, "to load and train"),
        ("host memory", footprint.merge_ram_bytes, "to merge the adapter"),
        ("disk", footprint.disk_bytes, "the download, one checkpoint and the result"),
    ]
    return [(label, format_bytes(size), use) for label, size, use in rows if size]
