"""`--config` on the commands that take a run: all of them read the same run, and say what it does not count."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from planner.run import TrainingRun, read_run
from profiler import verify as verifying
from profiler.documents import to_document
from tests.lora_plan.cli import call
from tests.lora_plan.test_simulate_real import CONFIG as TINY
from tests.reports.simulations import SIMULATIONS
from tests.reports.verifications import time_of
from tests.support.measured import as_planned

SFT = """\
model_name_or_path: meta-llama/Llama-3.2-1B
use_peft: true
lora_r: 8
lora_target_modules: all-linear
max_length: 512
per_device_train_batch_size: 2
num_train_epochs: 2
learning_rate: 2.0e-4
torch_compile: true
"""
ACCELERATE = """\
compute_environment: LOCAL_MACHINE
distributed_type: MULTI_GPU
mixed_precision: bf16
num_machines: 1
num_processes: 2
"""
ZERO = '{"zero_optimization": {"stage": 2, "overlap_comm": true}, "bf16": {"enabled": true}}'
BY_HAND: dict[str, Any] = {
    "model": "meta-llama/Llama-3.2-1B",
    "method": "lora",
    "rank": 8,
    "alpha": 32,
    "dropout": 0.05,
    "target_modules": "all-linear",
    "base_dtype": "float32",
    "mixed_precision": "bf16",
    "optimizer": "adamw_torch_fused",
    "micro_batch_size": 2,
    "gradient_accumulation_steps": 1,
    "sequence_length": 512,
    "packing": False,
    "eval_batch_size": 0,
    "gradient_checkpointing": True,
    "use_reentrant": False,
}
"""`SFT` with TRL's defaults, as a person would write the run."""
WRITTEN = TrainingRun(**BY_HAND)
JOB = ("--examples", "1k", "--tokens", "300k")
WARNING = "torch_compile true (compiled graphs keep other tensors)"


