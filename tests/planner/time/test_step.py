"""A step's time: what has to hold of any run, and a few steps by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.catalogue import find_gpu, search_models
from planner.errors import Abstention
from planner.memory.profile import run_profile
from planner.plan import resolve
from planner.run import TrainingRun
from planner.tape.size import Size
from planner.tape.work import MATRIX, Product, Work
from planner.time.rates import efficiency, rates_of
from planner.time.step import combined, seconds, step_time, utilization
from tests.planner.time.timed import SMALL, seconds_of, timed

CARDS = ("a100-80", "h100", "rtx-4090", "l4", "t4", "a10g", "v100", "mi300x")

RUNS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "method": st.sampled_from(["full", "lora", "qlora", "ia3"]),
        "micro_batch_size": st.integers(1, 16),
        "sequence_length": st.integers(16, 4096),
        "gradient_accumulation_steps": st.integers(1, 8),
        "gradient_checkpointing": st.booleans(),
        "attention": st.sampled_from(["sdpa", "eager", "flash_attention_2"]),
        "mixed_precision": st.sampled_from(["no", "bf16"]),
        "optimizer": st.sampled_from(["adamw_torch", "adamw_torch_fused", "paged_adamw_8bit"]),
    }
)


@settings(max_examples=40)
@given(fields=RUNS, card=st.sampled_from(CARDS))
def test_the_lines_add_up_and_lie_in_the_interval(fields: dict[str, Any], card: str) -> None:
    time = timed(card, **fields)
    assert sum(term.seconds for term in time.terms) == pytest.approx(time.step_s, rel=1e-12)
    assert all(term.seconds > 0 and term.text for term in time.terms)
    assert len({term.name for term in time.terms}) == len(time.terms)
    assert 0 < time.low_s <= time.step_s <= time.high_s
    slow, fast = time.tokens_per_s_interval
    assert slow <= time.tokens_per_s <= fast
    assert time.tokens == (
        fields["micro_batch_size"] * fields["sequence_length"] * fields["gradient_accumulation_steps"]
    )
    assert (time.mfu is None) == (time.hfu is None)
    if time.mfu is not None and time.hfu is not None:
        assert 0 < time.mfu <= time.hfu
        assert (time.mfu < time.hfu) == fields["gradient_checkpointing"]
        assert time.hfu < (1.05 if card == "rtx-4090" else 1)  # whose best is above what it is sold with


@settings(max_examples=25)
@given(fields=RUNS, card=st.sampled_from(CARDS), more=st.integers(1, 2048))
def test_more_tokens_never_make_a_step_shorter(fields: dict[str, Any], card: str, more: int) -> None:
    shorter = timed(card, **fields)
    longer = timed(card, **fields | {"sequence_length": fields["sequence_length"] + more})
    larger = timed(card, **fields | {"micro_batch_size": fields["micro_batch_size"] + 1})
    assert longer.step_s >= shorter.step_s
    assert larger.step_s >= shorter.step_s


@settings(max_examples=20)
@given(fields=RUNS, card=st.sampled_from(CARDS))
def test_each_micro_batch_adds_the_same(fields: dict[str, Any], card: str) -> None:
    one, two, five = (
        timed(card, **fields | {"gradient_accumulation_steps": steps}).step_s - timed(card, **fields).step_s
        for steps in (1, 2, 5)
    )
    assert five - two == pytest.approx(3 * (two - one), rel=1e-9)
    assert two > one


@settings(max_examples=20)
@given(fields=RUNS, card=st.sampled_from(CARDS))
def test_checkpointing_takes_longer(fields: dict[str, Any], card: str) -> None:
    kept, again = (timed(card, **fields | {"gradient_checkpointing": on}) for on in (False, True))
    assert again.step_s > kept.step_s
    assert "recomputation" in seconds_of(again) and "recomputation" not in seconds_of(kept)


@settings(max_examples=20)
@given(fields=RUNS, card=st.sampled_from(CARDS))
def test_a_quantized_base_is_never_faster_than_the_same_one_in_16_bits(fields: dict[str, Any], card: str) -> None:
    same = fields | {"base_dtype": "bfloat16", "adapter_dtype": "bfloat16"}
    plain = timed(card, **same | {"method": "lora"})
    quantized = timed(card, **same | {"method": "qlora", "prepare_kbit": False})
    assert quantized.step_s >= plain.step_s
    assert seconds_of(quantized)["dequantization"] > 0
    assert "dequantization" not in seconds_of(plain)


@settings(max_examples=20)
@given(fields=RUNS, card=st.sampled_from(CARDS), factor=st.floats(1.01, 4))
def test_a_faster_card_is_never_slower(fields: dict[str, Any], card: str, factor: float) -> None:
    gpu = find_gpu(card).gpu
    assert gpu.bandwidth is not None
    before = timed(gpu, **fields).step_s
    assert timed(replace(gpu, bandwidth=factor * gpu.bandwidth), **fields).step_s <= before
    # under another name, so that its products are a share of what it is sold with
    unknown = replace(gpu, name="another", architecture="", tdp_watts=None)
    faster = replace(
        unknown,
        **{
            name: factor * rate
            for name in ("bf16_tflops", "fp16_tflops", "fp32_tflops")
            if (rate := getattr(unknown, name)) is not None
        },
    )
    assert timed(faster, **fields).step_s <= timed(unknown, **fields).step_s


@settings(max_examples=15)
@given(fields=RUNS, gpus=st.integers(2, 8), strategy=st.sampled_from(["ddp", "fsdp", "zero3"]))
def test_several_cards_take_more_tokens_and_no_less_time(fields: dict[str, Any], gpus: int, strategy: str) -> None:
    fields = fields | {"method": "lora", "optimizer": "adamw_torch_fused"}
    one, several = timed(**fields), timed(**fields, num_gpus=gpus, strategy=strategy)
    assert several.tokens == gpus * one.tokens
    assert several.step_s > one.step_s - seconds_of(one)["optimizer"]
    assert several.tokens_per_s < gpus * one.tokens_per_s * 1.01
    assert several.high_s / several.step_s > one.high_s / one.step_s


def test_one_product_by_hand() -> None:
    """4096 x 4096 x 4096 in bfloat16 on an A100: 137 GFLOP; 100 MB go through memory, nearly all uncached."""
    shares = replace(efficiency(), tflops_per_watt={})
    rates = rates_of(find_gpu("a100-80").gpu)
    size = 3 * 2 * 4096 * 4096
    product = Product(MATRIX, Size(constant=2 * 4096**3), Size(constant=size), "bfloat16")
    found = seconds(Work(products=((product, 3),), kernels=3), 1, 1, rates, shares, backward=False)
    assert rates.products["bfloat16"] == pytest.approx((271.2 + 264.53) / 2 * 1e12)
    cached = 40 * 2**20 * shares.cache
    moved = size * size / (size + cached)
    each = 2 * 4096**3 / (267.865e12 * shares.matmul) + shares.product_traffic * moved / 2.039e12
    assert found.products == pytest.approx(3 * each)
    assert found.card == found.products
    assert found.launches == pytest.approx(3 * shares.launch_us * 1e-6)


def test_kernels_that_only_move_bytes_by_hand() -> None:
    shares, rates = efficiency(), rates_of(find_gpu("a100-80").gpu)
    work = Work(written=((Size(tokens=8192), 4),), dequantized=Size(constant=1e9))
    found = seconds(work, 2, 4096, rates, shares, backward=False)
    written, cached = 8192 * 8192, 40 * 2**20 * shares.cache
    each = shares.traffic * written * written / (written + cached) / 2.039e12
    assert found.other == pytest.approx(4 * each)
    assert found.dequantization == pytest.approx(shares.dequantization * 1e9 / 2.039e12)
    assert (found.products, found.attention, found.launches) == (0, 0, 0)


def test_card_and_cpu_work_beside_each_other() -> None:
    assert combined(1.0, 0.0) == 1.0
    assert combined(1.0, 0.3) == pytest.approx(1.0, abs=0.001)
    assert combined(1.0, 1.0) == pytest.approx(2 ** (1 / 6))
    assert combined(0.1, 2.0) == pytest.approx(2.0, abs=0.001)


def test_a_short_batch_waits_for_the_cpu_and_a_long_one_does_not() -> None:
    """Hence a batch that is launch-bound costs the same for a few tokens more: 0.42 s for 163 and for 334 tokens of
    QLoRA on an L40S (the rows l40s-q-256 and l40s-q-512 of profiler/corpus/speeds.csv)."""
    fields: dict[str, Any] = {"model": "meta-llama/Meta-Llama-3-8B-Instruct", "method": "qlora", "rank": 16}
    short, twice, long = (timed("l40s", **fields, sequence_length=tokens) for tokens in (163, 334, 8192))
    assert seconds_of(short)["launches"] > 0.5 * short.step_s
    assert seconds_of(long)["launches"] < 0.001 * long.step_s
    assert twice.step_s / short.step_s < 1.05


def test_what_is_said_of_utilization() -> None:
    """Full fine-tuning of Llama-3.1-8B: 6 x 7.5e9 parameters that multiply, and attention."""
    time = timed(
        "h100",
        model="meta-llama/Llama-3.1-8B",
        method="full",
        mixed_precision="no",
        attention="flash_attention_2",
        micro_batch_size=4,
        sequence_length=4096,
    )
    parameters = 8_030_261_248 - 4096 * 128256 - 65 * 4096
    needed = 6 * parameters + 3.5 * 2 * 4096 * 4096 * 32
    assert time.mfu == pytest.approx(needed * time.tokens_per_s / 989e12, rel=1e-6)
    assert 0.2 < (time.mfu or 0) < 0.5


def test_utilization_of_a_step_that_was_measured() -> None:
    """The FLOPs of a step over its seconds and the rate that the card is sold with: half of it in twice the time."""
    gpu = find_gpu("h100").gpu
    run = TrainingRun(model="meta-llama/Llama-3.1-8B", gradient_checkpointing=True, gradient_accumulation_steps=4)
    _, architecture = resolve(run.model)
    planned = step_time(architecture, run, gpu)
    assert planned.mfu and planned.hfu and planned.hfu > planned.mfu
    assert utilization(architecture, run, gpu, planned.step_s) == pytest.approx((planned.mfu, planned.hfu))
    assert utilization(architecture, run, gpu, 2 * planned.step_s) == pytest.approx((planned.mfu / 2, planned.hfu / 2))
    half = replace(gpu, bf16_tflops=(gpu.bf16_tflops or 0) / 2)
    assert utilization(architecture, run, half, planned.step_s) == pytest.approx((2 * planned.mfu, 2 * planned.hfu))
    unknown = replace(gpu, bf16_tflops=None)
    assert utilization(architecture, run, unknown, planned.step_s) == (None, None)


def test_utilization_needs_no_measured_rates() -> None:
    """Only a plan needs to know how fast a card is."""
    gpu = replace(find_gpu("h100").gpu, bandwidth=None)
    run = TrainingRun(model="meta-llama/Llama-3.1-8B")
    _, architecture = resolve(run.model)
    mfu, hfu = utilization(architecture, run, gpu, 1.0)
    assert mfu and hfu and 0 < mfu <= hfu
    with pytest.raises(Abstention, match="no activation table"):
        utilization(resolve("bert-base-uncased")[1], run.replace(model="bert-base-uncased"), gpu, 1.0)


def test_what_has_no_memory_or_no_rates_has_no_time() -> None:
    gpu = find_gpu("a100-80").gpu
    with pytest.raises(Abstention, match="how fast A100-80GB-SXM is, is not known"):
        timed(replace(gpu, bandwidth=None))
    with pytest.raises(Abstention, match="no activation table"):
        timed(model="bert-base-uncased")


@pytest.mark.slow
@pytest.mark.parametrize("method", ["full", "lora", "qlora"])
def test_every_model_that_has_a_plan_has_a_time(method: str) -> None:
    gpu, timed_models = find_gpu("h100").gpu, 0
    for model in search_models():
        run = TrainingRun(model=model.id, method=method)
        try:
            architecture = resolve(model.id)[1]
            run_profile(architecture, run)
        except Abstention:
            continue
        time = step_time(architecture, run, gpu)
        assert 0 < time.low_s < time.step_s < time.high_s, model.id
        assert 0 < (time.mfu or 0) <= (time.hfu or 0) < 1, model.id
        timed_models += 1
    assert timed_models > 100
    assert SMALL in {model.id for model in search_models()}
