"""`step_time`: how long one optimizer step takes on a card, line by line.

A step is matrix products, attention, kernels that only move bytes, weights that are expanded, the update, and what the
cards tell each other. The first four are read off the tapes that the memory is read off (`planner.tape.work`); each is
an amount over a rate (`planner.time.rates`). The card works through them while the CPU starts kernels: whichever is
slower sets the pace.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from planner.architecture.modules import Architecture
from planner.catalogue import Gpu
from planner.memory.profile import RunProfile, run_profile
from planner.optimizers import clip_traffic, optimizer
from planner.run import TrainingRun
from planner.run.precision import compute_dtype
from planner.tape.work import ATTENTION, Product, Work
from planner.time.exchange import WHOLE, exchange
from planner.time.rates import Efficiency, Rates, efficiency, rates_of
from planner.time.spread import spread
from planner.time.step_time import StepTime, Term

OVERLAP = 6
"""How card and CPU go together: a step takes (card^6 + CPU^6)^(1/6), the slower one, or 12 % more where both take as
long, when now one waits and now the other."""


@dataclass(frozen=True, slots=True)
class Seconds:
    """Where the card's seconds go in one piece of work, and what the CPU needs to start it."""

    products: float = 0.0
    attention: float = 0.0
    other: float = 0.0
    dequantization: float = 0.0
    launches: float = 0.0
    """Of the CPU; they are not the card's."""

    @property
    def card(self) -> float:
        """All of the card's."""
        return self.products + self.attention + self.other + self.dequantization


def step_time(architecture: Architecture, run: TrainingRun, gpu: Gpu) -> StepTime:
    """The time of one optimizer step of a run on `gpu` (on each of run.num_gpus of them).

    Raises `Abstention` where the run's memory or the card's rates are not known, `InputError` as `run_profile` does.
    """
    profile = work_profile(architecture, run)
    rates = rates_of(gpu)
    lines = step_terms(profile, run, gpu, efficiency())
    total = sum(line.seconds for line in lines)
    low, high, coverage, basis = spread(gpu, rates, run)
    mfu, hfu = _utilization(profile, run, gpu, total)
    return StepTime(
        step_s=total,
        low_s=total * low,
        high_s=total * high,
        coverage=coverage,
        tokens=run.micro_batch_size * run.sequence_length * run.gradient_accumulation_steps * run.num_gpus,
        terms=tuple(lines),
        mfu=mfu,
        hfu=hfu,
        basis=f"{rates.basis}; {basis}",
    )


def utilization(
    architecture: Architecture, run: TrainingRun, gpu: Gpu, step_s: float
) -> tuple[float | None, float | None]:
    """MFU and HFU of a step that takes `step_s` seconds; None where the card's dense rate is not known.

    Raises `Abstention` where the run's work is not known, `InputError` as `run_profile` does.
    """
    return _utilization(work_profile(architecture, run), run, gpu, step_s)


def _utilization(profile: RunProfile, run: TrainingRun, gpu: Gpu, step_s: float) -> tuple[float | None, float | None]:
    needed, recomputed = flops(profile, run.micro_batch_size, run.sequence_length + profile.virtual_tokens)
    peak = _dense_rate(run, gpu)
    if not peak:
        return None, None
    steps = run.gradient_accumulation_steps / step_s / peak
    return steps * needed, steps * (needed + recomputed)


def step_at_length(architecture: Architecture, run: TrainingRun, gpu: Gpu) -> Callable[[int], StepTime]:
    """The run's step by the tokens of its sequences. What it gives raises as `step_time` does."""

    def at(length: int) -> StepTime:
        resized = run if length == run.sequence_length else run.replace(sequence_length=length)
        return step_time(architecture, resized, gpu)

    return at


def work_profile(architecture: Architecture, run: TrainingRun) -> RunProfile:
    """The profile that a run's work is read off: that of one of its GPUs, as if it were alone."""
    return run_profile(architecture, run.replace(num_gpus=1, strategy="none") if run.num_gpus > 1 else run)


def step_terms(profile: RunProfile, run: TrainingRun, gpu: Gpu, shares: Efficiency) -> list[Term]:
    """The lines of one optimizer step, those without seconds left out.

    profile: `work_profile` of the run. Raises `Abstention` as `rates_of` does.
    """
    rates = rates_of(gpu)
    batch, sequence = run.micro_batch_size, run.sequence_length + profile.virtual_tokens
    head = profile.step.head.work
    parts = [
        seconds(work, batch, sequence, rates, shares, backward=backward)
        for work, backward in (
            (profile.work.forward, False),
            (profile.work.recompute, False),
            (profile.work.backward, True),
            (head.forward, False),
            (head.backward, True),
        )
    ]
    card = sum(part.card for part in parts)
    waits = combined(card, sum(part.launches for part in parts)) - card
    micro_batches = run.gradient_accumulation_steps
    own = [*_lines(profile, run, parts, rates), ("launches", waits, _launches(profile, shares))]
    lines = [Term(name, micro_batches * amount, text) for name, amount, text in own]
    updated = update_seconds(profile, run, rates, shares)
    lines.append(Term("optimizer", updated, f"{run.optimizer}, {profile.trained.trainable:,} trained parameters"))
    lines.extend(exchange(profile, run, gpu, shares, micro_batches * card))
    lines.append(Term("between steps", shares.step_ms / 1000, "the loop around a step"))
    return [line for line in lines if line.seconds > 0]


