"""`measure`: what it says of a run, its bounds, and slices; on the CPU, and on a card that is not there."""

from __future__ import annotations

import contextlib
import gc
import json
import math
import platform
import weakref
from collections.abc import Generator, Iterator
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import torch

from planner.catalogue import find_gpu
from planner.errors import Abstention, InputError
from planner.plan import plan, resolved_run
from planner.run import TrainingRun
from planner.time.step import step_time
from planner.units import GIB, MIB
from profiler.documents import from_document, to_document
from profiler.measure import passes as passes_module
from profiler.measure.device.cpu import Cpu
from profiler.measure.measure import measure
from profiler.measure.types import DONE, OUT_OF_MEMORY, Measurement
from tests.profiler.measure.counted import Card
from tests.profiler.measure.small import LAYERS, LLAMA, quiet, run_of
from tests.support.families import model_of

DEEP = LLAMA | {"num_hidden_layers": 6}


@pytest.fixture(autouse=True)
def in_quiet() -> Iterator[None]:
    with quiet():
        yield


def on_cpu(run: TrainingRun, **given: Any) -> Measurement:
    with quiet():
        return measure(run, Cpu(), **({"slices": False, "steps": 2} | given))


def on_card(run: TrainingRun, card: Card, **given: Any) -> Measurement:
    with quiet(), card.on():
        return measure(run, card, **({"steps": 1} | given))


@cache
def lora() -> TrainingRun:
    return run_of(rank=4, gradient_accumulation_steps=2)


@cache
def deep() -> TrainingRun:
    """Six layers, of which slices have two and three."""
    return run_of(DEEP, rank=4, target_modules=("q_proj", "down_proj"))


@cache
def done() -> Measurement:
    return on_cpu(lora())


@cache
def card_done() -> Measurement:
    return on_card(lora(), Card())


# what it says


def test_a_measurement_says_what_ran() -> None:
    found = done()
    assert (found.outcome, found.run, found.weights) == (DONE, lora(), "random")
    assert (found.out_of_memory, found.slices, found.notes, found.retries) == (None, None, (), 0)
    assert found.layers == LAYERS
    assert found.parameters == plan(lora()).parameters
    assert found.device.kind == "cpu"
    assert found.loss == pytest.approx(math.log(96), abs=0.3)
    assert found.sampled.samples >= 1 and found.sampled.host_peak_bytes


def test_its_ledgers() -> None:
    memory = done().memory
    assert memory is not None
    assert memory.basis == "measurement"
    highest = max(memory.instants, key=lambda instant: instant.allocated_bytes)
    assert (memory.instant, memory.peak_bytes.allocated) == (highest.name, highest.allocated_bytes)
    assert memory.peak_bytes.reserved is not None and memory.peak_bytes.reserved >= highest.allocated_bytes
    assert memory.peak_bytes.process is None
    levels = {levels.name: levels.allocated for levels in done().levels}
    assert levels.items() >= {(instant.name, instant.allocated_bytes) for instant in memory.instants}


def test_its_time() -> None:
    time = done().time
    assert time is not None
    assert len(time.samples) == 2
    assert time.tokens == 2 * 16 * 2
    assert time.step_s == pytest.approx(sum(sample.step_s for sample in time.samples) / 2)
    assert 0 <= time.low_s <= time.step_s <= time.high_s
    assert (time.mfu, time.hfu) == (None, None)  # of a CPU no rate is known
    assert time.tokens_per_s == pytest.approx(time.tokens / time.step_s)


def test_its_versions() -> None:
    versions = dict(done().versions)
    assert versions["python"] == platform.python_version()
    for library in ("torch", "transformers", "peft", "bitsandbytes"):
        assert versions[library] == metadata.version(library)
    installed = {found.metadata["Name"] for found in metadata.distributions()}
    assert ("triton" in versions) == ("triton" in installed)
    assert len(versions) == len(done().versions)


@pytest.mark.parametrize("method", ["full", "qlora", "dora", "ia3"])
def test_parameters_are_the_plans(method: str) -> None:
    run = run_of(method=method)
    assert on_cpu(run, steps=0).parameters == plan(run).parameters


