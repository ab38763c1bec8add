"""`lora-plan simulate` as people run it: a process of its own, the real training stack, a tiny model."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.lora_plan.cli import ROOT, spawn

CONFIG = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "num_hidden_layers": 4,
    "vocab_size": 128,
    "max_position_embeddings": 2048,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-5,
}
STACK = ("torch", "transformers", "peft", "bitsandbytes")


@dataclass(frozen=True, slots=True)
class Here:
    """A folder with a config.json, and the cache that a test has to itself."""

    folder: Path

    @property
    def argv(self) -> tuple[str, ...]:
        return ("simulate", "--model", str(self.folder / "config.json"), "--seq-len", "64", "--gpu", "t4")

    @property
    def env(self) -> dict[str, str]:
        return {"LORA_PLAN_CACHE": str(self.folder / "cache")}

    def __call__(self, *argv: str, **env: str) -> subprocess.CompletedProcess[bytes]:
        return spawn(*self.argv, *argv, cwd=self.folder, env=self.env | env)

    def files(self) -> list[str]:
        return sorted(str(file.relative_to(self.folder)) for file in self.folder.rglob("*") if file.is_file())


@pytest.fixture
def here(tmp_path: Path) -> Here:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    return Here(tmp_path)


@pytest.mark.slow
def test_a_simulation_and_the_same_from_the_cache_without_the_stack(here: Here) -> None:
    first = here("--json")
    assert (first.returncode, first.stderr) == (0, b"")
    data = json.loads(first.stdout)
    assert data["verdict"] == "fits"
    assert data["layers"] == 4
    simulated, estimated = (data["reconciliation"]["levels"][0]["bytes"][at] for at in (1, 0))
    assert estimated == pytest.approx(simulated, rel=0.03)

    again = here("--json", PYTHONPROFILEIMPORTTIME="1")
    assert again.stdout == first.stdout
    imported = {line.rpartition("|")[2].strip() for line in again.stderr.decode().splitlines()}
    assert "profiler.simulate.cached" in imported
    assert not imported & {*STACK, "numpy", "pandas", "matplotlib", "rich", "rich.console"}
    assert here().stdout.startswith(b"FITS")


@pytest.mark.slow
def test_everything_that_can_be_asked_at_once(here: Here) -> None:
    adapter = {"peft_type": "VERA", "r": 4, "target_modules": ["q_proj"]}
    (here.folder / "adapter_config.json").write_text(json.dumps(adapter))
    done = here(
        *("--peft-config", str(here.folder), "--full-depth", "--alloc-conf", "expandable_segments:True"),
        *("--no-cache", "--check", "--timeline", "step.svg", "--json"),
        HOME=str(here.folder / "home"),
    )
    assert (done.returncode, done.stderr) == (0, b"")
    data = json.loads(done.stdout)
    assert data["traced_layers"] == data["layers"] == 4
    assert "--peft-config" in data["not_estimated_because"]
    kept = [name for name in here.files() if not name.startswith("home")]
    assert kept == ["adapter_config.json", "config.json", "step.svg"]


def interrupted(here: Here, *, when: Callable[[bytes], bool]) -> tuple[int, bytes, bytes]:
    """Ctrl-C on a terminal as soon as what it shows is `when`: the status, stdout, and all that was shown."""
    master, slave = os.openpty()
    env = {"PATH": os.environ.get("PATH", ""), "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", "TERM": "xterm"}
    process = subprocess.Popen(
        [sys.executable, "-m", "lora_plan", *here.argv, "--timeline", "step.png", "--save-run", "run.yaml"],
        cwd=here.folder,
        env=env | here.env,
        stdout=subprocess.PIPE,
        stderr=slave,
    )
    os.close(slave)
    shown, sent = b"", False
    try:
        # a terminal whose last writer has gone raises
        while part := os.read(master, 4096):
            shown += part
            if not sent and when(shown):
                process.send_signal(signal.SIGINT)
                sent = True
    except OSError:
        pass
    finally:
        os.close(master)
    out, _ = process.communicate(timeout=60)
    assert sent
    return process.returncode, out, shown


@pytest.mark.slow
@pytest.mark.parametrize("phase", [b"importing", b"tracing a step"])
def test_ctrl_c_leaves_nothing_behind(phase: bytes, here: Here) -> None:
    status, out, shown = interrupted(here, when=lambda shown: phase in shown)
    assert (status, out) == (130, b"")
    assert b"Traceback" not in shown
    assert b"lora-plan:" not in shown
    # the bar is wiped out and the cursor back
    assert shown.rindex(b"\x1b[?25h") > shown.rindex(b"\x1b[?25l")
    assert shown.endswith(b"\x1b[2K")
    # the run was written before, as asked; there is no half picture and no cache
    assert here.files() == ["config.json", "run.yaml"]
