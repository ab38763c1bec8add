"""Plans end to end: known counts, verdicts, invariants, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.catalogue import find_gpu, own_gpu
from planner.errors import Abstention, InputError
from planner.plan import plan, plan_memory
from planner.run import TrainingRun
from planner.units import GIB

A100 = find_gpu("a100-80").gpu


def test_llama_3_1_8b_all_linear_rank_16_has_peft_s_counts() -> None:
    parameters = plan(TrainingRun(model="llama-3.1-8b", method="lora", rank=16)).parameters
    assert (parameters.trainable, parameters.total) == (41_943_040, 8_072_204_288)


def test_llama_2_7b_q_v_rank_8_has_peft_s_counts() -> None:
    run = TrainingRun(model="llama-2-7b", method="lora", rank=8, target_modules=["q_proj", "v_proj"])
    parameters = plan(run).parameters
    assert (parameters.trainable, parameters.total) == (4_194_304, 6_742_609_920)


def test_full_fine_tuning_of_mistral_7b_peaks_in_the_optimizer_as_measured() -> None:
    """fms-acceleration measured 72,434,837,504 B of live tensors, whatever the batch: 10 B a parameter."""
    run = TrainingRun(
        model="mistral-7b",
        method="full",
        optimizer="adamw_torch",
        mixed_precision="no",
        micro_batch_size=4,
        sequence_length=4096,
        packing=True,
        attention="flash_attention_2",
    )
    memory = plan(run, A100).memory
    assert memory.instant == "optimizer_step"
    assert memory.peak_bytes.allocated == pytest.approx(72_434_837_504, rel=0.001)


def test_lora_of_mistral_7b_is_near_its_measured_peak() -> None:
    """fms-acceleration measured 25,681,144,320 B under bf16 autocast with dropout 0.1."""
    run = TrainingRun(
        model="mistral-7b",
        method="lora",
        dropout=0.1,
        target_modules=["q_proj", "k_proj", "v_proj", "o_proj"],
        optimizer="adamw_torch",
        micro_batch_size=4,
        sequence_length=4096,
        packing=True,
        attention="flash_attention_2",
    )
    assert plan(run, A100).memory.peak_bytes.allocated == pytest.approx(25_681_144_320, rel=0.01)


def test_verdicts_follow_the_interval() -> None:
    run = TrainingRun(model="llama-3.1-8b", method="qlora")
    interval = plan(run).memory.interval_bytes
    context = own_gpu(1).context_bytes

    def verdict_with(usable: float) -> str | None:
        # a card's usable memory is what is left of it after the driver's share and the context
        memory = next(gib / 100 for gib in range(100, 20_000) if own_gpu(gib / 100).usable_bytes >= usable)
        return plan(run, own_gpu(memory)).verdict

    assert context > 0
    assert verdict_with(interval.high) == "fits"
    assert verdict_with((interval.low + interval.high) / 2) == "tight"
    assert plan(run, own_gpu(interval.low / GIB * 0.9)).verdict == "does_not_fit"


RUNS = st.fixed_dictionaries(
    {
        "model": st.sampled_from(["llama-3.1-8b", "gpt2", "gemma-2-2b", "Qwen/Qwen3-30B-A3B"]),
        "method": st.sampled_from(["full", "lora", "qlora"]),
        "gradient_checkpointing": st.booleans(),
        "micro_batch_size": st.integers(1, 16),
        "sequence_length": st.integers(16, 8192),
        "packing": st.booleans(),
    }
)


@settings(max_examples=40, deadline=None)
@given(RUNS)
def test_more_tokens_never_need_less_and_limits_are_the_edge(fields: dict[str, object]) -> None:
    run = TrainingRun(**fields)
    planned = plan(run, A100)
    longer = plan(run.replace(sequence_length=run.sequence_length + 64), A100)
    assert longer.memory.peak_bytes.allocated >= planned.memory.peak_bytes.allocated
    assert planned.memory.peak.allocated_bytes == planned.memory.peak_bytes.allocated
    assert planned.limits is not None
    largest = planned.limits.max_micro_batch_size
    if largest is not None:
        assert plan(run.replace(micro_batch_size=largest), A100).verdict == "fits"
    if largest is None or run.micro_batch_size > largest:
        assert planned.verdict != "fits"


def test_checkpointing_frees_and_costs_nothing_at_load() -> None:
    run = TrainingRun(model="llama-3.1-8b", gradient_checkpointing=False)
    before, after = plan(run).memory, plan(run.replace(gradient_checkpointing=True)).memory
    assert after.peak_bytes.allocated < before.peak_bytes.allocated
    assert after.instants[0] == before.instants[0]


def test_accumulation_keeps_gradients_through_the_step() -> None:
    run = TrainingRun(model="llama-3.1-8b", gradient_accumulation_steps=4)
    forward = next(i for i in plan(run).memory.instants if i.name == "end_of_forward")
    assert forward.components["gradients"] == 41_943_040 * 4


def test_a_config_file_is_planned_like_the_catalogue_entry_it_equals(tmp_path: Path) -> None:
    from planner.catalogue import find_model

    file = tmp_path / "config.json"
    file.write_text(json.dumps(find_model("llama-3.1-8b").config), encoding="utf-8")
    ours, theirs = plan(TrainingRun(model=str(file))), plan(TrainingRun(model="llama-3.1-8b"))
    assert ours.memory == theirs.memory
    assert ours.parameters == theirs.parameters


def test_an_edited_config_file_is_read_again(tmp_path: Path) -> None:
    from planner.catalogue import find_model

    file = tmp_path / "config.json"
    config = find_model("llama-3.1-8b").config
    file.write_text(json.dumps(config), encoding="utf-8")
    before = plan(TrainingRun(model=str(file))).parameters.total
    file.write_text(json.dumps({**config, "num_hidden_layers": 16}), encoding="utf-8")
    assert plan(TrainingRun(model=str(file))).parameters.total < before


def test_a_strategy_that_is_not_known_is_abstained_from() -> None:
    with pytest.raises(Abstention, match="2 GPUs"):
        plan(TrainingRun(model="llama-3.1-8b", num_gpus=2, strategy="zero3"), A100)


def test_an_unknown_model_type_is_abstained_from(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "rwkv9"}', encoding="utf-8")
    with pytest.raises(Abstention, match="rwkv9"):
        plan(TrainingRun(model=str(tmp_path)))


def test_an_unknown_card_is_refused_with_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean"):
        plan(TrainingRun(model="gpt2"), "a100-8o")


def test_the_memory_alone_is_that_of_the_plan() -> None:
    run = TrainingRun(model="llama-3.1-8b", method="qlora")
    assert plan_memory(run, "a100-80") == plan(run, "a100-80").memory
