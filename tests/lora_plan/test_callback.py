"""`LoraPlanCallback` in real trainings of `Trainer` on the CPU."""

from __future__ import annotations

import copy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from lora_plan import LoraPlanCallback
from lora_plan.callback import LoraPlanWarning
from planner.catalogue import Gpu, find_gpu
from planner.errors import InputError
from planner.plan import plan_memory
from planner.run import TrainingRun
from profiler.measure.types import Measurement
from profiler.training import session as training_session
from reports.cost_report.document import MARK
from tests.lora_plan.cli import ROOT
from tests.lora_plan.trainings import Samples, StandIn, named, tiny_model, trainer

LORA = {"r": 4, "target_modules": "all-linear"}


@pytest.fixture
def report(tmp_path: Path) -> Path:
    return tmp_path / "report.md"


def card(usable: int) -> Gpu:
    """A card of which PyTorch can have so much."""
    return replace(find_gpu("t4").gpu, name="made-up", usable_bytes=usable)


def peak_of(callback: LoraPlanCallback, length: int) -> int:
    """What the planner says of the same run at another length, reserved."""
    assert callback.result is not None and callback.result.run is not None
    assert callback.result.run.model.endswith("model")  # the folder that it is named after, not a copy of its config
    return plan_memory(callback.result.run.replace(sequence_length=length)).peak_bytes.reserved


def test_a_lora_training_is_derived_planned_and_reported(tmp_path: Path, report: Path) -> None:
    callback = LoraPlanCallback(report=report, records=False)
    samples = Samples(16, 32, 48)
    trainer(tiny_model(**LORA), tmp_path, samples, callback).train()

    result = callback.result
    assert result is not None and result.run is not None and result.plan is not None
    assert (result.run.method, result.run.rank, result.run.target_modules) == ("lora", 4, "all-linear")
    assert result.run.sequence_length == 48
    assert result.plan.parameters == result.parameters
    assert result.outcome == "all 3 steps done"
    held = result.watched.held
    assert held is not None
    # 7 matrices a layer of 32, 16 or 64 features: rank 4 times the sum of both sides, in float32
    sides = [(32, 32), (32, 16), (32, 16), (32, 32), (32, 64), (32, 64), (64, 32)]
    adapters = 2 * sum(4 * (rows + columns) for rows, columns in sides) * 4
    assert held["adapters"] == held["gradients"] == adapters
    # two moments, and a count of steps of 4 bytes for each of 28 tensors
    assert held["optimizer_states"] == 2 * adapters + 28 * 4
    text = report.read_text()
    assert text.startswith(f"{MARK}\n\n# A training, planned and measured by lora-plan\n\nLlamaForCausalLM on ")
    assert "torch counts no memory here" in text and "tokens/s of this process" in text
    assert "on a CPU torch counts no memory" in text


def test_a_full_training_agrees_with_the_plan_on_what_lasts(tmp_path: Path, report: Path) -> None:
    callback = LoraPlanCallback(report=report, records=False)
    trainer(tiny_model(), tmp_path, Samples(8, 8, 8), callback, gradient_checkpointing=True).train()
    result = callback.result
    assert result is not None and result.plan is not None and result.watched.held is not None
    assert result.plan.run.method == "full" and result.plan.run.gradient_checkpointing
    step = next(one for one in result.plan.memory.instants if one.name == "optimizer_step")
    for name, seen in result.watched.held.items():
        assert seen == pytest.approx(step.components[name], rel=0.01, abs=64)


def test_it_warns_after_step_2_of_the_longest_batch_and_says_what_would_fit(tmp_path: Path, report: Path) -> None:
    callback = LoraPlanCallback(report=report, records=False, gpu=card(24 * 2**20))
    model = named(tiny_model(**LORA), tmp_path)
    training = trainer(model, tmp_path, Samples(64, 64, 64, 1000), callback, max_steps=4)
    with pytest.warns(LoraPlanWarning, match=r"batch 4 has 1,000 tokens: about, by the plan alone, .* will not fit"):
        training.train()
    assert callback.warning is not None and "on made-up" in callback.warning
    found = callback.result.forecast if callback.result else None
    assert found is not None and found.longest_that_fits is not None
    assert f"set max_length to {found.longest_that_fits:,}" in callback.warning
    assert found.longest_that_fits % 64 == 0
    assert peak_of(callback, found.longest_that_fits) <= 24 * 2**20 < peak_of(callback, found.longest_that_fits + 64)
    assert "**Said after step 2:** batch 4" in report.read_text()


