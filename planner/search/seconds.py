"""The seconds of many micro-batches on many cards at once: `planner.time.step` in numpy.

tests/planner/search/test_seconds.py holds them to it.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# numpy's stubs are written in the syntax of Python 3.12; to 3.10 much of them is unknown

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from planner.catalogue import Gpu
from planner.memory.profile import RunProfile
from planner.search.points import Array, Points
from planner.tape import Size
from planner.tape.size import total
from planner.tape.work import ATTENTION
from planner.time.exchange import link_rate, pcie_rate
from planner.time.rates import Efficiency, rates_of
from planner.time.step import OVERLAP


@dataclass(frozen=True, slots=True)
class Cards:
    """The rates of several cards, one a column."""

    gpus: tuple[Gpu, ...]
    products: dict[str, Array]
    """FLOP/s that they keep up, by dtype."""
    bandwidth: Array
    cached: Array
    """Bytes of the cache that count."""
    link: Array
    """Bytes per second to another card of the kind."""
    pcie: Array
    """Bytes per second between host and card."""
    shares: Efficiency


def cards_of(gpus: Sequence[Gpu], shares: Efficiency) -> Cards:
    """Raises `Abstention` for a card whose rates are not known."""
    rates = [rates_of(gpu) for gpu in gpus]
    kept_up = [shares.products(rate) for rate in rates]
    return Cards(
        gpus=tuple(gpus),
        products={dtype: np.array([rate[dtype] for rate in kept_up]) for dtype in kept_up[0]},
        bandwidth=np.array([rate.bandwidth for rate in rates]),
        cached=np.array([rate.cache * shares.cache for rate in rates]),
        link=np.array([link_rate(gpu, shares) for gpu in gpus]),
        pcie=np.array([pcie_rate(gpu, shares) for gpu in gpus]),
        shares=shares,
    )


@dataclass(frozen=True, slots=True)
class Works:
    """The work of one kind of run on one GPU by itself: coefficients (as of `Size`, along the last axis)."""

    flops: Array
    """Products x 5: FLOPs over the share of the rate that they reach."""
    windows: Array
    """Products: the sliding window of attention; infinite without one."""
    dtypes: tuple[str, ...]
    of_dtype: Array
    """Dtypes x products: 1 where a product is of the dtype."""
    buffers: Array
    """Buffers x 5: bytes that may go through memory."""
    weights: Array
    """Buffers: how many there are, and how many bytes go for each."""
    dequantized: Array
    """5: bytes for weights that are expanded."""
    started: float
    """Seconds of the CPU."""


def works_of(profile: RunProfile, shares: Efficiency) -> Works:
    """profile: `planner.time.step.work_profile` of the runs."""
    head = profile.step.head.work
    passes = [
        (profile.work.forward, False),
        (profile.work.recompute, False),
        (profile.work.backward, True),
        (head.forward, False),
        (head.backward, True),
    ]
    flops: list[Size] = []
    windows: list[float] = []
    dtypes: list[str] = []
    buffers: list[Size] = []
    weights: list[float] = []
    for work, backward in passes:
        fused = shares.attention_backward if backward else shares.attention
        for product, count in work.products:
            fuses = product.kind == ATTENTION
            flops.append(product.flops.times(count / (fused if fuses else shares.matmul)))
            windows.append(np.inf if product.window is None else product.window)
            dtypes.append(product.dtype)
            if not fuses:
                buffers.append(product.moved)
                weights.append(count * shares.product_traffic)
        for size, count in work.written:
            buffers.append(size)
            weights.append(count * shares.traffic)
    kinds = tuple(dict.fromkeys(dtypes))
    return Works(
        flops=np.array(flops, dtype=np.float64),
        windows=np.array(windows),
        dtypes=kinds,
        of_dtype=np.array([[float(dtype == kind) for dtype in dtypes] for kind in kinds]),
        buffers=np.array(buffers, dtype=np.float64),
        weights=np.array(weights),
        dequantized=np.array(total(work.dequantized for work, _ in passes)) * shares.dequantization,
        started=sum(work.kernels for work, _ in passes) * shares.launch_us * 1e-6,
    )


def micro_batch_seconds(works: Works, points: Points, cards: Cards) -> tuple[Array, Array]:
    """Seconds of a micro-batch, and those of them that are the card's own work: points x cards."""
    terms = points.terms()
    flops = works.flops @ terms
    if np.isfinite(works.windows).any():
        flops = flops * _within(works.windows[:, None], points.sequences)
    rates = np.stack([cards.products[dtype] for dtype in works.dtypes])
    card = (works.of_dtype @ flops).T @ (1 / rates)
    moved = _traffic(works.buffers @ terms, works.weights, cards)
    card += (moved + (works.dequantized @ terms)[:, None]) / cards.bandwidth
    return (card**OVERLAP + works.started**OVERLAP) ** (1 / OVERLAP), card


def _traffic(moved: Array, weights: Array, cards: Cards) -> Array:
    """Bytes that go through memory, of all buffers: points x cards."""
    moved = np.maximum(moved, 0.0)
    squared = weights[:, None] * moved * moved
    caches, which = np.unique(cards.cached, return_inverse=True)
    each = [(squared / np.maximum(moved + cache, 1.0)).sum(axis=0) for cache in caches]
    return np.stack(each, axis=1)[:, which]


def _within(windows: Array, sequences: Array) -> Array:
    """The share of a causal triangle's pairs that a sliding window leaves (`planner.time.step.product_flops`)."""
    reached = np.minimum(windows, sequences)
    return reached * (2 * sequences - reached) / sequences**2
