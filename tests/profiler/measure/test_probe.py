"""The request and the answer of the child process, without the process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.errors import Abstention, InputError, NoUsableDevice
from planner.run import TrainingRun
from profiler.documents import NotADocument, from_document, to_document
from profiler.measure import probe as module
from profiler.measure.device.cpu import Cpu
from profiler.measure.probe import TARGET, Probe, measured
from profiler.measure.types import DONE, Measurement
from tests.profiler.measure.small import quiet, run_of


@pytest.fixture(autouse=True)
def in_quiet() -> Iterator[None]:
    with quiet():
        yield


class Report:
    """What a child is given: it writes down what it is told."""

    def __init__(self, seconds_left: float = 1e9) -> None:
        self.told: list[tuple[str, float]] = []
        self.left = seconds_left

    def progress(self, phase: str, share: float) -> None:
        self.told.append((phase, share))

    def seconds_left(self) -> float:
        return self.left


def probe_of(**fields: Any) -> Probe:
    given: dict[str, Any] = {"run": run_of(rank=4), "device": "cpu", "weights": None, "slices": False, "steps": 1}
    return Probe(**(given | fields))


def on_the_wire(document: Mapping[str, object]) -> dict[str, Any]:
    return json.loads(json.dumps(document))


def answer(probe: Probe, report: Report | None = None) -> Measurement:
    document = measured(on_the_wire(to_document(probe)), report or Report())
    return from_document(Measurement, on_the_wire(document))


@given(
    st.builds(
        Probe,
        st.sampled_from([TrainingRun(model="a"), TrainingRun(model="b", method="qlora", rank=8, micro_batch_size=4)]),
        st.sampled_from(["cuda", "xpu", "mps", "cpu", None]),
        st.none() | st.text(),
        st.sampled_from([True, False, None]),
        st.integers(0, 1000),
    )
)
def test_a_request_comes_back_from_the_wire(probe: Probe) -> None:
    found = from_document(Probe, on_the_wire(to_document(probe)))
    assert found == probe
    assert found.run.defaulted == probe.run.defaulted


@pytest.mark.parametrize("missing", ["run", "device", "weights", "slices", "steps"])
def test_half_a_request_is_none(missing: str) -> None:
    document = to_document(probe_of())
    del document[missing]
    with pytest.raises(NotADocument):
        measured(document, Report())


def test_the_target_is_this_function() -> None:
    name, _, function = TARGET.partition(":")
    assert name == module.__name__ and getattr(module, function) is measured


def test_a_measurement_is_answered() -> None:
    report = Report()
    probe = probe_of()
    found = answer(probe, report)
    assert (found.outcome, found.run, found.device.kind, found.notes) == (DONE, probe.run, "cpu", ())
    assert found.time is not None and len(found.time.samples) == 1
    assert report.told[0] == ("importing torch", 0.0)
    assert {phase for phase, _ in report.told} >= {"building the model", "warming up", "timing steps"}


def test_bounds_and_slices_are_handed_on() -> None:
    assert answer(probe_of(steps=5), Report(seconds_left=-1.0)).time is None
    with pytest.raises(InputError, match="leave out one of the two"):
        answer(probe_of(slices=True, weights="nowhere"))
    with pytest.raises(InputError, match="is no folder"):
        answer(probe_of(weights="/nowhere"))


def test_what_is_not_measured_is_raised_as_it_is() -> None:
    with pytest.raises(Abstention, match="not measured"):
        answer(probe_of(run=run_of(quantization="gptq")))
    with pytest.raises(InputError, match="device 'gpu' is not known"):
        answer(probe_of(device="gpu"))


OVERLOOKED = "torch 2.13.0+cpu is a build without CUDA"
BUSY = "another process is on the card (pid 7)"


@pytest.fixture
def noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU that torch cannot use, on which another process is."""
    monkeypatch.setattr("profiler.measure.device.find.find_device", lambda _kind: Cpu())
    monkeypatch.setattr("profiler.measure.device.find.overlooked", lambda: OVERLOOKED)
    monkeypatch.setattr("profiler.measure.device.busy.busy", lambda _device: BUSY)


@pytest.mark.parametrize(("device", "notes"), [(None, (OVERLOOKED, BUSY)), ("cpu", (BUSY,))])
@pytest.mark.usefixtures("noticed")
def test_what_was_noticed_comes_first_among_the_notes(device: str | None, notes: tuple[str, ...]) -> None:
    """A GPU that is there and not used is only of interest to whoever did not ask for the CPU."""
    assert answer(probe_of(device=device, steps=0)).notes == notes


def test_a_quantized_run_needs_bitsandbytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("profiler.doctor.libraries.no_bitsandbytes", lambda kind: f"none for {kind}")
    for scheme in ("nf4", "fp4", "int8"):
        with pytest.raises(NoUsableDevice, match=r"^none for cpu$"):
            answer(probe_of(run=run_of(quantization=scheme)))
    assert answer(probe_of(steps=0)).outcome == DONE


def test_without_torch_it_is_said_what_to_install() -> None:
    """In a process of its own, in which torch cannot be imported."""
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from planner.errors import NoUsableDevice\n"
        "from profiler.measure.probe import measured\n"
        "class Report:\n"
        "    progress = staticmethod(lambda *_: None)\n"
        "    seconds_left = staticmethod(lambda: 60.0)\n"
        "request = {'run': {'model': 'gpt2'}, 'device': None, 'weights': None, 'slices': None, 'steps': 1}\n"
        "try:\n"
        "    measured(request, Report())\n"
        "except NoUsableDevice as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "torch" in done.stdout and "install" in done.stdout, done.stderr