@pytest.mark.parametrize(
    ("lengths", "changes", "usable"),
    [
        ((64, 64, 512), {}, 2**30),  # it fits
        ((512, 64, 64), {}, 2**20),  # the longest has been
        ((64, 64, 64, 512), {}, 2**20),  # in order, the training does not come to it
    ],
)
def test_it_is_silent_where_nothing_is_to_come(
    tmp_path: Path, lengths: tuple[int, ...], changes: dict[str, Any], usable: int
) -> None:
    callback = LoraPlanCallback(report=None, records=False, gpu=card(usable))
    trainer(tiny_model(**LORA), tmp_path, Samples(*lengths), callback, **changes).train()
    assert callback.warning is None and not callback.broken


def test_on_a_card_the_measured_peak_is_carried_to_the_longest_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = StandIn(usable=10**9 + 10**6, peak=10**9)
    monkeypatch.setattr(training_session, "find_device", lambda kind: device)
    callback = LoraPlanCallback(report=None, records=False)
    model, samples = named(tiny_model(**LORA), tmp_path), Samples(*[64] * 20, 1000)
    training = trainer(model, tmp_path, samples, callback, train_sampling_strategy="random")
    with pytest.warns(LoraPlanWarning, match="the longest sample has 1,000 tokens and is still to come: about 1.0 GiB"):
        training.train()
    found = callback.result.forecast if callback.result else None
    assert found is not None and found.measured
    assert found.reserved == 10**9 + peak_of(callback, 1000) - peak_of(callback, 64)
    assert device.resets == 1


