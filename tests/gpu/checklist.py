"""The whole of `lora-plan verify` on a real card, in under five minutes: `python -m tests.gpu.checklist`.

Each check is the command as a user types it, in a process of its own; what it measured is appended to the records. A
check fails where the command does not do what it should; an estimate that is off is no failure but what this is for,
and stands in the table. `--device cpu` runs what a CPU can run, so that the list itself is tested without a card.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
BOUND_S = 90
"""Seconds that one measurement may take."""

SMALL = ("--model", "smollm2-135m", "--seq-len", "512", "--no-slice")
WIDE = ("--model", "llama-3.1-8b", "--seq-len", "2048", "--slice")
TOO_LARGE = ("--model", "smollm2-135m", "--seq-len", "8192", "--batch-size", "256", "--no-slice", "--no-simulate")
"""Eager attention's scores alone would be 256 x 9 x 8192 x 8192 x 2 bytes, 288 GiB: more than any card has."""
TINY = ("--model", "smollm2-135m", "--seq-len", "64", "--slice")

Result = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the list."""

    name: str
    arguments: tuple[str, ...]
    wanted: Callable[[Result], str]
    """What is wrong with a result; empty for nothing."""
    needs_card: bool = False


def measured(result: Result) -> str:
    """A whole measurement, with a ledger and timed steps."""
    if result.get("outcome") != "done" or not result.get("memory"):
        return f"not measured: {result.get('because') or result.get('error')}"
    if not result["time"] or result["time"]["step_s"] <= 0:
        return "no step was timed"
    return "" if result["loss_is_finite"] else "the loss is not finite"


def measured_by_nvml(result: Result) -> str:
    """The same, with what the driver says beside it."""
    lacking = measured(result)
    if lacking:
        return lacking
    known = [level for level in result["levels"] if level["process"] or level["device"]]
    if not known:
        return "NVML told nothing of the card's memory"
    if any(level["process"] and level["process"] < level["reserved"] for level in known):
        return "the driver counts less for the process than torch has reserved"
    return "" if result["sampled"]["power_w"] else "NVML told nothing of the card's power"


def ran_out(result: Result) -> str:
    """An out-of-memory as a result, and not as a crash."""
    if result.get("outcome") != "out_of_memory":
        return f"memory did not run out: {result.get('outcome') or result.get('error')}"
    return "" if result["out_of_memory"]["requested_bytes"] else "what was asked for is not known"


def found(result: Result) -> str:
    """A device that `verify` would take."""
    return "" if result.get("usable") else "no device is usable"


CHECKS = (
    Check("doctor", ("--doctor",), found),
    Check("small, LoRA", (*SMALL, "--method", "lora"), measured),
    Check("small, full", (*SMALL, "--method", "full"), measured),
    Check("small, QLoRA 4-bit", (*SMALL, "--method", "qlora"), measured),
    Check("small, int8", (*SMALL, "--method", "lora", "--quantization", "int8"), measured, needs_card=True),
    Check("small, accumulation, evaluation", (*SMALL, "--grad-accum", "2", "--eval-batch-size", "1"), measured),
    Check("out of memory on purpose", (*TOO_LARGE, "--attention", "eager"), ran_out, needs_card=True),
    Check("after it: the card is free", (*SMALL, "--method", "lora"), measured_by_nvml, needs_card=True),
    Check("tiny, in slices", TINY, measured),
    Check("8B-wide slices, LoRA", (*WIDE, "--method", "lora"), measured, needs_card=True),
    Check("8B-wide slices, QLoRA", (*WIDE, "--method", "qlora"), measured, needs_card=True),
    Check("8B-wide slices, full", (*WIDE, "--method", "full"), measured, needs_card=True),
)


def run(check: Check, device: str) -> tuple[Result, str, float]:
    """The result of a check, what is wrong with it, and its seconds."""
    began = time.monotonic()
    arguments = ["--json", *check.arguments]
    if check.name != "doctor":
        arguments += ["--device", device, "--max-seconds", str(BOUND_S)]
    done = subprocess.run(
        [sys.executable, "-m", "lora_plan", "verify", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=3 * BOUND_S,
        check=False,
    )
    seconds = time.monotonic() - began
    try:
        result: Result = json.loads(done.stdout)
    except ValueError:
        last = (done.stderr.strip().splitlines() or ["nothing"])[-1]
        return {}, f"status {done.returncode}, and said: {last[:100]}", seconds
    if done.returncode not in (0, 1):
        return result, f"status {done.returncode}: {str(result.get('error', ''))[:100]}", seconds
    return result, check.wanted(result), seconds


def row(check: Check, result: Result, wrong: str, seconds: float) -> list[str]:
    """Name, verdict, what was measured, how far the others are off it, tokens/s, seconds, what is wrong."""
    reconciliation: Any = result.get("reconciliation")
    cells = ["", "", "", ""]
    if reconciliation:
        line = next(item for item in reconciliation["levels"] if item["name"] == result["level"])
        by_basis = dict(zip(reconciliation["columns"], line["bytes"], strict=True))
        size = by_basis["measurement"]
        cells = [f"{size / 2**30:.2f} {result['level']}"]
        for basis in ("formula", "simulation"):
            cells.append(f"{by_basis[basis] / size - 1:+.1%}" if basis in by_basis else "-")
        cells.append(f"{result['time']['tokens_per_s']:,.0f}" if result.get("time") else "-")
    verdict = "FAILED" if wrong else result.get("verdict") or "ok"
    return [check.name, verdict, *cells, f"{seconds:.0f} s", wrong]


def show(cells: Sequence[str]) -> None:
    """One line of the table, as soon as it is known."""
    widths = (30, 9, 16, 9, 11, 9, 6, 0)
    print("  ".join(f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True)).rstrip(), flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the list, and print it as a table; 1 where a check failed."""
    parser = argparse.ArgumentParser(description="lora-plan verify on a real card, check by check.")
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--records", type=Path, help="append to this file, in place of the user's records")
    options = parser.parse_args(argv)
    if options.records is not None:
        os.environ["LORA_PLAN_RECORDS"] = str(options.records.absolute())
    show(["check", "verdict", "measured, GiB", "estimate", "simulation", "tokens/s", "took", ""])
    failed = 0
    for check in CHECKS:
        if check.needs_card and options.device == "cpu":
            continue
        result, wrong, seconds = run(check, options.device)
        failed += bool(wrong)
        show(row(check, result, wrong, seconds))
    print(f"{failed} failed" if failed else "all checks passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
