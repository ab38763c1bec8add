"""`lora-plan verify` in this process, with an answer in place of the process that measures: options, output, errors."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lora_plan.commands.verify import DEFAULT_MODEL, OPTIONS
from lora_plan.run_options import RUN_OPTIONS
from planner.errors import NotMeasured
from planner.run import TrainingRun
from profiler import verify as verifying
from profiler.documents import from_document, to_document
from profiler.measure import probe as probing
from profiler.measure.probe import Probe
from profiler.measure.types import Measurement
from profiler.records.store import read
from tests.lora_plan.cli import Outcome, call
from tests.lora_plan.test_simulate_real import CONFIG
from tests.reports.verifications import FAILED, time_of
from tests.support.measured import as_planned


class Here:
    """A folder with a config.json, records and a cache of a test's own, and what measures there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[Probe] = []
        self.factor = 1.0
        self.others: dict[str, Any] = {"time": time_of(*[1.0] * 8, mfu=None, hfu=None)}
        self.ends: Exception | None = None
        self.simulated: list[tuple[Any, dict[str, Any]]] = []

    def answer(self, target: str, request: Mapping[str, object], **how: Any) -> dict[str, object]:
        probe = from_document(Probe, request)
        self.asked.append(probe)
        if self.ends is not None:
            raise self.ends
        how["progress"]("timing steps", 0.5)
        return to_document(as_planned(probe.run, factor=self.factor, **self.others))

    def __call__(self, *argv: str, model: str | None = None, simulate: bool = False) -> Outcome:
        run = ("--model", model or str(self.folder / "config.json"), "--seq-len", "64")
        return call("verify", *run, *([] if simulate else ["--no-simulate"]), *argv)

    @property
    def records(self) -> list[Measurement]:
        return [record.measurement for record in read(self.folder / "records").records]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Here:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    monkeypatch.setenv("LORA_PLAN_RECORDS", str(tmp_path / "records"))
    monkeypatch.setenv("LORA_PLAN_CACHE", str(tmp_path / "cache"))
    made = Here(tmp_path)
    monkeypatch.setattr(verifying, "run_in_child", made.answer)
    return made


@pytest.fixture
def measuring(here: Here, monkeypatch: pytest.MonkeyPatch) -> Here:
    """Measures for real, in this process: what is refused there is refused with its own words."""

    class Report:
        progress = staticmethod(lambda phase, share: None)  # pyright: ignore
        seconds_left = staticmethod(lambda: float("inf"))

    monkeypatch.setattr(
        verifying,
        "run_in_child",
        lambda _, request, **how: probing.measured(request, Report()),  # pyright: ignore
    )
    return here


def check_refused(outcome: Outcome, status: int, words: str, kind: str) -> None:
    """One sentence on stderr, the same in the JSON on stdout, and the status."""
    assert outcome.status == status, outcome.err
    [sentence] = outcome.err.splitlines()
    assert sentence.startswith("lora-plan: ")
    assert words in sentence
    error = json.loads(outcome.out)["error"]
    assert error["message"] == sentence.removeprefix("lora-plan: ")
    assert error["kind"] == kind


def test_what_is_as_planned_is_done(here: Here) -> None:
    done = here()
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith("WITHIN 5%   ")
    [measurement] = here.records
    assert "  - stored as record " in done.out
    assert measurement.run == here.asked[0].run


def test_what_is_outside_the_tolerance_is_not_met(here: Here) -> None:
    here.factor = 1.02
    assert here("--no-record").status == 0
    done = here("--tolerance", "1%")
    assert done.status == 1
    assert done.out.startswith("OUTSIDE 1%   ")
    # an outside verdict is of a measurement like any other
    assert len(here.records) == 1


def test_as_json(here: Here) -> None:
    done = here("--json")
    assert (done.status, done.err) == (0, "")
    document = json.loads(done.out)
    assert document["verdict"] == "within"
    assert document["record"].startswith("record ")
    assert document["not_simulated_because"] is None


def test_without_a_run_a_small_one_is_verified_and_that_is_said(here: Here) -> None:
    done = call("verify", "--no-simulate", "--no-record")
    assert done.status == 0
    assert here.asked[0].run.model == DEFAULT_MODEL
    said = " ".join(done.out.partition("Notes\n")[2].split())
    assert said.startswith("- no run was given, so this is a small one; name yours: lora-plan verify --model llama-8b")
    # the example works as it stands
    assert call("--model", "llama-8b", "--method", "qlora", "--json").status == 0
    assert "no run was given" not in here().out