def not_searched(*_: object) -> str:
    return "Other ways were not searched."


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with a config, a day that stands still, and no records of anybody's."""
    (tmp_path / "sft.yaml").write_text(SFT)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("LORA_PLAN_RECORDS", str(tmp_path / "records"))
    monkeypatch.setenv("LORA_PLAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("lora_plan.today.today", lambda: date(2026, 11, 22))
    monkeypatch.setattr("reports.cost_report.other_ways.other_ways", not_searched)
    return tmp_path


@pytest.fixture
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Something in the place of what simulates and of what measures."""

    def simulated(run: TrainingRun, *_: object, **__: object) -> Any:
        return replace(SIMULATIONS["fits"]()[0], run=run)

    def measured(_: str, request: Any, **__: object) -> dict[str, object]:
        return to_document(as_planned(TrainingRun(**request["run"]), time=time_of(*[1.0] * 8, mfu=None, hfu=None)))

    monkeypatch.setattr("profiler.simulate.simulate.simulate", simulated)
    monkeypatch.setattr(verifying, "run_in_child", measured)


def plan(*argv: str) -> dict[str, Any]:
    outcome = call("--gpu", "l4", *argv, "--json")
    assert outcome.status == 0, outcome.err
    return json.loads(outcome.out)


def refused(*argv: str) -> str:
    """The sentence that says what is wrong."""
    outcome = call(*argv)
    assert outcome.status == 2, outcome.out
    (sentence,) = outcome.err.splitlines()
    return sentence.removeprefix("lora-plan: ")


def by_hand(**otherwise: object) -> dict[str, Any]:
    """The run of a person who writes it, as a plan has it in JSON."""
    Path("by_hand.json").write_text(json.dumps({**BY_HAND, **otherwise}))
    return plan("--run", "by_hand.json")["run"]


class TestOnEveryCommand:
    @pytest.mark.usefixtures("stand_ins")
    def test_gives_the_same_run(self) -> None:
        wanted = by_hand()
        for argv in (
            ("--gpu", "l4"),
            ("simulate", "--gpu", "l4"),
            ("verify", "--no-simulate", "--no-record"),
        ):
            outcome = call(*argv, "--config", "sft.yaml", "--json")
            assert outcome.status == 0, outcome.err
            assert json.loads(outcome.out)["run"] == wanted, argv

    def test_is_saved_as_that_run(self) -> None:
        assert call("--config", "sft.yaml", "--save-run", "run.yaml").status == 0
        assert read_run("run.yaml") == WRITTEN

    def test_gives_report_that_run(self) -> None:
        written = call("report", "--config", "sft.yaml", "--gpu", "l4", *JOB).out
        run_file = re.search(r"```yaml\n(.*?)```", written, re.DOTALL)
        assert run_file is not None
        Path("again.yaml").write_text(run_file[1])
        assert read_run("again.yaml") == WRITTEN
        assert "--epochs 2" in written.rpartition("```bash")[2]

    def test_leaves_recommend_and_sweep_what_they_search(self) -> None:
        given = ("--config", "sft.yaml", *JOB, "--gpu", "l4", "--gpus", "1")
        found = json.loads(call("recommend", *given, "--json").out)
        assert found["job"]["epochs"] == 2.0
        assert {entry["run"]["rank"] for entry in found["frontier"]} == {8}
        swept = call("sweep", *given, "--output", "plans.csv")
        assert swept.status == 0
        assert f"lora-plan: not counted: {WARNING}\n" in swept.err
        with Path("plans.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert {(row["sequence_length"], row["micro_batch_size"]) for row in rows} == {("512", "2")}
        assert len({row["kernels"] for row in rows}) > 1  # which the trainer has by default, and no line of the file

    @pytest.mark.usefixtures("stand_ins")
    @pytest.mark.parametrize(
        "argv",
        [
            ("--gpu", "l4"),
            ("simulate", "--gpu", "l4"),
            ("verify", "--no-simulate", "--no-record"),
            ("recommend", "--gpu", "l4", *JOB),
            ("report", "--gpu", "l4", *JOB),
        ],
        ids=lambda argv: argv[0],
    )
    def test_says_what_is_not_counted_before_anything_else(self, argv: tuple[str, ...]) -> None:
        outcome = call(*argv, "--config", "sft.yaml")
        assert outcome.status == 0, outcome.err
        text = outcome.out.replace("\\_", "_").replace("**", "").lower()
        at = text.find(f"not counted: {WARNING.lower()}")
        assert 0 <= at < 1000, outcome.out[:1500]

    def test_says_so_in_check_too(self, folder: Path) -> None:
        (folder / "lora-plan.limits.yaml").write_text(
            "gpu: l4\nlimits: {memory_gib: 20}\nruns:\n  - config: sft.yaml\n"
        )
        outcome = call("check", "--json")
        assert outcome.status == 0, outcome.err
        assert "torch_compile" in outcome.out

    def test_says_which_line_names_a_model_that_is_not_known(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        (folder / "sft.yaml").write_text(SFT.replace("meta-llama/Llama-3.2-1B", "nobody/has-such-a-model"))
        refused = call("--config", "sft.yaml")
        assert refused.err.startswith("lora-plan: sft.yaml: model_name_or_path: model 'nobody/has-such-a-model' is not")
        assert call("--config", "sft.yaml", "--model", "llama-3.2-1b").status == 0

    def test_is_no_reason_to_say_a_thing_twice(self) -> None:
        keys = [setting["key"] for setting in plan("--config", "sft.yaml")["config"]["files"][0]["understood"]]
        assert len(keys) == len(set(keys))


class TestSeveralFiles:
    @pytest.fixture(autouse=True)
    def others(self, folder: Path) -> None:
        (folder / "accelerate.yaml").write_text(ACCELERATE)
        (folder / "zero.json").write_text(ZERO)

    def test_are_laid_together(self) -> None:
        found = plan("--config", "sft.yaml", "--config", "accelerate.yaml")
        assert found["run"] == by_hand(num_gpus=2, strategy="ddp")
        assert [file["format"] for file in found["config"]["files"]] == ["trl", "accelerate"]

    def test_whose_strategy_is_not_planned_say_what_is(self) -> None:
        three = ("--config", "sft.yaml", "--config", "accelerate.yaml", "--config", "zero.json")
        assert "zero2" in refused("--gpu", "l4", *three)
        run = plan(*three, "--strategy", "ddp")["run"]
        # the engine casts the model, and there is no autocast
        assert (run["num_gpus"], run["base_dtype"], run["mixed_precision"]) == (2, "bfloat16", "no")

    def test_settle_what_one_of_them_leaves_open(self, folder: Path) -> None:
        (folder / "args.yaml").write_text("per_device_train_batch_size: 2\nnum_train_epochs: 1\nbf16: true\n")
        (folder / "adapter_config.json").write_text(
            '{"peft_type": "LORA", "base_model_name_or_path": "meta-llama/Llama-3.2-1B", "r": 4, "lora_alpha": 8,'
            ' "target_modules": ["q_proj"]}'
        )
        found = plan("--config", "args.yaml", "--config", "adapter_config.json")
        assert found["run"]["target_modules"] == ["q_proj"]
        assert [setting["key"] for setting in found["config"]["uncounted"]] == ["max_length"]
        typed = plan("--config", "args.yaml", "--config", "adapter_config.json", "--seq-len", "256")
        assert typed["config"]["uncounted"] == []

    def test_that_contradict_each_other_are_refused(self, folder: Path) -> None:
        (folder / "other.yaml").write_text(SFT.replace("lora_r: 8", "lora_r: 16"))
        said = refused("--config", "sft.yaml", "--config", "other.yaml", "--gpu", "l4")
        assert said == ("sft.yaml has lora_r for rank 8, and other.yaml lora_r for 16; correct one of them")


class TestFlags:
    def test_go_over_the_file(self) -> None:
        found = plan("--config", "sft.yaml", "--rank", "64", "--seq-len", "1024", "--no-gradient-checkpointing")
        wanted = by_hand(rank=64, sequence_length=1024, gradient_checkpointing=False, use_reentrant=None)
        assert found["run"] == wanted
        assert found["config"]["overridden"] == ["lora_r", "max_length"]

    def test_leave_no_field_without_a_meaning(self) -> None:
        run = plan("--config", "sft.yaml", "--method", "full")["run"]
        assert (run["method"], run["rank"]) == ("full", None)

    def test_go_over_its_job(self) -> None:
        assert plan("--config", "sft.yaml", *JOB)["time"]["job"]["epochs"] == 2.0
        assert plan("--config", "sft.yaml", *JOB, "--epochs", "3")["time"]["job"]["epochs"] == 3.0

    def test_name_the_model_that_a_file_does_not(self, folder: Path) -> None:
        (folder / "sft.yaml").write_text(SFT.replace("meta-llama/Llama-3.2-1B", "${MODEL}"))
        left_open = "sft.yaml leaves model_name_or_path to '${MODEL}'; name the model with --model"
        assert refused("--config", "sft.yaml") == left_open
        found = plan("--config", "sft.yaml", "--model", "llama-3.2-1b")
        assert "model_name_or_path" not in [setting["key"] for setting in found["config"]["uncounted"]]

    def test_of_a_run_file_are_not_beside_it(self) -> None:
        said = refused("--config", "sft.yaml", "--run", "run.yaml")
        assert said == "--run and --config both give the run; give one of them"


class TestItsFormat:
    BOTH = "base_model: meta-llama/Llama-3.2-1B\nadapter: lora\ndatasets: []\nfinetuning_type: lora\ncutoff_len: 64\n"

    def test_is_said_where_two_match(self, folder: Path) -> None:
        (folder / "both.yaml").write_text(self.BOTH)
        found = plan("--config", "both.yaml")
        assert found["config"]["files"][0]["format"] == "axolotl"
        (note,) = [note for note in found["notes"] if "both.yaml" in note]
        assert note.startswith("both.yaml is read as Axolotl (base_model, ")
        assert note.endswith("; --config-format llamafactory reads it so")

    def test_can_be_forced(self, folder: Path) -> None:
        (folder / "both.yaml").write_text(self.BOTH)
        found = plan("--config", "both.yaml", "--config-format", "LLaMA-Factory", "--model", "llama-3.2-1b")
        assert found["config"]["files"][0]["format"] == "llamafactory"
        assert found["run"]["sequence_length"] == 64

    def test_is_one_of_those_that_are_read(self) -> None:
        said = refused("--config", "sft.yaml", "--config-format", "axolot")
        assert said.startswith("--config-format must be one of run, torchtune, axolotl, ")
        assert said.endswith("did you mean 'axolotl'?")
        assert "name its file with --config" in refused("--config-format", "trl", "--model", "llama-8b")

    def test_is_told_by_content_whatever_the_file_is_called(self, folder: Path) -> None:
        (folder / "ds.yaml").write_text(ZERO)
        found = plan("--config", "ds.yaml", "--model", "llama-3.2-1b")
        assert found["config"]["files"][0]["format"] == "deepspeed"

    def test_may_be_that_of_a_run_file(self, folder: Path) -> None:
        (folder / "run.yaml").write_text("model: llama-3.2-1b\nmethod: lora\nrank: 4\n")
        assert plan("--config", "run.yaml")["run"] == plan("--run", "run.yaml")["run"]


class TestFromAnotherFolder:
    def test_paths_are_found_beside_the_config(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (folder / "there" / "model").mkdir(parents=True)
        (folder / "there" / "model" / "config.json").write_text(json.dumps(TINY))
        (folder / "there" / "zero.json").write_text(ZERO)
        (folder / "there" / "sft.yaml").write_text(
            SFT.replace("meta-llama/Llama-3.2-1B", "./model") + "deepspeed: zero.json\n"
        )
        here = plan("--config", "there/sft.yaml")
        assert here["run"]["base_dtype"] == "bfloat16"
        assert any("zero.json is read with it, which deepspeed names" in note for note in here["notes"])
        monkeypatch.chdir(folder / "there")
        there = plan("--config", "sft.yaml")
        assert there["memory"] == here["memory"]


class TestWhatIsWrong:
    @pytest.mark.parametrize(
        ("name", "content", "said"),
        [
            ("a.yaml", SFT.replace("lora_r: 8", "lora_r: eight"), "a.yaml: lora_r: rank must be a whole number from "),
            ("a.yaml", SFT.replace("bf16", "x") + "bf16: maybe\n", "a.yaml: bf16 must be true or false, not 'maybe'"),
            (
                "a.yaml",
                "optim: adamw_torch\n",
                "a.yaml has nothing by which a trainer's config is known; name it with ",
            ),
            ("a.yaml", SFT + "optim: adamw_9\n", "a.yaml: optim: optimizer must be "),
            ("a.yaml", "", "a.yaml is empty; give the config of a run"),
            ("a.yaml", "a: &a [*a]\n", "a.yaml, line 1: cannot be read: "),
            ("a.yaml", "a: !!python/object/apply:os.abort []\n", "a.yaml, line 1: cannot be read: the tag "),
            ("a.yaml", SFT + "data: !include data.yaml\n", "a.yaml, line 10: cannot be read: the tag '!include' "),
            ("a.yaml", SFT + "lora_r: 16\n", "a.yaml, line 10: cannot be read: 'lora_r' is given twice"),
            ("a.yaml", SFT + "---\n" + SFT, "a.yaml, line 10: cannot be read: expected a single document"),
            ("a.yaml", "\tlora_r: 8\n", "a.yaml, line 1: cannot be read: "),
            (
                "a.json",
                '{"use_peft": true, "lora_r": NaN}',
                "a.json holds NaN, which is not JSON; write a finite number",
            ),
            ("a.json", "[1, 2]", "a.json must hold a mapping of settings, or a command line, not a list; give "),
            (
                "a.toml",
                'model = "llama-8b"\n',
                "a.toml is TOML, which none of the trainers has; give a run file with --run",
            ),
            (
                "train.py",
                "import trl\n",
                "train.py is a program, which is not run; give the command line that starts it ",
            ),
            ("a.sh", "trl sft --config 'sft.yaml\n", "a.sh: the command in it cannot be read (No closing quotation)"),
        ],
    )
    def test_is_said_with_the_file_and_the_key(self, name: str, content: str, said: str, folder: Path) -> None:
        (folder / name).write_text(content)
        assert refused("--config", name, "--gpu", "l4").startswith(said)

    def test_is_json_where_that_is_asked_for(self, folder: Path) -> None:
        (folder / "sft.yaml").write_text(SFT.replace("lora_r: 8", "lora_r: eight"))
        outcome = call("--config", "sft.yaml", "--json")
        error = json.loads(outcome.out)["error"]
        assert (outcome.status, error["field"], error["kind"]) == (2, "rank", "input")

    def test_is_over_where_a_flag_goes_over_it(self, folder: Path) -> None:
        (folder / "sft.yaml").write_text(SFT.replace("lora_r: 8", "lora_r: eight"))
        assert plan("--config", "sft.yaml", "--rank", "8")["run"]["rank"] == 8


class TestWhatIsNotKnown:
    def test_of_a_future_version_is_a_warning(self, folder: Path) -> None:
        (folder / "sft.yaml").write_text(SFT + "quantum_attention: 9\nnew: {deep: {x: 1}}\nnew_but_off: false\n")
        keys = [setting["key"] for setting in plan("--config", "sft.yaml")["config"]["uncounted"]]
        assert {"quantum_attention", "new"} <= set(keys)
        assert "new_but_off" not in keys

    def test_of_an_anchor_is_what_it_is_merged_into(self, folder: Path) -> None:
        (folder / "sft.yaml").write_text(
            "shared: &it\n  lora_r: &r 16\n  lora_alpha: *r\n<<: *it\n" + SFT.replace("lora_r: 8\n", "")
        )
        found = plan("--config", "sft.yaml")
        assert (found["run"]["rank"], found["run"]["alpha"]) == (16, 16)
        assert "shared" not in [setting["key"] for setting in found["config"]["uncounted"]]

    def test_shows_no_secret_and_no_control_characters(self, folder: Path) -> None:
        (folder / "sft.yaml").write_text(SFT + 'hub_token: hf_secret\nmy_api_key: secret\n"\\e[2Jevil": "\\e[31m"\n')
        outcome = call("--config", "sft.yaml", "--gpu", "l4")
        assert (outcome.status, "secret" in outcome.out, "\x1b" in outcome.out) == (0, False, False)
        assert "secret" not in json.dumps(plan("--config", "sft.yaml"))
