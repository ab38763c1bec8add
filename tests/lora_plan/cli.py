"""Calling the command line: in this process where that is enough, in one of its own where it is not."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from lora_plan.__main__ import main

ROOT = Path(__file__).parents[2]
PLAN = ("--model", "llama-70b", "--method", "qlora", "--gpu", "a100-80")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command left behind."""

    status: int
    out: str
    err: str


def call(*argv: str) -> Outcome:
    """`lora-plan` with `argv`, in this process."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    err = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(argv)
    return Outcome(status, *(stream.buffer.getvalue().decode() for stream in (out, err)))  # pyright: ignore


def spawn(
    *argv: str, cwd: Path | None = None, env: dict[str, str] | None = None, stdout: int = subprocess.PIPE
) -> subprocess.CompletedProcess[bytes]:
    """`python -m lora_plan` with `argv`, in a process of its own with a bare environment."""
    bare = {"PATH": os.environ.get("PATH", ""), "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    bare["LORA_PLAN_RECORDS"] = os.devnull
    return subprocess.run(
        [sys.executable, "-m", "lora_plan", *argv],
        check=False,
        cwd=cwd,
        env=bare | (env or {}),
        stdout=stdout,
        stderr=subprocess.PIPE,
        timeout=60,
    )