def combined(card: float, started: float) -> float:
    """Seconds of work that takes the card `card` and the CPU `started`, one beside the other."""
    return (card**OVERLAP + started**OVERLAP) ** (1 / OVERLAP)


def seconds(work: Work, batch: int, sequence: int, rates: Rates, shares: Efficiency, *, backward: bool) -> Seconds:
    """Where the time of a piece of work goes on a card.

    Products take FLOPs over the best rate that the card was seen at, times what a step gets of it, and besides bytes
    over bandwidth, which is what makes narrow ones slow. Of bytes those count that are not in the cache any more: of a
    buffer of b bytes and c bytes of cache, b / (b + c) of it.
    """
    cached = rates.cache * shares.cache
    products = attention = other = 0.0
    fused = shares.attention_backward if backward else shares.attention
    best = shares.products(rates)
    for product, count in work.products:
        amount = product_flops(product, batch, sequence)
        rate = best[product.dtype]
        if product.kind == ATTENTION:
            attention += count * amount / (rate * fused)
            continue
        moved = product.moved.at(batch, sequence)
        uncached = moved * moved / (moved + cached)
        products += count * (amount / (rate * shares.matmul) + shares.product_traffic * uncached / rates.bandwidth)
    for size, count in work.written:
        written = size.at(batch, sequence)
        if written > 0:
            other += count * shares.traffic * written * written / (written + cached) / rates.bandwidth
    return Seconds(
        products=products,
        attention=attention,
        other=other,
        dequantization=shares.dequantization * work.dequantized.at(batch, sequence) / rates.bandwidth,
        launches=work.kernels * shares.launch_us * 1e-6,
    )


def product_flops(product: Product, batch: int, sequence: int) -> float:
    """FLOPs of a product; of attention with a window, of the pairs of tokens within it."""
    amount = product.flops.at(batch, sequence)
    if product.window is not None and product.window < sequence:
        # pairs of a causal triangle that reaches back `window` tokens, over those of the whole triangle
        amount *= product.window * (2 * sequence - product.window) / sequence**2
    return amount


def update_seconds(profile: RunProfile, run: TrainingRun, rates: Rates, shares: Efficiency) -> float:
    """Seconds of clipping and the optimizer's step, which read and write long lists: at the bandwidth."""
    tensors = profile.trained.tensors
    sharded = run.num_gpus if run.strategy not in WHOLE else 1
    traffic = optimizer(run.optimizer).step_traffic(tensors)
    if run.max_grad_norm > 0:
        traffic += clip_traffic(tensors)
    return traffic / sharded / (rates.bandwidth * shares.long_lists)


def flops(profile: RunProfile, batch: int, sequence: int) -> tuple[float, float]:
    """FLOPs of products and attention in a micro-batch: what the method needs, and what is recomputed besides."""
    head = profile.step.head.work
    works = (profile.work.forward, profile.work.backward, head.forward, head.backward)
    return sum(_flops(work, batch, sequence) for work in works), _flops(profile.work.recompute, batch, sequence)


def _flops(work: Work, batch: int, sequence: int) -> float:
    return sum(count * product_flops(product, batch, sequence) for product, count in work.products)


def _launches(profile: RunProfile, shares: Efficiency) -> str:
    head = profile.step.head.work
    works = (profile.work.forward, profile.work.recompute, profile.work.backward, head.forward, head.backward)
    kernels = sum(work.kernels for work in works)
    return f"{kernels:,} kernels a micro-batch at {shares.launch_us:.0f} us each, as far as the card waits for them"


def _lines(profile: RunProfile, run: TrainingRun, parts: list[Seconds], rates: Rates) -> list[tuple[str, float, str]]:
    """The card's own lines of one micro-batch: name, seconds, what they are of."""
    forward, again, backward, *head = parts
    batch, sequence = run.micro_batch_size, run.sequence_length + profile.virtual_tokens
    needed, recomputed = flops(profile, batch, sequence)
    tokens = batch * sequence * 1e9
    best = rates.products[compute_dtype(run)] / 1e12
    return [
        (
            "matrix products",
            forward.products + backward.products,
            f"{needed / tokens:,.1f} GFLOP a token with attention and head; {best:,.0f} TFLOPS at best",
        ),
        ("attention", forward.attention + backward.attention, f"{run.attention}, {sequence:,} tokens a sequence"),
        ("other kernels", forward.other + backward.other, "norms, activations, copies, dropout, sums: bytes moved"),
        ("dequantization", forward.dequantization + backward.dequantization, "weights expanded for each product"),
        ("recomputation", again.card, f"checkpointed blocks forward again: {recomputed / tokens:,.1f} GFLOP a token"),
        ("logits and loss", sum(part.card for part in head), "final norm, head and loss, forward and backward"),
    ]


def _dense_rate(run: TrainingRun, gpu: Gpu) -> float | None:
    """FLOP/s that the card is sold with for the dtype of the run's products."""
    rate = {"bfloat16": gpu.bf16_tflops, "float16": gpu.fp16_tflops or gpu.bf16_tflops, "float32": gpu.fp32_tflops}
    tflops = rate[compute_dtype(run)]
    return tflops * 1e12 if tflops else None
