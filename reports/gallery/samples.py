"""Reports as `lora-plan report` writes them: each command is run in a process of its own, as a user runs it."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import date, datetime, timezone
from pathlib import Path

from planner.errors import InputError
from reports.gallery import FOLDER

DAY = date(2026, 11, 22)
"""From which the ages of prices are counted, so that the same prices make the same pages."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One report."""

    name: str
    """Of its files, without an ending."""
    title: str
    """In the index."""
    command: str
    """After `lora-plan`, where the gallery is the working directory."""
    endings: tuple[str, ...] = (".md",)
    """Of the files that it is written to."""


SAMPLES = (
    Sample(
        "llama-70b-qlora-a100",
        "The README's example: Llama-3.1-70B by QLoRA on an A100",
        "report --model llama-70b --method qlora --gpu a100-80",
    ),
    Sample(
        "llama-70b-qlora-a100-job",
        "The same for a job: 10,000 examples of 5 million tokens in all",
        "report --model llama-70b --method qlora --gpu a100-80 --examples 10k --tokens 5M",
    ),
    Sample(
        "llama-8b-qlora-rtx4090",
        "Llama-3.1-8B by QLoRA on an RTX 4090, 10,000 examples",
        "report --model llama-3.1-8b --method qlora --gpu rtx4090 --batch-size 2 --grad-accum 8 --examples 10k "
        "--tokens 5M",
        (".md", ".html"),
    ),
    Sample(
        "mistral-7b-lora-l40s-tickets",
        "Mistral-7B by LoRA on an L40S: 1,800 support tickets of up to 2,048 tokens, three times over",
        "report --model mistral-7b --method lora --rank 16 --target-modules q_proj,v_proj --gpu l40s --batch-size 4 "
        "--examples 1800 --epochs 3",
    ),
    Sample(
        "comparison",
        "A comparison, as a pull request gets it: an Axolotl config with longer sequences",
        "report --compare configs/before.yml configs/after.yml --gpu rtx4090 --examples 10k --tokens 5M",
    ),
)


def sample_files() -> dict[str, bytes]:
    """Every report, and its pictures, by the names of their files. Raises `InputError` where a command fails."""
    with tempfile.TemporaryDirectory() as made:
        for sample in SAMPLES:
            for ending in sample.endings:
                _run(shlex.split(sample.command), Path(made) / f"{sample.name}{ending}")
        return {path.name: path.read_bytes() for path in sorted(Path(made).iterdir())}


def _run(words: list[str], output: Path) -> None:
    midnight = datetime(DAY.year, DAY.month, DAY.day, tzinfo=timezone.utc)
    # prices and records of whoever makes the gallery are no part of it
    environment = {
        **os.environ,
        "SOURCE_DATE_EPOCH": str(int(midnight.timestamp())),
        "LORA_PLAN_PRICES": os.devnull,
        "LORA_PLAN_RECORDS": os.devnull,
        "PYTHONPATH": os.pathsep.join([str(FOLDER.parents[1]), os.environ.get("PYTHONPATH", "")]),
    }
    command = [sys.executable, "-m", "lora_plan", *words, "--output", str(output)]
    done = subprocess.run(command, check=False, cwd=FOLDER, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise InputError(f"`lora-plan {shlex.join(words)}` ended with {done.returncode}: {done.stderr.strip()}")
