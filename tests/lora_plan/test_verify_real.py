"""`lora-plan verify` as people run it: a process of its own, real steps, a tiny model, and the two of them killed."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from profiler.records.store import read
from tests.lora_plan.cli import ROOT, spawn
from tests.lora_plan.test_simulate_real import CONFIG
from tests.profiler.measure.child.groups import PATIENCE_S, is_gone

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for orphans as Linux has them"),
]


@dataclass(frozen=True, slots=True)
class Here:
    """A folder with a config.json, and the cache and the records that tests have to themselves."""

    folder: Path

    @property
    def argv(self) -> tuple[str, ...]:
        return ("verify", "--model", str(self.folder / "config.json"), "--seq-len", "64", "--json")

    @property
    def env(self) -> dict[str, str]:
        # tensors this small are not worth a second thread, which would wait for a busy core
        places = {"LORA_PLAN_RECORDS": str(self.records), "LORA_PLAN_CACHE": str(self.folder / "cache")}
        return places | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}

    @property
    def records(self) -> Path:
        return self.folder / "records.sqlite"

    def check_records(self, *counts: int) -> None:
        """The file is sound, and has so many records, each of them whole."""
        if not self.records.exists():
            assert 0 in counts
            return
        with closing(sqlite3.connect(self.records)) as file:
            assert file.execute("pragma integrity_check").fetchone() == ("ok",)
        stored = read(self.records)
        assert len(stored.records) in counts
        assert all(record.measurement.memory is not None for record in stored.records)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Here:
    folder = tmp_path_factory.mktemp("verify")
    (folder / "config.json").write_text(json.dumps(CONFIG | {"num_hidden_layers": 2, "vocab_size": 512}))
    return Here(folder)


def test_steps_are_measured_kept_listed_and_scored(here: Here) -> None:
    done = spawn(*here.argv, "--method", "qlora", env=here.env)
    # of bitsandbytes' warnings nothing reaches a user
    assert (done.returncode, done.stderr) == (0, b"")
    said = json.loads(done.stdout)
    assert (said["verdict"], said["device"]["kind"], said["layers"]) == ("within", "cpu", 2)
    assert said["reconciliation"]["columns"] == ["formula", "simulation", "measurement"]
    estimated, simulated, measured = said["reconciliation"]["levels"][0]["bytes"]
    assert simulated == pytest.approx(measured, rel=0.01)
    assert estimated == pytest.approx(measured, rel=0.03)
    assert len(said["time"]["samples"]) == 8
    here.check_records(1)

    listed = json.loads(spawn("records", "--json", env=here.env).stdout)
    assert [record["id"][:8] in said["record"] for record in listed["records"]] == [True]
    corpus = str(here.folder / "corpus.csv")
    assert spawn("records", "export", corpus, env=here.env).returncode == 0
    scored = json.loads(spawn("validate", "--corpus", corpus, "--json", env=here.env).stdout)
    [row] = scored["rows"]
    assert (row["level"], row["measured"], row["reason"]) == ("allocated", measured, None)
    assert row["predicted"] == pytest.approx(measured, rel=0.03)
    here.records.unlink()


@dataclass
class Trial:
    """A `lora-plan verify` under way, and the processes that it started."""

    here: Here
    process: subprocess.Popen[bytes]

    def children(self) -> list[int]:
        with suppress(OSError):
            return [
                int(pid)
                for pid in Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
            ]
        return []

    def child(self) -> int:
        """The process that measures: the first of the two that are started."""
        until = time.monotonic() + PATIENCE_S
        while not (found := self.children()) and time.monotonic() < until:
            time.sleep(0.005)
        return found[0]


@pytest.fixture
def trial(here: Here) -> Generator[Trial]:
    command = [sys.executable, "-m", "lora_plan", *here.argv, "--max-steps", "2", "--no-simulate"]
    env = {"PATH": os.environ.get("PATH", ""), "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"} | here.env
    process = subprocess.Popen(command, cwd=here.folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    yield Trial(here, process)
    process.kill()
    process.communicate()


SEED = random.Random(6)
LIFE_S = 7.0
"""About as long as one lives, on a machine that does nothing else."""


@pytest.mark.parametrize("after_s", [round(SEED.uniform(0.0, LIFE_S), 2) for _ in range(6)])
def test_a_killed_command_leaves_nothing_behind(after_s: float, trial: Trial) -> None:
    groups: set[int] = set()
    until = time.monotonic() + after_s
    while time.monotonic() < until and trial.process.poll() is None:
        groups.update(trial.children())
        time.sleep(0.01)
    groups.update(trial.children())
    trial.process.kill()
    out, _ = trial.process.communicate(timeout=PATIENCE_S)
    # both processes that it starts lead groups of their own
    assert [group for group in groups if not is_gone(group)] == []
    if out:
        json.loads(out)
    before = len(read(trial.here.records).records) if trial.here.records.exists() else 0
    trial.here.check_records(before)


@pytest.mark.parametrize("after_s", [round(SEED.uniform(0.0, 0.6 * LIFE_S), 2) for _ in range(4)])
def test_of_a_killed_measurement_there_is_a_sentence_and_no_record(after_s: float, trial: Trial) -> None:
    before = len(read(trial.here.records).records) if trial.here.records.exists() else 0
    child = trial.child()
    threading.Event().wait(after_s)
    with suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    out, err = trial.process.communicate(timeout=2 * PATIENCE_S)
    assert is_gone(child)
    if trial.process.returncode == 0:  # it had its result already
        assert json.loads(out)["verdict"] == "within"
        trial.here.check_records(before + 1)
        return
    assert trial.process.returncode == 1
    error = json.loads(out)["error"]
    assert error["kind"] == "not_measured"
    assert error["message"].startswith("the process that measured was killed ")
    assert err.decode() == f"lora-plan: {error['message']}\n"
    trial.here.check_records(before)
