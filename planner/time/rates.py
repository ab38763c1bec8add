"""How fast a card is at what training does: the rates that other people have measured, and shares of them.

Two kinds of figures. What a card can do at its best: the fastest published matrix products (data/matmul.csv), its
memory bandwidth and its cache (data/caches.csv). And what a training step gets of that (data/efficiency.csv), which is
fitted: `python -m profiler.speed.calibrate --write` makes it of the corpus's runs.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from statistics import median

from planner.catalogue import Gpu, find_gpu, list_gpus
from planner.errors import Abstention
from planner.units import MIB

DATA = Path(__file__).parent / "data"

PER_WATT = "tflops_per_watt "
"""How the rows of data/efficiency.csv begin that are of one generation."""

KNOWN_NEWEST, KNOWN_NEWEST_CARD = "Hopper", "H100-SXM"
WITHOUT_RECORDS = ("Blackwell", "Blackwell Ultra", "CDNA3")
"""Generations of which no training run was found. They are taken to be as good with a watt as the newest that is known,
and to keep up no smaller share of their best than its largest card."""

FLOAT32_SHARE = 0.7
"""Of the shader cores' rate that float32 products reach (cuBLAS SGEMM; PyTorch leaves TF32 off). Assumed: between the
0.6 and 0.9 that are seen from one size to another."""


@dataclass(frozen=True, slots=True)
class Efficiency:
    """What a training step gets of a card: one set for all cards, fitted on the runs that data/efficiency.csv names."""

    matmul: float
    """Share of the fastest published matrix product."""
    product_traffic: float
    """Time of a product beside its FLOPs: bytes of operands and result that come from memory, each so many times."""
    attention: float
    """Share of the fastest product that a fused attention kernel reaches forward."""
    attention_backward: float
    """The same in its backward pass."""
    traffic: float
    """Bytes that other kernels read and write for each byte that they write, over the bandwidth they reach."""
    dequantization: float
    """The same for each byte of a weight that is expanded."""
    cache: float
    """Share of the L2 cache that counts: a buffer of that size is half in the cache when it is read."""
    long_lists: float
    """Share of the bandwidth that the optimizer's kernels reach."""
    link: float
    """Share of the rate of NVLink or PCIe that collectives and copies reach."""
    exposed: float
    """Share of the exchange between cards that is not hidden by their work."""
    launch_us: float
    """Microseconds that Python and PyTorch take to start one kernel."""
    step_ms: float
    """Milliseconds of one optimizer step in which the card waits for the loop around it."""
    tflops_per_watt: Mapping[str, float]
    """Generation of cards -> what their products come to for each watt that they may draw, for as long as a training
    step takes. A best rate is that of a short run."""

    def products(self, rates: Rates) -> dict[str, float]:
        """FLOP/s by dtype that a card keeps up: its best, or what its power allows."""
        inherits = rates.generation in WITHOUT_RECORDS
        allowed = self.tflops_per_watt.get(KNOWN_NEWEST if inherits else rates.generation)
        if allowed is None or rates.watts is None:
            return rates.products
        most = allowed * rates.watts * 1e12
        least = 0.0
        if inherits:
            known = rates_of(find_gpu(KNOWN_NEWEST_CARD).gpu)
            assert known.watts is not None
            least = allowed * known.watts * 1e12 / known.products["bfloat16"]
        kept: dict[str, float] = {}
        for dtype, best in rates.products.items():
            limit = {"float32": best, "int8": 2 * most}.get(dtype, most)
            kept[dtype] = min(best, max(limit, least * best))
        return kept


@dataclass(frozen=True, slots=True)
class Rates:
    """What one card does at its best."""

    products: dict[str, float]
    """FLOP/s of matrix products by dtype."""
    bandwidth: float
    """Bytes per second, as sold."""
    cache: float
    """Bytes of its L2 cache."""
    generation: str
    watts: float | None
    """What it may draw."""
    basis: str
    """How `products` is known."""
    measured: bool
    """Whether this very card's products were measured."""