@pytest.mark.parametrize("measurement", [done, card_done])
def test_a_measurement_comes_back_from_a_document(measurement: Any) -> None:
    document = json.loads(json.dumps(to_document(measurement())))
    assert from_document(Measurement, document) == measurement()


def test_on_a_card() -> None:
    found = card_done()
    assert found.memory is not None and found.time is not None
    assert found.device.gpu == "a100-40"
    assert found.memory.peak_bytes.allocated == max(levels.allocated for levels in found.levels)
    assert found.memory.peak_bytes.reserved == max(levels.reserved or 0 for levels in found.levels)
    assert found.memory.peak.components["runtime"] > 0  # what tensors do not show, up to cuBLAS' workspaces


def test_utilization_is_the_planners_by_the_measured_seconds() -> None:
    found = card_done()
    assert found.time is not None
    gpu = find_gpu("a100-40").gpu
    _, architecture, run = resolved_run(lora())
    planned = step_time(architecture, run, gpu)
    assert planned.mfu and planned.hfu
    assert found.time.mfu == pytest.approx(planned.mfu * planned.step_s / found.time.step_s)
    assert found.time.hfu == pytest.approx(planned.hfu * planned.step_s / found.time.step_s)


def test_two_measurements_are_alike_and_leave_chance_as_it_was() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    found = on_cpu(lora(), steps=2)
    assert torch.equal(torch.get_rng_state(), before)
    assert (found.memory, found.loss, found.parameters) == (done().memory, done().loss, done().parameters)


def test_progress_is_told() -> None:
    told: list[tuple[str, float]] = []
    on_cpu(deep(), slices=True, progress=lambda phase, share: told.append((phase, share)))
    shares = [share for _, share in told]
    assert shares == sorted(shares) and shares[0] == 0 and shares[-1] < 1
    assert told[0][0] == "importing the training stack"
    assert [phase for phase, _ in told[1:3]] == ["building the model, 2 layers", "warming up, 2 layers"]
    assert told[-1][0] == "timing steps, 3 layers"


# bounds


def test_no_seconds_left_leave_the_memory() -> None:
    found = on_cpu(lora(), seconds_left=lambda: -1.0)
    assert (found.outcome, found.time) == (DONE, None)
    assert found.memory == done().memory


def test_steps_are_bounded() -> None:
    found = on_cpu(lora(), steps=1)
    assert found.time is not None
    assert (len(found.time.samples), found.time.low_s) == (1, found.time.step_s)
    assert on_cpu(lora(), steps=0).time is None


# slices


def test_slices_stand_for_the_whole() -> None:
    run = deep()
    whole, sliced = on_cpu(run, steps=0), on_cpu(run, slices=True)
    assert sliced.slices is not None
    assert (sliced.slices.depths, sliced.slices.layers, sliced.layers) == ((2, 3), 6, 6)
    assert all("2 and 3 layers" in said or "3 layers" in said for said in sliced.slices.extrapolated)
    assert sliced.levels == ()
    assert sliced.parameters == whole.parameters == plan(run).parameters
    assert sliced.memory is not None and whole.memory is not None
    assert sliced.memory.peak_bytes.allocated == pytest.approx(whole.memory.peak_bytes.allocated, rel=0.01)
    assert sliced.memory.peak_bytes.process is None
    assert sliced.time is not None and len(sliced.time.samples) == 2


@pytest.mark.parametrize("free", [12 * MIB, 40 * GIB], ids=["little is free", "all is free"])
def test_slices_are_measured_where_the_whole_is_planned_not_to_fit(free: int) -> None:
    run = deep()
    found = on_card(run, Card(free_bytes=free))
    if free == 40 * GIB:
        assert (found.slices, found.notes) == (None, ())
        return
    assert found.slices is not None and found.slices.depths == (2, 3)
    [note] = found.notes
    assert note.startswith("measured in slices: the plan reserves ")
    assert note.endswith("12.0 MiB of the device are free")
    assert found.parameters == plan(run).parameters


def test_whoever_wants_the_whole_gets_it() -> None:
    found = on_card(deep(), Card(free_bytes=MIB), slices=False)
    assert (found.slices, found.notes) == (None, ())