def test_on_a_card_a_record_is_made(tmp_path: Path, report: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device = StandIn(peak=10**9, held=10**9 // 2)
    monkeypatch.setattr(training_session, "find_device", lambda kind: device)
    kept: list[Measurement] = []
    callback = LoraPlanCallback(report=report, records=kept.append)
    trainer(tiny_model(**LORA), tmp_path, Samples(64, 64, 64, 64), callback, max_steps=4).train()
    (measured,) = kept
    assert measured.outcome == "done" and measured.layers == 2
    assert measured.memory is not None and measured.memory.peak.allocated_bytes == 10**9
    assert measured.memory.peak_bytes.reserved == 10**9
    # a batch of one shape has the time of the run; what is timed are steps 3 and 4
    assert measured.time is not None and measured.time.tokens == 64
    assert measured.time.low_s < measured.time.step_s < measured.time.high_s
    text = report.read_text()
    assert "| allocated |" in text and "953.7 MiB" in text and "The record was handed on." in text


def test_batches_of_several_lengths_are_the_time_of_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_session, "find_device", lambda kind: StandIn())
    kept: list[Measurement] = []
    callback = LoraPlanCallback(report=None, records=kept.append)
    trainer(tiny_model(**LORA), tmp_path, Samples(64, 16, 32), callback).train()
    assert kept[0].time is None and kept[0].run.sequence_length == 64
    assert any("16 to 64 tokens" in note for note in kept[0].notes)


def test_the_users_records_keep_it(tmp_path: Path, report: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from profiler.records.store import read

    monkeypatch.setenv("LORA_PLAN_RECORDS", str(tmp_path / "records.sqlite"))
    monkeypatch.setattr(training_session, "find_device", lambda kind: StandIn())
    trainer(tiny_model(**LORA), tmp_path, Samples(8, 8, 8), LoraPlanCallback(report=report)).train()
    (record,) = read().records
    assert record.id in report.read_text()
    assert record.measurement.run.method == "lora"


def test_a_record_that_cannot_be_kept_is_a_sentence_of_the_report(
    tmp_path: Path, report: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(measured: Measurement) -> None:
        raise InputError("the disk is full; make room")

    monkeypatch.setattr(training_session, "find_device", lambda kind: StandIn())
    trainer(tiny_model(**LORA), tmp_path, Samples(8, 8, 8), LoraPlanCallback(report=report, records=full)).train()
    assert "No record is kept: the disk is full; make room." in report.read_text()


def test_an_out_of_memory_is_kept_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_session, "find_device", lambda kind: StandIn())
    kept: list[Measurement] = []
    callback = LoraPlanCallback(report=None, records=kept.append)
    training = trainer(tiny_model(**LORA), tmp_path, Samples(8, 8, 8), callback)
    _fail_at(training, 3, torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 has"))
    with pytest.raises(torch.OutOfMemoryError) as caught:
        training.train()
    callback.finish(caught.value)
    assert kept[0].outcome == "out_of_memory"
    assert kept[0].out_of_memory is not None and kept[0].out_of_memory.step == 3
    assert kept[0].out_of_memory.message == "CUDA out of memory. Tried to allocate 2.00 GiB."


def test_a_training_that_fails_midway_is_reported_once(tmp_path: Path, report: Path) -> None:
    callback = LoraPlanCallback(report=report, records=False)
    model = tiny_model(**LORA)
    training = trainer(model, tmp_path, Samples(8, 8, 8), callback)
    _fail_at(training, 2, RuntimeError("the data are wrong"))
    with pytest.raises(RuntimeError, match="the data are wrong") as caught:
        training.train()
    assert not report.exists() and model._forward_pre_hooks
    callback.finish(caught.value)
    assert "ended after 1 of 3 steps with RuntimeError: the data are wrong" in report.read_text()
    assert not model._forward_pre_hooks
    report.unlink()
    callback.finish()
    assert not report.exists()


def test_a_training_that_is_begun_anew_makes_no_record_of_the_first(
    tmp_path: Path, report: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_session, "find_device", lambda kind: StandIn())
    kept: list[Measurement] = []
    callback = LoraPlanCallback(report=report, records=kept.append)
    training = trainer(tiny_model(**LORA), tmp_path, Samples(8, 8, 8, 8), callback, max_steps=4)
    _fail_at(training, 4, RuntimeError("caught by auto_find_batch_size"))
    with pytest.raises(RuntimeError):
        training.train()
    first = callback.result
    training.train()
    assert first is None and callback.result is not None
    assert callback.result.outcome == "all 4 steps done"
    assert [one.run.micro_batch_size for one in kept] == [1]


def test_a_card_that_is_not_known_is_refused_before_the_training() -> None:
    with pytest.raises(InputError, match="GPU 'h1000' is not known"):
        LoraPlanCallback(gpu="h1000")


def test_a_process_that_an_exception_ends_leaves_its_report(tmp_path: Path) -> None:
    code = f"""
from pathlib import Path
from lora_plan import LoraPlanCallback
from tests.lora_plan.trainings import Samples, tiny_model, trainer
folder = Path({str(tmp_path)!r})
class Ends(LoraPlanCallback):
    def on_step_end(self, args, state, control, **kwargs):
        super().on_step_end(args, state, control, **kwargs)
        raise KeyboardInterrupt
trainer(tiny_model(), folder, Samples(8, 8, 8), Ends(report=folder / "report.md", records=False)).train()
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode != 0 and "KeyboardInterrupt" in done.stderr
    assert "ended after 1 of 3 steps with KeyboardInterrupt" in (tmp_path / "report.md").read_text()


def test_whatever_fails_is_one_warning_and_the_training_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(kind: str) -> StandIn:
        raise OSError("no such\ndevice")

    monkeypatch.setattr(training_session, "find_device", broken)
    callback = LoraPlanCallback(report=None)
    training = trainer(tiny_model(), tmp_path, Samples(8, 8, 8), callback)
    with pytest.warns(LoraPlanWarning) as warned:
        training.train()
    assert [str(one.message) for one in warned if one.category is LoraPlanWarning] == [
        "lora-plan does not watch this training any more (OSError: no such device); it goes on without"
    ]
    assert training.state.global_step == 3


def test_what_fails_midway_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(model: Any, optimizer: Any) -> dict[str, int]:
        raise RuntimeError("no states")

    monkeypatch.setattr("profiler.training.training.held_bytes", fails)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    model = tiny_model()
    callback = LoraPlanCallback(report=tmp_path / "report.md")
    training = trainer(model, tmp_path, Samples(8, 8, 8), callback)
    with pytest.warns(LoraPlanWarning, match=r"does not watch this training any more \(RuntimeError: no states\)"):
        training.train()
    assert training.state.global_step == 3 and callback.broken
    assert not model._forward_pre_hooks
    assert not list(tmp_path.glob("lora-plan-*")) and not (tmp_path / "report.md").exists()


def test_even_where_warnings_are_errors_the_training_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(training_session, "find_device", lambda kind: 1 / 0)
    training = trainer(tiny_model(), tmp_path, Samples(8, 8, 8), LoraPlanCallback(report=None))
    training.train()
    assert training.state.global_step == 3
    assert "ZeroDivisionError" in caplog.text


def test_what_the_planner_does_not_have_is_said(tmp_path: Path, report: Path) -> None:
    callback = LoraPlanCallback(report=report)
    trainer(
        tiny_model(r=4, target_modules=["q_proj"], rank_pattern={"q_proj": 2}), tmp_path, Samples(8, 8, 8), callback
    ).train()
    assert callback.result is not None and callback.result.run is None
    assert "the planner does not have rank_pattern of PEFT's lora" in report.read_text()


def test_a_model_that_cannot_be_planned_is_watched_all_the_same(tmp_path: Path, report: Path) -> None:
    # the config of a model whose activations no table covers
    (tmp_path / "config.json").write_text('{"model_type": "no-such-type"}')
    given = TrainingRun(model=str(tmp_path / "config.json"), method="lora", rank=4)
    callback = LoraPlanCallback(given, report=report, records=False, gpu=card(2**30))
    trainer(tiny_model(**LORA), tmp_path, Samples(8, 8, 8, 64), callback, max_steps=4).train()
    assert not callback.broken and callback.result is not None and callback.result.plan is None
    assert "There is no plan to hold it to:" in report.read_text()


def test_a_run_that_is_given_is_taken(tmp_path: Path, report: Path) -> None:
    given = TrainingRun(model="tiny-llama", method="lora", rank=4)
    callback = LoraPlanCallback(given, report=report, records=False)
    trainer(tiny_model(**LORA), tmp_path, Samples(8, 24, 8), callback).train()
    result = callback.result
    assert result is not None and result.run is not None
    assert (result.run.model, result.run.sequence_length) == ("tiny-llama", 24)
    assert any("they are not the same run" in note for note in result.notes)


def test_a_file_of_the_users_stays(tmp_path: Path, report: Path) -> None:
    report.write_text("my notes")
    training = trainer(tiny_model(), tmp_path, Samples(8, 8), LoraPlanCallback(report=report), max_steps=1)
    with pytest.warns(LoraPlanWarning, match="stays as it is"):
        training.train()
    assert report.read_text() == "my notes"


def test_a_report_that_cannot_be_written_is_one_warning(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    callback = LoraPlanCallback(report=tmp_path / "file" / "report.md")
    training = trainer(tiny_model(), tmp_path, Samples(8, 8), callback, max_steps=1)
    with pytest.warns(LoraPlanWarning, match=r"cannot be written .*; name another file"):
        training.train()


def test_a_watched_model_can_be_copied(tmp_path: Path) -> None:
    class Copies(LoraPlanCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            super().on_step_end(args, state, control, **kwargs)
            copy.deepcopy(kwargs["model"])

    callback = Copies(report=None)
    trainer(tiny_model(), tmp_path, Samples(8, 8), callback, max_steps=2).train()
    assert callback.result is not None and not callback.broken


def test_only_the_main_process_reports(tmp_path: Path, report: Path) -> None:
    callback = LoraPlanCallback(report=report)
    training = trainer(tiny_model(), tmp_path, Samples(8, 8), callback, max_steps=1)
    training.is_world_process_zero = lambda: False  # type: ignore[method-assign]
    training.train()
    assert callback.result is None and not report.exists()


def test_the_training_draws_the_same_random_numbers_as_without_it(tmp_path: Path) -> None:
    class Noisy(Samples):
        def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
            torch.rand(3)
            return super().__getitem__(index)

    def losses(*callbacks: LoraPlanCallback) -> list[float]:
        torch.manual_seed(0)
        model = tiny_model(r=4, target_modules="all-linear", lora_dropout=0.5, init_lora_weights=False)
        training = trainer(model, tmp_path, Noisy(8, 9, 10), *callbacks)
        training.train()
        return [entry["loss"] for entry in training.state.log_history if "loss" in entry]

    from transformers import TrainerCallback

    assert losses(LoraPlanCallback(report=None)) == losses(TrainerCallback())  # type: ignore[arg-type]


def _fail_at(training: Any, step: int, error: BaseException) -> None:
    original, calls = training.training_step, iter(range(1, 100))

    def fails(*args: Any, **kwargs: Any) -> Any:
        if next(calls) == step:
            raise error
        return original(*args, **kwargs)

    training.training_step = fails