@cache
def efficiency() -> Efficiency:
    """The fitted shares."""
    rows = {row["name"]: float(row["value"]) for row in _read("efficiency.csv")}
    per_watt = {name.removeprefix(PER_WATT): value for name, value in rows.items() if name.startswith(PER_WATT)}
    shares = {field.name: rows[field.name] for field in fields(Efficiency) if field.name != "tflops_per_watt"}
    return Efficiency(**shares, tflops_per_watt=per_watt)


@cache
def rates_of(gpu: Gpu) -> Rates:
    """The rates of a card. Raises `Abstention` for one whose bandwidth or tensor rates are not known."""
    dense = {"bfloat16": gpu.bf16_tflops, "float16": gpu.fp16_tflops or gpu.bf16_tflops}
    if gpu.bandwidth is None or dense["float16"] is None or gpu.fp32_tflops is None:
        raise Abstention(
            f"how fast {gpu.name} is, is not known (its bandwidth or its dense rates are missing)",
            way_out="choose a card that `lora-plan gpus` lists",
        )
    measured = measured_products().get(gpu.name, {})
    basis = "products measured on this card"
    products: dict[str, float] = {"float32": gpu.fp32_tflops * FLOAT32_SHARE * 1e12}
    for dtype in ("float16", "bfloat16"):
        rate, sold = measured.get(dtype), dense[dtype]
        if rate is None and "bfloat16" in measured and dtype == "float16" and gpu.native_bf16:
            rate = measured["bfloat16"]
        if rate is None and sold is not None:
            share = _share(gpu.architecture)
            rate, basis = (
                sold * share,
                f"products at {share:.0%} of the dense rate, as on other {gpu.architecture} cards",
            )
        if rate is None:
            rate = _slow_bfloat16(gpu.architecture, gpu.fp32_tflops)
        products[dtype] = rate * 1e12
    # LLM.int8() takes its products in int8, which cards sell at twice the 16-bit rate
    products["int8"] = products["float16"] * (2 if gpu.int8_tops else 1)
    return Rates(
        products=products,
        bandwidth=gpu.bandwidth,
        cache=_caches().get(gpu.name, 0.0) * MIB,
        generation=gpu.architecture,
        watts=gpu.tdp_watts,
        basis=basis,
        measured=bool(measured),
    )


@cache
def measured_products() -> dict[str, dict[str, float]]:
    """Card -> dtype -> TFLOPS of its fastest matrix products: the median of what is published."""
    found: dict[str, dict[str, list[float]]] = {}
    for row in _read("matmul.csv"):
        found.setdefault(row["gpu"], {}).setdefault(row["dtype"], []).append(float(row["tflops"]))
    return {gpu: {dtype: median(values) for dtype, values in rates.items()} for gpu, rates in found.items()}


@cache
def _share(architecture: str) -> float:
    """What the fastest products reach of the dense rate: the median of this generation's cards, or of all."""
    shares: dict[str, list[float]] = {}
    for gpu in list_gpus():
        for dtype, rate in measured_products().get(gpu.name, {}).items():
            sold = gpu.bf16_tflops if dtype == "bfloat16" else gpu.fp16_tflops
            if sold is not None:
                shares.setdefault(gpu.architecture, []).append(rate / sold)
    return median(shares.get(architecture) or [share for known in shares.values() for share in known])


def _slow_bfloat16(architecture: str, fp32_tflops: float) -> float:
    """TFLOPS of bfloat16 products on a card without tensor cores for them, as measured on its generation."""
    for gpu in list_gpus():
        rate = measured_products().get(gpu.name, {}).get("bfloat16")
        if gpu.architecture == architecture and rate is not None and gpu.fp32_tflops is not None:
            return rate * fp32_tflops / gpu.fp32_tflops
    return fp32_tflops * FLOAT32_SHARE


@cache
def _caches() -> dict[str, float]:
    return {row["gpu"]: float(row["l2_mib"]) for row in _read("caches.csv")}


def _read(file: str) -> list[dict[str, str]]:
    with (DATA / file).open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))
