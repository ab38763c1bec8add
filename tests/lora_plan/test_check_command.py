"""`lora-plan check`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from markdown_it import MarkdownIt

from tests.lora_plan.cli import call

LIMITS = """\
gpu: rtx4090
job: {examples: 1800, tokens: 1M, epochs: 3}
limits: {memory_gib: 22, headroom: 10%, budget_usd: 20, deadline: 12h}
runs:
  - run: runs/sft.yaml
"""
RUN = "model: llama-3.2-1b\nmethod: qlora\n"


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a limits file and a run that is within its limits."""
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/sft.yaml").write_text(RUN)
    (tmp_path / "lora-plan.limits.yaml").write_text(LIMITS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    return tmp_path


def test_a_run_within_its_limits_passes() -> None:
    outcome = call("check")
    assert outcome.status == 0, outcome.err
    lines = outcome.out.splitlines()
    assert lines[0] == "runs/sft.yaml on RTX4090"
    assert [line.split()[:2] for line in lines if line.startswith("  ok ")] == [
        ["ok", f"{name}:"] for name in ("verdict", "memory_gib", "headroom", "budget_usd", "deadline")
    ]
    assert lines[-1].strip() == "1 run within its limits"


def test_a_broken_limit_is_status_1(project: Path) -> None:
    (project / "runs/sft.yaml").write_text(RUN + "micro_batch_size: 64\n")
    outcome = call("check")
    assert outcome.status == 1
    assert "broken  verdict: does not fit RTX4090" in outcome.out
    assert "1 run breaks its limits" in outcome.out


def test_its_figures_are_those_of_the_plan() -> None:
    plan = json.loads(call("--run", "runs/sft.yaml", "--gpu", "rtx4090", *JOB, "--json").out)
    (run,) = json.loads(call("check", "--json").out)["runs"]
    limits = {limit["name"]: limit for limit in run["limits"]}
    gib = 1024**3
    assert limits["memory_gib"]["expected"] * gib == plan["memory"]["peak_bytes"]["reserved"]
    assert limits["memory_gib"]["held"] * gib == plan["memory"]["interval_bytes"]["high"]
    assert limits["deadline"]["expected"] == plan["time"]["hours"]
    assert limits["deadline"]["held"] == plan["time"]["hours_interval"]["high"]
    assert run["run"] == plan["run"] and run["gpu"] == plan["gpu"]
    assert limits["budget_usd"]["held"] <= plan["offers"][0]["usd_interval"]["high"]


JOB = ("--examples", "1800", "--tokens", "1M", "--epochs", "3")


def test_a_run_that_cannot_be_read_is_status_2_and_does_not_end_it(project: Path) -> None:
    (project / "lora-plan.limits.yaml").write_text(LIMITS + "  - run: gone.yaml\n  - run: runs/sft.yaml\n    gpu: t5\n")
    outcome = call("check", "--junit", "check.xml")
    assert outcome.status == 2
    assert "gone.yaml" in outcome.err and "t5" in outcome.err
    assert "2 of 3 runs cannot be checked" in outcome.out
    root = ElementTree.parse(project / "check.xml").getroot()
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("7", "0", "2")


def test_a_plan_that_is_refused_breaks_its_limits(project: Path) -> None:
    (project / "runs/sft.yaml").write_text("model: qwen3-8b\nkernels: foak\n")
    outcome = call("check", "--json")
    assert outcome.status == 1
    (run,) = json.loads(outcome.out)["runs"]
    assert not run["ok"] and not run["refused"]
    assert all(not limit["ok"] and limit["text"].startswith("not answered: ") for limit in run["limits"])


def test_a_limit_that_cannot_be_checked_is_bad_input(project: Path) -> None:
    (project / "lora-plan.limits.yaml").write_text("gpu: t4\nlimits: {budget_usd: 5}\nruns: [{run: runs/sft.yaml}]\n")
    outcome = call("check")
    assert outcome.status == 2
    assert "budget_usd cannot be checked without a job" in outcome.err
    (project / "lora-plan.limits.yaml").write_text("runs: [{run: runs/sft.yaml}]\n")
    assert "verdict cannot be checked without a card; name it with gpu" in call("check").err


def test_files_may_be_named_and_are_told_by_their_content(project: Path) -> None:
    (project / "other.yaml").write_text("model: llama-3.2-1b\nmicro_batch_size: 64\n")
    outcome = call("check", "other.yaml", "runs/sft.yaml")
    assert outcome.status == 1
    assert "1 of 2 runs breaks its limits" in outcome.out
    assert "other.yaml on RTX4090" in outcome.out


def test_a_version_from_before_is_compared(project: Path) -> None:
    (project / "base/runs").mkdir(parents=True)
    (project / "base/runs/sft.yaml").write_text(RUN + "micro_batch_size: 2\n")
    (project / "runs/new.yaml").write_text(RUN)
    outcome = call("check", "runs/sft.yaml", "runs/new.yaml", "--base", "base", "--comment", "comment.md")
    assert outcome.status == 0, outcome.err
    assert "compared with before: -" in outcome.out and "not there before" in outcome.out
    comment = (project / "comment.md").read_text()
    assert comment.startswith("<!-- lora-plan check -->\n")
    assert "micro\\_batch\\_size" in comment or "`micro_batch_size`" in comment
    assert comment.count("<details>") == 3


def test_its_files_are_renewed_and_others_are_kept(project: Path) -> None:
    arguments = ("check", "--junit", "check.xml", "--comment", "comment.md")
    assert call(*arguments).status == call(*arguments).status == 0
    for option, name in (("--junit", "check.xml"), ("--comment", "comment.md")):
        (project / name).write_text("mine")
        outcome = call("check", option, name)
        assert outcome.status == 2 and "is not lora-plan's" in outcome.err
        assert (project / name).read_text() == "mine"


def test_a_comment_on_many_runs_stays_within_what_github_takes(project: Path) -> None:
    named = "".join(f"  - run: runs/{at:03}-{'x' * 150}.yaml\n" for at in range(300))
    (project / "lora-plan.limits.yaml").write_text(LIMITS + named)
    assert call("check", "--comment", "comment.md").status == 2
    comment = (project / "comment.md").read_text()
    assert len(comment) < 65_536
    assert "more runs are not listed" in comment


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--limits", "gone.yaml"), "cannot read gone.yaml"),
        (("--limits", "limits.txt"), "must end in .yaml, .yml, .toml or .json"),
        (("--base", "gone"), "'gone' is not a folder"),
        (("--junit", "gone/a.xml"), "'gone' is not a folder; make it"),
        (("--comment", "runs"), "'runs' is a folder"),
    ],
)
def test_bad_options_are_one_sentence(arguments: tuple[str, ...], said: str) -> None:
    outcome = call("check", *arguments, "--json")
    assert outcome.status == 2
    assert said in outcome.err and outcome.err.count("\n") == 1
    assert said in json.loads(outcome.out)["error"]["message"]


