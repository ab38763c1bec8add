"""What several cards tell each other in a step, and what goes over PCIe: the seconds that no other work hides."""

from __future__ import annotations

from planner.catalogue import Gpu
from planner.memory.profile import RunProfile
from planner.run import TrainingRun
from planner.time.rates import Efficiency
from planner.time.step_time import Term
from planner.units import GB

PCIE_GB_S = {"3.0": 16.0, "4.0": 32.0, "5.0": 64.0, "6.0": 128.0, "NVLink-C2C to CPU": 450.0}
"""Of 16 lanes, one direction, by generation; of what joins the card to NVIDIA's own CPU."""

WHOLE = ("none", "ddp")
"""Strategies in which each card has all weights and updates them all."""


def exchange(profile: RunProfile, run: TrainingRun, gpu: Gpu, shares: Efficiency, busy: float) -> list[Term]:
    """Lines for what nothing hides of the exchange between cards, and of block inputs that wait in host memory.

    A ring sends and receives (n - 1) / n of what is gathered or scattered, and twice that of what is reduced
    everywhere. FSDP gathers its weights for the forward and for the backward pass of every micro-batch, and scatters
    the sums of gradients once for each. Nothing hides what takes longer than `busy`, the seconds of the card's own
    work in the step.
    """
    lines: list[Term] = []
    if run.num_gpus > 1:
        sent = bytes_sent(profile, run)
        whole = sent / link_rate(gpu, shares)
        exposed = max(shares.exposed * whole, whole - busy)
        lines.append(
            Term(
                "exchange",
                exposed,
                f"{sent / GB:,.1f} GB to and from each of {run.num_gpus} cards over {gpu.link or 'PCIe'}, "
                f"{exposed / whole if whole else 0:.0%} of it not beside the card's own work",
            )
        )
    if run.checkpoint_offload:
        # once out and once back; the copies block (`torch.autograd.graph.save_on_cpu`)
        moved = 2 * run.gradient_accumulation_steps * offloaded(profile, run)
        lines.append(Term("offload", moved / pcie_rate(gpu, shares), f"{moved / GB:,.1f} GB of block inputs over PCIe"))
    return lines


def bytes_sent(profile: RunProfile, run: TrainingRun) -> float:
    """Bytes that each card sends (and receives) in an optimizer step. profile: of the run on one GPU by itself."""
    ring = (run.num_gpus - 1) / run.num_gpus
    micro_batches = run.gradient_accumulation_steps
    gradients = profile.trained.gradient_bytes
    if run.strategy in WHOLE:
        # accelerate's `no_sync` leaves all micro-batches but the last alone
        return 2 * ring * gradients
    if run.strategy == "zero2":
        return ring * (micro_batches * gradients + profile.trained.parameter_bytes)
    gathered = profile.weights.bytes + profile.trained.added_bytes
    return micro_batches * ring * (2 * gathered + gradients)


def offloaded(profile: RunProfile, run: TrainingRun) -> float:
    """Bytes of the inputs of checkpointed blocks in one micro-batch."""
    sequence = run.sequence_length + profile.virtual_tokens
    return sum(
        count * block.input.at(run.micro_batch_size, sequence)
        for _, count, block in profile.step.blocks
        if block.recomputed
    )


def link_rate(gpu: Gpu, shares: Efficiency) -> float:
    """Bytes per second in one direction that a collective reaches between two such cards."""
    if gpu.link_bandwidth:
        return gpu.link_bandwidth / 2 * shares.link
    # without a link of their own, cards of one machine meet in host memory
    return pcie_rate(gpu, shares) / 2


def pcie_rate(gpu: Gpu, shares: Efficiency) -> float:
    """Bytes per second between host and card."""
    generation, _, lanes = gpu.pcie.partition(" x")
    return PCIE_GB_S.get(generation, PCIE_GB_S["4.0"]) * int(lanes or 16) / 16 * GB * shares.link