def test_a_model_that_has_no_slices_is_measured_whole_unless_they_are_asked_for() -> None:
    run = run_of(LLAMA | {"num_hidden_layers": 2}, rank=4)
    assert on_card(run, Card(free_bytes=MIB)).slices is None
    with pytest.raises(Abstention, match="its 2 layers do not repeat"):
        on_cpu(run, slices=True)


def test_weights_are_not_measured_in_slices(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="slices are measured with random weights") as raised:
        on_cpu(lora(), slices=True, weights=str(tmp_path))
    assert raised.value.field == "weights"


# weights


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights that give nan."""
    found = tmp_path_factory.mktemp("weights")
    with quiet():
        model = model_of(LLAMA, dtype="bfloat16")
        with torch.no_grad():
            model.lm_head.weight.fill_(math.nan)
        model.save_pretrained(found)
    return found


def test_a_loss_that_is_no_number_is_noted(folder: Path) -> None:
    found = on_cpu(run_of(rank=4), weights=str(folder), slices=None)
    assert (found.outcome, found.weights) == (DONE, str(folder))
    assert found.loss is not None and math.isnan(found.loss)
    assert found.notes == ("a loss was not a finite number (nan): bytes and seconds stand, the training does not",)
    assert found.memory is not None and found.time is not None


def test_weights_are_not_sliced_on_a_card_that_is_too_small_for_them(folder: Path) -> None:
    assert on_card(run_of(rank=4), Card(free_bytes=MIB), weights=str(folder)).slices is None


def test_half_a_download_is_refused(folder: Path, tmp_path: Path) -> None:
    content = (folder / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(content[:-1])
    with pytest.raises(InputError, match="is not whole"):
        on_cpu(lora(), weights=str(tmp_path))


# memory that runs out


@contextlib.contextmanager
def models(monkeypatch: pytest.MonkeyPatch) -> Generator[list[weakref.ref[Any]]]:
    """Weak references to the models that are built."""
    found: list[weakref.ref[Any]] = []
    build = passes_module.build

    def kept(*args: Any, **kwargs: Any) -> Any:
        made = build(*args, **kwargs)
        found.append(weakref.ref(made.model))
        return made

    monkeypatch.setattr(passes_module, "build", kept)
    yield found


@pytest.mark.parametrize("slices", [False, True])
def test_memory_that_runs_out_is_the_outcome(slices: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    # in a forward pass: of a backward pass in which Python raises an error, torch itself keeps tensors
    card = Card(fails_at=450 if not slices else 200)
    with models(monkeypatch) as built:
        found = on_card(deep(), card, slices=slices)
    assert found.outcome == OUT_OF_MEMORY
    failure = found.out_of_memory
    assert failure is not None
    assert (failure.message, failure.capacity_bytes) == ("CUDA out of memory", 40 * GIB)
    assert (failure.instant, failure.step) == ("end_of_forward", 1)
    assert (found.memory, found.levels, found.time, found.loss) == (None, (), None, None)
    assert (found.slices is not None) == slices
    assert found.layers == 6
    assert json.loads(json.dumps(to_document(found))) == to_document(found)
    assert from_document(Measurement, to_document(found)) == found
    gc.collect()
    assert len(built) == 1 and built[0]() is None
    assert card.requested <= 64
    assert card.emptied


def test_nothing_is_held_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    card = Card()
    with models(monkeypatch) as built:
        on_card(deep(), card, slices=True, steps=0)
    gc.collect()
    assert len(built) == 2 and not any(model() is not None for model in built)
    assert card.requested == 0


# what is refused


@pytest.mark.parametrize(
    ("fields", "error", "says"),
    [
        ({"quantization": "gptq"}, Abstention, "gptq is not measured"),
        ({"kernels": "liger"}, Abstention, "liger's kernels do not run on a CPU"),
        ({"num_gpus": 2, "strategy": "ddp"}, Abstention, "runs on 2 GPUs"),
        ({"transformers_version": "4.44.0"}, InputError, "real steps run what is installed"),
    ],
    ids=str,
)
def test_what_is_not_measured(fields: dict[str, Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        on_cpu(run_of(**fields))
