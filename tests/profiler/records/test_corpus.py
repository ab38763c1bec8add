"""Records as rows of the corpus state the run that was measured, or say what they cannot state."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from planner.plan import plan_memory
from planner.run import TrainingRun
from profiler.corpus.mapping import stated_run
from profiler.corpus.record import read_records
from profiler.records.corpus import published
from profiler.records.sharing import write_export
from profiler.validate.engines import planned as predicted
from profiler.validate.scoring import score_records
from tests.profiler.records.measurements import CPU, RUN, in_slices, measured, out_of_memory, recorded

SAID = [
    RUN,
    TrainingRun(model="llama-3.1-8b", method="lora", rank=8, alpha=8, dropout=0.05, target_modules="q_proj v_proj"),
    TrainingRun(model="llama-3.1-8b", method="lora", target_modules=r".*\.(q|v)_proj", bias="all"),
    TrainingRun(model="llama-3.1-8b", method="lora", modules_to_save="lm_head", quantization="int8"),
    TrainingRun(model="llama-3.1-8b", method="dora", quantization="nf4", double_quant=False, prepare_kbit=False),
    TrainingRun(model="llama-3.1-8b", method="rslora", micro_batch_size=4, packing=True, kernels="foak-liger"),
    TrainingRun(model="llama-3.1-8b", method="qlora", use_dora=True, trainer="trl"),
    TrainingRun(model="llama-3.1-8b", method="prompt_tuning", num_virtual_tokens=33),
    TrainingRun(model="llama-3.1-8b", method="ia3"),
    TrainingRun(model="gpt2", method="full", base_dtype="float32", mixed_precision="no", gradient_checkpointing=False),
    TrainingRun(model="gpt2", method="full", optimizer="adamw_bnb_8bit", attention="eager", trainer="plain"),
]


@pytest.mark.parametrize("run", SAID, ids=lambda run: run.method)
def test_what_the_columns_can_say(run: TrainingRun, tmp_path: Path) -> None:
    record = recorded(measured(run))
    memory = record.measurement.memory
    assert memory is not None
    write_export(tmp_path / "records.csv", [record])
    reserved, allocated = read_records(tmp_path / "records.csv")
    assert (reserved, allocated) == published(record)
    assert (reserved.level, reserved.peak_bytes) == ("reserved", memory.peak_bytes.reserved)
    assert (allocated.level, allocated.peak_bytes) == ("allocated", memory.peak_bytes.allocated)
    stated = stated_run(reserved)
    assert apart_from_names(stated.run) == apart_from_names(run)
    assert not set(stated.unknown) & {"sequence_length", "rank", "target_modules", "num_virtual_tokens"}
    # the engine predicts what a plan of the run with the record's releases has
    versions = {"transformers_version": "5.23.0", "peft_version": "0.21.2"}
    assert predicted(reserved).memory == plan_memory(run.replace(**versions), reserved.gpu)


@pytest.mark.slow
def test_the_simulator_predicts_it_too() -> None:
    run = TrainingRun(model="gpt2", method="lora", rank=8, dropout=0.1, sequence_length=64, base_dtype="float32")
    record = recorded(measured(run))
    memory = record.measurement.memory
    assert memory is not None
    for row in published(record):
        (score,) = score_records([row], "simulate")
        assert (score.reason, score.level) == ("", row.level)
        assert score.error is not None
        if row.level == "allocated":
            # what was measured is a twentieth more than the plan
            assert score.error == pytest.approx(1 / 1.05 - 1, abs=0.02)


def apart_from_names(run: TrainingRun) -> dict[str, object]:
    names = ("model", "transformers_version", "peft_version")
    return {name: value for name, value in run.to_dict().items() if name not in names}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_grad_norm", 0.0),
        ("eval_batch_size", 4),
        ("checkpoint_every", 2),
        ("use_reentrant", True),
        ("chunked_loss", True),
        ("empty_cache", True),
    ],
)
def test_what_the_columns_cannot_say_has_no_peak(field: str, value: object) -> None:
    (row,) = published(recorded(replace(measured(), run=RUN.replace(**{field: value}))))
    assert (row.peak_bytes, row.level, row.tokens_per_s_per_gpu) == (None, None, None)
    assert row.note.startswith(f"no peak is given, because the columns cannot say: {field} {value}; num_trainable")


def test_the_speed_of_a_card() -> None:
    row, other = published(recorded())
    time = recorded().measurement.time
    assert time is not None
    assert row.tokens_per_s_per_gpu == other.tokens_per_s_per_gpu == 2048 / 1.51
    assert row.step_s == time.step_s
    # told apart from a run of its own, as elsewhere in the corpus
    assert other.id == f"{row.id}-alloc"


def test_a_cpu_has_no_card_no_allocator_and_no_speed() -> None:
    (row,) = published(recorded(measured(device=CPU)))
    assert (row.gpu, row.level, row.step_s) == ("cpu", "allocated", None)
    assert "without the cuBLAS workspaces that a card has" in row.note


def test_what_ran_out_of_memory_has_no_peak() -> None:
    (row,) = published(recorded(out_of_memory()))
    assert row.peak_bytes is None
    assert "ran out of memory" in row.note


def test_slices_are_said() -> None:
    assert "extrapolated from slices of 2 and 3 layers" in published(recorded(in_slices()))[0].note


def test_a_model_of_ones_own_keeps_its_path(tmp_path: Path) -> None:
    record = recorded()
    file = tmp_path / "llama-3.1-8b"
    file.mkdir()
    (file / "config.json").write_text(json.dumps({**record.config, "num_hidden_layers": 16}))
    own = recorded(measured(RUN.replace(model=str(file))))
    assert published(own)[0].model == str(file)
    assert published(record)[0].model == "meta-llama/Llama-3.1-8B"


def test_a_model_that_is_not_here_has_no_peak(tmp_path: Path) -> None:
    """Of a record from another machine."""
    file = tmp_path / "config.json"
    file.write_text(json.dumps(dict(recorded().config)))
    record = recorded(measured(RUN.replace(model=str(file))))
    file.unlink()
    (row,) = published(record)
    assert "does not exist" in row.note
    assert row.peak_bytes is None


def test_a_count_that_the_planner_does_not_have_is_no_peak() -> None:
    parameters = replace(measured().parameters, trainable=1)
    (row,) = published(recorded(replace(measured(), parameters=parameters)))
    assert row.peak_bytes is None
