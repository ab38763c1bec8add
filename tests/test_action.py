"""The GitHub Action and the pre-commit hook: what they say, and their scripts run in a repository of their own."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from planner.run import yaml_text
from tests.lora_plan.cli import ROOT

ACTION: dict[str, Any] = yaml_text.loads((ROOT / "action.yml").read_text(encoding="utf-8"))  # pyright: ignore
STEPS: list[dict[str, Any]] = ACTION["runs"]["steps"]
SCRIPTS = [step for step in STEPS if "run" in step]
MARK = "<!-- lora-plan check -->"
LIMITS = """\
gpu: rtx4090
runs:
  - run: sft.yaml
"""


def step(name: str) -> dict[str, Any]:
    return next(step for step in STEPS if step.get("name") == name)


def test_it_is_a_composite_action_with_the_inputs_that_its_steps_use() -> None:
    assert ACTION["runs"]["using"] == "composite"
    used = set(re.findall(r"inputs\.([a-z-]+)", json.dumps(STEPS)))
    assert used == set(ACTION["inputs"])
    assert all(set(each) == {"description", "default"} for each in ACTION["inputs"].values())


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script["name"])
def test_no_expression_is_written_into_a_script(script: dict[str, Any]) -> None:
    assert "${{" not in script["run"]
    assert script["shell"] == "bash"
    subprocess.run(["bash", "-n", "-c", script["run"]], check=True)


def test_only_the_step_that_comments_sees_the_token() -> None:
    assert [each["name"] for each in STEPS if "github.token" in json.dumps(each)] == ["Comment on the pull request"]


def test_it_installs_its_own_checkout() -> None:
    assert step("Install lora-plan")["run"].endswith('"$GITHUB_ACTION_PATH"')


def test_the_hook_runs_without_file_names() -> None:
    (hook,) = yaml_text.loads((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))  # pyright: ignore
    assert (hook["id"], hook["language"], hook["pass_filenames"]) == ("lora-plan-check", "python", False)
    for name in ("lora-plan.limits.yaml", "configs/a.yml", "a.toml", "b.json", "train.sh"):
        assert re.search(hook["files"], name)
    assert not re.search(hook["files"], "model.py")
    assert shlex.split(hook["entry"]) == ["lora-plan", "check"]


@dataclass
class Workflow:
    """A repository on a runner, and what the action's scripts left behind."""

    folder: Path
    env: dict[str, str]
    outputs: dict[str, str] = field(default_factory=dict)

    @property
    def repository(self) -> Path:
        return self.folder / "repository"

    def run(self, name: str, **env: str) -> subprocess.CompletedProcess[str]:
        """The script of one step, as GitHub runs `shell: bash`."""
        output = self.folder / "output"
        output.write_text("")
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step(name)["run"]],
            check=False,
            cwd=self.repository,
            env=self.env | env | {"GITHUB_OUTPUT": str(output)},
            capture_output=True,
            text=True,
            timeout=60,
        )
        self.outputs |= dict(line.partition("=")[::2] for line in output.read_text().splitlines())
        return done

    def check(self, limits: str = "lora-plan.limits.yaml", more: str = "") -> subprocess.CompletedProcess[str]:
        return self.run("Check", LIMITS=limits, BASE_FOLDER=self.outputs.get("folder", ""), MORE=more)

    def git(self, *words: str) -> str:
        done = subprocess.run(
            ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", *words],
            check=True,
            cwd=self.repository,
            env=self.env,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    def calls(self) -> list[list[str]]:
        """What `gh` was called with."""
        log = self.folder / "gh.log"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


@pytest.fixture
def workflow(tmp_path: Path) -> Workflow:
    """A runner with git, a `gh` that writes down how it is called, and a repository with a limits file."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    programs = tmp_path / "bin"
    programs.mkdir()
    script(programs / "lora-plan", f'exec {shlex.quote(sys.executable)} -m lora_plan "$@"')
    script(
        programs / "gh",
        f'{shlex.quote(sys.executable)} -c "import json, sys; print(json.dumps(sys.argv[1:]))" "$@" >>"$GH_LOG"',
        'if [ -n "$GH_FAILS" ]; then exit 1; fi',
        'case "$*" in *--paginate*) printf "%s" "$GH_FOUND" ;; esac',
    )
    (tmp_path / "runner").mkdir()
    env = {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH", "")))),
        "HOME": str(tmp_path),
        "GIT_CONFIG_NOSYSTEM": "1",
        "RUNNER_TEMP": str(tmp_path / "runner"),
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"),
        "GITHUB_REPOSITORY": "someone/project",
        "GH_LOG": str(tmp_path / "gh.log"),
        "GH_FAILS": "",
        "GH_FOUND": "",
        "LORA_PLAN_PRICES": os.devnull,
    }
    made = Workflow(tmp_path, env)
    made.repository.mkdir()
    (made.repository / "lora-plan.limits.yaml").write_text(LIMITS)
    (made.repository / "sft.yaml").write_text("model: llama-3.2-1b\nmethod: qlora\n")
    made.git("init", "--quiet")
    made.git("add", ".")
    made.git("commit", "--quiet", "-m", "base")
    return made


def script(path: Path, *lines: str) -> None:
    path.write_text("\n".join(("#!/usr/bin/env bash", *lines)) + "\n")
    path.chmod(0o755)


def test_a_pull_request_is_checked_compared_and_commented_on(workflow: Workflow) -> None:
    base = workflow.git("rev-parse", "HEAD")
    (workflow.repository / "sft.yaml").write_text("model: llama-3.2-1b\nmethod: lora\nmicro_batch_size: 64\n")
    assert workflow.run("Check out the base", BASE=base).returncode == 0
    assert (Path(workflow.outputs["folder"]) / "sft.yaml").read_text().endswith("qlora\n")
    done = workflow.check()
    assert done.returncode == 0, done.stderr
    assert workflow.outputs["status"] == "1"
    assert "no longer fits RTX4090" in done.stdout
    comment = Path(workflow.outputs["comment"]).read_text()
    assert comment.startswith(MARK) and "no longer fits RTX4090" in comment
    assert (workflow.folder / "summary.md").read_text() == comment
    posted = workflow.run("Comment on the pull request", NUMBER="7", COMMENT=workflow.outputs["comment"])
    assert posted.returncode == 0, posted.stderr
    comments = "repos/someone/project/issues/7/comments"
    looked, made = workflow.calls()
    assert looked[:3] == ["api", "--paginate", comments] and MARK in looked[-1]
    assert made == ["api", "--silent", "--method", "POST", comments, "--field", f"body=@{workflow.outputs['comment']}"]
    assert workflow.run("Say how it went", STATUS=workflow.outputs["status"]).returncode == 1


def test_one_comment_is_kept_up_to_date(workflow: Workflow) -> None:
    workflow.env["GH_FOUND"] = "11\n12\n"
    workflow.check()
    workflow.run("Comment on the pull request", NUMBER="7", COMMENT=workflow.outputs["comment"])
    assert workflow.calls()[1][3:5] == ["PATCH", "repos/someone/project/issues/comments/11"]


def test_without_the_permission_to_comment_it_warns(workflow: Workflow) -> None:
    workflow.env["GH_FAILS"] = "1"
    workflow.check()
    done = workflow.run("Comment on the pull request", NUMBER="7", COMMENT=workflow.outputs["comment"])
    assert done.returncode == 0
    assert "::warning::lora-plan could not comment" in done.stdout


def test_within_the_limits_it_passes(workflow: Workflow) -> None:
    assert workflow.check().returncode == 0
    assert workflow.outputs["status"] == "0"
    assert workflow.run("Say how it went", STATUS="0").returncode == 0


def test_a_missing_limits_file_fails_without_a_comment(workflow: Workflow) -> None:
    done = workflow.check(limits="gone.yaml")
    assert (done.returncode, workflow.outputs["status"]) == (0, "2")
    assert "cannot read gone.yaml" in done.stderr
    workflow.run("Comment on the pull request", NUMBER="7", COMMENT=workflow.outputs["comment"])
    assert workflow.calls() == []


def test_inputs_are_words_and_never_run(workflow: Workflow) -> None:
    hostile = '"; touch hacked; $(touch hacked) `touch hacked`.yaml'
    done = workflow.check(limits=hostile, more="--json\n\n--junit=$(touch hacked).xml\n")
    assert done.returncode == 0
    assert not (workflow.repository / "hacked").exists()
    assert "touch hacked" in json.loads("".join(done.stdout.splitlines()[1:-1]))["error"]["message"]
    assert workflow.check(more="--json\n--junit=a b.xml\n").returncode == 0
    assert (workflow.repository / "a b.xml").exists()
    assert workflow.run("Check out the base", BASE="--upload-pack=touch hacked").returncode == 2
    assert not (workflow.repository / "hacked").exists()


def test_names_of_files_are_no_commands_to_the_runner(workflow: Workflow) -> None:
    name = "::error::all is well.yaml"
    (workflow.repository / "sft.yaml").rename(workflow.repository / name)
    (workflow.repository / "lora-plan.limits.yaml").write_text(f"gpu: rtx4090\nruns:\n  - run: '{name}'\n")
    first, *lines, last = workflow.check().stdout.splitlines()
    assert any(line.startswith(name) for line in lines)
    token = first.removeprefix("::stop-commands::")
    assert re.fullmatch("[0-9a-f]{32}", token) and last == f"::{token}::"


def test_a_base_that_cannot_be_fetched_leaves_the_check(workflow: Workflow) -> None:
    done = workflow.run("Check out the base", BASE="0" * 40)
    assert done.returncode == 0
    assert "::warning::lora-plan could not fetch the base commit" in done.stdout
    assert "folder" not in workflow.outputs


def test_a_base_that_is_not_there_yet_is_fetched(workflow: Workflow) -> None:
    base = workflow.git("rev-parse", "HEAD")
    clone = workflow.folder / "clone"
    workflow.git("clone", "--quiet", "--bare", str(workflow.repository), str(workflow.folder / "origin.git"))
    workflow.git("init", "--quiet", str(clone))
    shutil.rmtree(workflow.repository)
    clone.rename(workflow.repository)
    workflow.git("remote", "add", "origin", (workflow.folder / "origin.git").as_uri())
    assert workflow.run("Check out the base", BASE=base).returncode == 0
    assert (Path(workflow.outputs["folder"]) / "sft.yaml").exists()


def test_the_repositorys_own_modules_are_not_run(workflow: Workflow) -> None:
    """A repository may have a folder `reports`, as this one has; the installed program does not look there."""
    assert "lora-plan check" in step("Check")["run"]
    assert "python -m" not in step("Check")["run"]