def test_without_a_limits_file_it_says_what_to_do(project: Path) -> None:
    (project / "lora-plan.limits.yaml").unlink()
    outcome = call("check", "runs/sft.yaml")
    assert outcome.status == 2
    assert "lora-plan.limits.yaml is not in this folder; write it, or name another file with --limits" in outcome.err


def test_names_cannot_break_the_terminal_or_the_comment(project: Path) -> None:
    name = "a\x1b[31m|<img src=x onerror=alert(1)>@all `x`.yaml"
    (project / name).write_text(RUN)
    outcome = call("check", name, "--comment", "comment.md", "--junit", "check.xml")
    assert outcome.status == 0, outcome.err
    assert "\x1b" not in outcome.out
    comment = (project / "comment.md").read_text()
    assert "\x1b" not in comment
    tokens = [inner for token in MarkdownIt().parse(comment) for inner in (token, *(token.children or ()))]
    html = "".join(token.content for token in tokens if token.type in ("html_inline", "html_block"))
    assert set(re.findall(r"<!?[^>]*>", html)) <= {
        "<!-- lora-plan check -->", "<details>", "</details>", "<summary>", "</summary>",
    }  # fmt: skip
    ElementTree.parse(project / "check.xml")


AXOLOTL = """\
base_model: meta-llama/Llama-3.2-1B
adapter: lora
lora_r: 32
lora_target_linear: true
sequence_len: 2048
micro_batch_size: 2
num_epochs: 2
torch_compile: true
datasets: [{path: x/y, type: alpaca}]
"""


def test_a_trainers_config_is_checked_and_what_it_leaves_uncounted_is_said(project: Path) -> None:
    (project / "axolotl.yaml").write_text(AXOLOTL)
    outcome = call("check", "axolotl.yaml", "--json", "--junit", "check.xml")
    assert outcome.status == 0, outcome.err
    (run,) = json.loads(outcome.out)["runs"]
    assert (run["run"]["rank"], run["run"]["sequence_length"]) == (32, 2048)
    assert "torch_compile" in run["uncounted"]
    output = ElementTree.parse(project / "check.xml").findtext("testsuite/system-out")
    assert output is not None and "not counted: torch_compile true" in output
    assert "not counted: torch_compile" in call("check", "axolotl.yaml").out


def test_a_card_of_unknown_speed_cannot_keep_a_deadline(project: Path) -> None:
    (project / "lora-plan.limits.yaml").write_text(LIMITS.replace("gpu: rtx4090", "gpu-memory: 24"))
    outcome = call("check", "--json")
    assert outcome.status == 1
    limits = {limit["name"]: limit for limit in json.loads(outcome.out)["runs"][0]["limits"]}
    assert limits["memory_gib"]["ok"] and not limits["deadline"]["ok"] and not limits["budget_usd"]["ok"]
    assert "How long a step takes is not planned" in limits["deadline"]["text"]