def test_options_reach_the_measurement(here: Here) -> None:
    here("--device", "cpu", "--slice", "--max-steps", "5")
    assert (here.asked[0].device, here.asked[0].slices, here.asked[0].steps) == ("cpu", True, 3)
    here("--no-slice")
    assert (here.asked[1].slices, here.asked[1].steps) == (False, 8)
    here()
    assert here.asked[2].slices is None


def test_nothing_is_kept_where_that_is_asked_for(here: Here) -> None:
    done = here("--no-record")
    assert done.status == 0
    assert "stored as" not in done.out
    assert not (here.folder / "records").exists()


def test_a_run_is_written_and_verified_from_its_file(here: Here) -> None:
    file = str(here.folder / "run.yaml")
    assert here("--rank", "4", "--save-run", file).status == 0
    assert call("verify", "--run", file, "--no-simulate").status == 0
    first, second = here.asked
    assert first.run == second.run
    assert first.run.rank == 4


def test_for_another_card_memory_is_held_to_its_plan(here: Here) -> None:
    done = here("--for", "h100")
    assert done.status == 0
    said = " ".join(done.out.split())
    assert " LoRA for H100-SXM on AMD EPYC 7B13, measured " in said
    assert "memory carries over, time does not" in said


def test_the_simulation_is_made_as_simulate_makes_it(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    def simulated(run: TrainingRun, card: Any, **how: Any) -> Any:
        here.simulated.append((run, card))
        from planner.errors import Abstention

        assert how == {"quiet": True, "live": True}
        raise Abstention("there are no layers", way_out="")

    monkeypatch.setattr("lora_plan.simulating.simulated", simulated)
    document = json.loads(here("--json", simulate=True).out)
    assert here.simulated == [(here.asked[0].run, None)]
    assert document["not_simulated_because"] == "there are no layers"


def test_a_loss_that_is_not_finite_is_said_and_decides_nothing(here: Here) -> None:
    here.others |= {"loss": float("nan"), "notes": ("a loss was not a finite number (nan)",)}
    done = here()
    assert done.status == 0
    assert "which is not finite: look at the learning" in done.out
    document = json.loads(here("--json").out)
    assert (document["loss"], document["loss_is_finite"]) == (None, False)


def test_memory_that_ran_out_is_a_result(here: Here) -> None:
    here.others |= {"outcome": "out_of_memory", "out_of_memory": replace(FAILED, capacity_bytes=2**40), "memory": None}
    done = here()
    assert done.status == 1
    assert done.out.startswith("OUT OF MEMORY, not foreseen   ")


def test_a_process_without_a_result_is_status_1(here: Here) -> None:
    here.ends = NotMeasured("the process that measured was killed while warming up, after 3 s")
    check_refused(here("--json"), 1, "was killed while warming up", "not_measured")
    assert not (here.folder / "records").exists()


def test_ctrl_c_is_130_and_says_nothing(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(verifying, "run_in_child", interrupted)
    assert here("--json") == Outcome(130, "", "")


class TestBadInput:
    """One sentence each, before anything is measured or written."""

    @pytest.mark.parametrize(
        ("argv", "words", "kind"),
        [
            (["--max-usd", "1"], "--max-usd needs the price of this machine; say with --usd-per-hour", "input"),
            *(
                (["--max-usd", text, "--usd-per-hour", "2"], "--max-usd must be more than $0", "input")
                for text in ("0", "-1", "nan", "1e999")
            ),
            (["--max-usd", "abc"], "--max-usd must be an amount in US dollars, such as 0.50, not 'abc'", "input"),
            (["--max-usd", "1", "--usd-per-hour", "0"], "--usd-per-hour must be more than $0", "input"),
            *(
                (["--tolerance", text], f"--tolerance must be a share, such as 5% or 0.05, not '{text}'", "input")
                for text in ("abc", "-1", "500%", "nan", "")
            ),
            (["--max-steps", "1"], "--max-steps must be a whole number from 2 (both warm up", "input"),
            (["--max-steps", "2.5"], "--max-steps must be a whole number, such as 10, not '2.5'", "input"),
            (["--max-steps", "1e9"], "from 2 (both warm up, and none is timed) to 10,000", "input"),
            (["--max-seconds", "abc"], "--max-seconds must be a number of seconds, such as 120", "input"),
            (["--max-seconds", "nan"], "--max-seconds must be more than 0 and at most 86,400", "input"),
            (["--weights", "nowhere"], "'nowhere' is no folder; give the folder of a downloaded model", "input"),
            (["--for", "nocard"], "GPU 'nocard' is not known", "input"),
            (["--run", "nowhere.yaml"], "cannot read nowhere.yaml", "input"),
            (["--yes"], "--yes is for --launch; leave it out", "usage"),
            (["--spot"], "--spot is for --launch; leave it out", "usage"),
            (["--provider", "runpod"], "--provider is for --launch; leave it out", "usage"),
            (["--doctor"], "--doctor measures nothing; leave out --model", "usage"),
            (["--device"], "option '--device' needs a value", "usage"),
            (["--save-run", "/nowhere/run.yaml"], "cannot write /nowhere/run.yaml", "input"),
        ],
        ids=lambda value: " ".join(value) if isinstance(value, list) else None,  # pyright: ignore
    )
    def test_of_the_command(self, argv: list[str], words: str, kind: str, here: Here) -> None:
        check_refused(here("--json", *argv), 2, words, kind)
        assert not here.asked

    def test_nothing_is_written_before_the_bounds_are_right(self, here: Here) -> None:
        file = here.folder / "run.yaml"
        assert here("--save-run", str(file), "--tolerance", "500%").status == 2
        assert not file.exists()

    @pytest.mark.parametrize(
        ("content", "words"),
        [('{"model_type": "llama",', "is not JSON"), ('{"model_type": "llama", "hidden_size": -3}', "is -3; write")],
    )
    def test_of_a_config(self, content: str, words: str, here: Here) -> None:
        file = here.folder / "broken.json"
        file.write_text(content)
        check_refused(here("--json", model=str(file)), 2, words, "input")
        assert not here.asked

    def test_of_a_model(self, here: Here) -> None:
        check_refused(here("--json", model="no-such-model"), 2, "model 'no-such-model' is not known", "input")
        assert not here.asked

    @pytest.mark.parametrize(
        ("argv", "words", "kind"),
        [
            (["--device", "tpu"], "device 'tpu' is not known; give one of cuda, xpu, mps, cpu", "input"),
            (["--device", "cpu", "--gpus", "2"], "not measured yet; verify one of them with --gpus 1", "abstained"),
            (["--device", "cpu", "--quantization", "gptq"], "gptq is not measured", "abstained"),
            (["--device", "cpu", "--kernels", "unsloth"], "unsloth is not measured", "abstained"),
            (["--device", "cpu", "--kernels", "liger"], "do not run on a CPU; use --kernels hf", "abstained"),
        ],
    )
    def test_of_a_run_that_is_not_measured(self, argv: list[str], words: str, kind: str, measuring: Here) -> None:
        check_refused(measuring("--json", *argv), 2, words, kind)
        assert not (measuring.folder / "records").exists()

    @pytest.mark.parametrize("cards", [None, ""])
    @pytest.mark.parametrize(
        ("driver", "words"),
        [
            (None, "there is no NVIDIA or AMD driver here"),
            ("NVIDIA driver 580.95.05", "is a build without CUDA, though the NVIDIA driver 580.95.05 is here; install"),
        ],
    )
    def test_cuda_where_there_is_none(
        self, driver: str | None, words: str, cards: str | None, measuring: Here, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import torch

        if torch.version.cuda or torch.version.hip:
            pytest.skip("torch is built for GPUs here")
        monkeypatch.setattr("profiler.measure.device.no_cuda.gpu_driver", lambda: driver)
        if cards is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", cards)
        check_refused(measuring("--json", "--device", "cuda"), 3, words, "no_device")

    def test_quantization_that_bitsandbytes_cannot_do_here(
        self, measuring: Here, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("profiler.doctor.libraries.no_bitsandbytes", "no kernels for {}".format)
        done = measuring("--json", "--device", "cpu", "--method", "qlora")
        check_refused(done, 3, "no kernels for cpu", "no_device")


class TestPlacesThatCannotBeWritten:
    """The result is printed all the same, and the status is the verdict's."""

    @pytest.mark.parametrize("place", ["folder", "below a file", "full"])
    def test_records(self, place: str, here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
        if place == "full" and not Path("/dev/full").exists():
            pytest.skip("this system has no full disk to hand")
        (here.folder / "file").touch()
        where = {"folder": here.folder, "below a file": here.folder / "file" / "records", "full": "/dev/full"}[place]
        monkeypatch.setenv("LORA_PLAN_RECORDS", str(where))
        done = here("--json")
        assert done.status == 0
        document = json.loads(done.out)
        assert (document["verdict"], document["record"]) == ("within", None)
        [sentence] = done.err.splitlines()
        assert "cannot be written" in sentence
        assert "set LORA_PLAN_RECORDS to another file" in sentence
        here.factor = 2.0
        assert here().status == 1

    def test_a_home_that_nothing_can_be_written_in(self, here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
        (here.folder / "file").touch()
        for name in ("LORA_PLAN_RECORDS", "LORA_PLAN_CACHE", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HOME", str(here.folder / "file"))
        done = here("--json")
        assert done.status == 0
        assert json.loads(done.out)["verdict"] == "within"
        lock, record = done.err.splitlines()
        assert "set LORA_PLAN_CACHE to another folder" in lock
        assert "set LORA_PLAN_RECORDS to another file" in record

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a full disk")
    def test_an_output_that_cannot_be_written_keeps_the_record(
        self, here: Here, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from lora_plan.__main__ import main

        with Path("/dev/full").open("w") as full, Path(os.devnull).open("w") as nowhere:
            monkeypatch.setattr("sys.stdout", full)
            monkeypatch.setattr("sys.stderr", nowhere)
            status = main(["verify", "--model", str(here.folder / "config.json"), "--no-simulate"])
            monkeypatch.undo()
        assert status == 2
        assert len(here.records) == 1


class TestRenting:
    """A task is written; nothing is bought without --yes, which tests/lora_plan/test_launch.py is about."""

    def test_a_task_is_written(self, here: Here) -> None:
        done = rented(here, "--for", "l40s")
        assert (done.status, done.err) == (0, "")
        assert "Nothing is bought without --yes" in done.out
        assert not here.asked
        assert {file.name for file in (here.folder / "task").iterdir()} == {"task.yaml", "run.yaml", "config.json"}

    def test_as_json(self, here: Here) -> None:
        document = json.loads(rented(here, "--for", "l40s", "--json").out)
        assert document["gpu"] == "L40S"

    @pytest.mark.parametrize(
        ("argv", "words", "kind"),
        [
            ([], "--launch needs the card to rent; name it with --for", "usage"),
            *(
                (["--for", "l40s", *more], f"{more[0]} is not for --launch; leave it out", "usage")
                for more in (
                    ["--device", "cpu"],
                    ["--slice"],
                    ["--no-record"],
                    ["--no-simulate"],
                    ["--weights", "w"],
                    ["--tolerance", "1%"],
                    ["--usd-per-hour", "2"],
                )
            ),
            *(
                (["--for", "l40s", "--max-usd", text], "--max-usd must be more than $0", "input")
                for text in ("nan", "0", "-1", "1e999")
            ),
            (["--for", "l40s", "--max-usd", "0.01"], "--max-usd 0.01 does not pay", "input"),
            (["--for", "l40s", "--provider", "nobody"], "nobody", "input"),
        ],
        ids=lambda value: " ".join(value) if isinstance(value, list) else None,  # pyright: ignore
    )
    def test_what_is_refused(self, argv: list[str], words: str, kind: str, here: Here) -> None:
        check_refused(rented(here, *argv, "--json"), 2, words, kind)
        assert not (here.folder / "task").exists()

    def test_a_folder_that_is_a_file(self, here: Here) -> None:
        (here.folder / "task").touch()
        done = rented(here, "--for", "l40s", "--json")
        check_refused(done, 2, "the task cannot be written to", "input")


def rented(here: Here, *argv: str) -> Outcome:
    return call("verify", "--model", str(here.folder / "config.json"), "--launch", str(here.folder / "task"), *argv)


def test_the_doctor_measures_nothing(here: Here) -> None:
    done = call("verify", "--doctor", "--json")
    assert (done.status, done.err) == (0, "")
    assert {"findings", "libraries", "cards"} <= json.loads(done.out).keys()
    assert call("verify", "--doctor").out.startswith("Findings\n")
    assert not here.asked


def test_the_help_has_every_option() -> None:
    done = call("verify", "--help")
    assert done.status == 0
    for option in OPTIONS[len(RUN_OPTIONS) :]:
        assert option.flag.removeprefix("--") in done.out
