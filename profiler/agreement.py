"""Hold the formulas to the simulator: `python -m profiler.agreement [--runs N] [--seed N] [--worst N]`.

A grid of runs on full-size models is drawn from a seed; each is planned and simulated, and the allocated bytes of
every instant are compared. What came of it is in profiler/AGREEMENT.md.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import median

from planner.errors import Abstention, InputError
from planner.plan import plan
from planner.run import TrainingRun

REPORT = Path(__file__).parent / "AGREEMENT.md"
RUNS = 640
SHOWN = 10
SEED = 3

MODELS = (
    "llama-3.1-8b",
    "llama-3.2-1b",
    "llama-2-7b",
    "mistralai/Mistral-7B-v0.1",
    "mistralai/Mistral-Nemo-Base-2407",
    "Qwen/Qwen2.5-7B",
    "Qwen/Qwen2.5-0.5B",
    "Qwen/Qwen3-8B",
    "Qwen/Qwen3-30B-A3B",
    "google/gemma-2b",
    "google/gemma-2-9b",
    "google/gemma-3-1b-pt",
    "microsoft/phi-2",
    "microsoft/Phi-3-mini-4k-instruct",
    "microsoft/phi-4",
    "openai-community/gpt2",
    "EleutherAI/pythia-6.9b",
    "EleutherAI/gpt-j-6b",
    "facebook/opt-6.7b",
    "bigscience/bloom-7b1",
    "tiiuae/falcon-7b",
    "mosaicml/mpt-7b",
    "bigcode/starcoder2-7b",
    "stabilityai/stablelm-2-1_6b",
    "CohereForAI/aya-23-8B",
    "allenai/OLMo-2-1124-7B",
    "allenai/OLMoE-1B-7B-0924",
    "mistralai/Mixtral-8x7B-v0.1",
    "ibm-granite/granite-3.1-8b-base",
    "HuggingFaceTB/SmolLM3-3B",
    "THUDM/glm-4-9b-chat-hf",
    "openai/gpt-oss-20b",
)
"""One or two of most families, as the catalogue names them."""

SETTINGS: dict[str, tuple[object, ...]] = {
    "method": ("lora", "lora", "lora", "qlora", "qlora", "full", "full", "dora", "rslora", "ia3", "ln_tuning",
               "prompt_tuning", "p_tuning"),
    "quantization": (None, None, None, "int8", "nf4"),
    "rank": (4, 16, 64),
    "target_modules": ("all-linear", "all-linear", ("q_proj", "v_proj")),
    "dropout": (0.0, 0.0, 0.05),
    "base_dtype": ("bfloat16", "bfloat16", "float16", "float32"),
    "mixed_precision": (None, None, "no"),
    "micro_batch_size": (1, 2, 4),
    "sequence_length": (256, 1024, 2048, 4096),
    "packing": (False, True),
    "gradient_checkpointing": (True, True, False),
    "use_reentrant": (False, False, True),
    "checkpoint_every": (1, 1, 1, 2),
    "attention": (None, "sdpa", "eager", "flash_attention_2"),
    "optimizer": ("adamw_torch_fused", "adamw_torch", "adamw_bnb_8bit", "paged_adamw_8bit", "adafactor", "sgd",
                  "lion_8bit"),
    "gradient_accumulation_steps": (1, 1, 4),
    "eval_batch_size": (0, 0, 2),
    "prepare_kbit": (None, None, False),
    "max_grad_norm": (1.0, 1.0, 0.0),
}  # fmt: skip
"""What a run is drawn from; a value that does not go with the rest is left out."""


@dataclass(frozen=True, slots=True)
class Row:
    """One run of the grid: what each engine says of each instant, or why there is nothing to compare."""

    run: dict[str, object]
    instants: tuple[tuple[str, int, int], ...]
    """Name, planned and simulated bytes."""
    reason: str

    def errors(self) -> Iterator[tuple[str, float]]:
        """Each instant with the plan's relative difference to the simulation."""
        for name, planned, simulated in self.instants:
            yield name, planned / simulated - 1


def draw(runs: int, seed: int) -> list[TrainingRun]:
    """Valid runs, every model as often as any other."""
    chance = random.Random(seed)
    return [_draw(chance, MODELS[number % len(MODELS)]) for number in range(runs)]


def _draw(chance: random.Random, model: str) -> TrainingRun:
    while True:
        fields: dict[str, object] = {"model": model}
        for name, values in SETTINGS.items():
            value = chance.choice(values)
            if value is None:
                continue
            try:
                TrainingRun(**(fields | {name: value}))
            except InputError:
                continue
            fields[name] = value
        try:
            run = TrainingRun(**fields)
            plan(run)
        except (InputError, Abstention):
            continue
        return run


def compare(run: TrainingRun) -> Row:
    """Plan and simulate one run."""
    from profiler.simulate.ledger import ledgers, requested_sizes
    from profiler.simulate.stack import import_stack, quiet

    import_stack()
    from profiler.simulate.traced import trace_run

    fields = {name: value for name, value in run.to_dict().items() if name not in run.defaulted and value is not None}
    planned = {instant.name: instant.allocated_bytes for instant in plan(run).memory.instants}
    try:
        with quiet():
            traced = trace_run(plan(run).run)
    except (InputError, Abstention) as error:
        return Row(fields, (), str(error))
    simulated = ledgers(traced.stream, requested_sizes(traced.stream), traced.layers)
    return Row(
        fields,
        tuple(
            (instant.name, planned[instant.name], instant.allocated_bytes)
            for instant in simulated
            if instant.name in planned
        ),
        "",
    )


def compare_all(runs: Sequence[TrainingRun], processes: int) -> Iterator[Row]:
    """Rows in the order of `runs`."""
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        yield from pool.map(compare, runs)


def table(rows: Iterable[Row]) -> str:
    """Markdown: for each instant, and for the peak, how far the plan is from the simulation."""
    found: dict[str, list[float]] = {}
    compared = [row for row in rows if row.instants]
    for row in compared:
        for name, error in row.errors():
            found.setdefault(name, []).append(error)
        planned = max(size for _, size, _ in row.instants)
        simulated = max(size for _, _, size in row.instants)
        found.setdefault("the peak", []).append(planned / simulated - 1)
    lines = ["| instant | runs | median | 90th percentile | worst |", "|---|---|---|---|---|"]
    for name, errors in found.items():
        sizes = sorted(map(abs, errors))
        worst = max(errors, key=abs)
        lines.append(
            f"| {name} | {len(sizes)} | {median(sizes):.3%} | {sizes[int(0.9 * (len(sizes) - 1))]:.2%} | {worst:+.2%} |"
        )
    return "\n".join(lines)


def report(rows: Sequence[Row], seed: int) -> str:
    """The page that is committed: the table, the furthest apart, and what could not be compared."""
    from profiler.simulate.stack import versions

    compared = [row for row in rows if row.instants]
    models = len({row.run["model"] for row in compared})
    reasons = Counter(_reason(row) for row in rows if not row.instants)
    lines = [
        "# The formulas beside the simulator",
        "",
        f"Written by `python -m profiler.agreement --runs {len(rows)} --seed {seed} --write`, with "
        + ", ".join(f"{name} {version}" for name, version in versions())
        + ".",
        "",
        f"{len(compared)} runs were compared, on {models} full-size models, drawn from the settings in",
        "`profiler/agreement.py`. Each figure is the planned allocated bytes of an instant beside the simulated ones",
        "(bytes asked for, before the allocator rounds them).",
        "",
        table(rows),
        "",
        "Furthest apart:",
        "",
        *(f"- {error:+.2%} at {name}: {_settings(row)}" for name, error, row in _apart(rows)[:SHOWN]),
    ]
    if reasons:
        lines += ["", "Planned, and not simulated:", "", *(f"- {count}: {reason}" for reason, count in reasons.items())]
    return "\n".join(lines) + "\n"


def _reason(row: Row) -> str:
    return row.reason.partition(" (RuntimeError")[0].partition(";")[0]


def _settings(row: Row) -> str:
    return ", ".join(str(value) if name == "model" else f"{name} {value}" for name, value in row.run.items())


def _apart(rows: Iterable[Row]) -> list[tuple[str, float, Row]]:
    """Each run with the instant at which the two are furthest apart, the furthest first."""
    found = [(*max(row.errors(), key=_size), row) for row in rows if row.instants]
    return sorted(found, key=_size, reverse=True)


def _size(error: tuple[str, float] | tuple[str, float, Row]) -> float:
    return abs(error[1])


def main(argv: Sequence[str] | None = None) -> int:
    """Run the grid and write the report."""
    parser = argparse.ArgumentParser(description="Hold the formulas to the simulator on a grid of runs.")
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--worst", type=int, default=20, help="print the runs furthest apart")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--write", action="store_true", help=f"write {REPORT.name}")
    options = parser.parse_args(argv)
    rows: list[Row] = []
    for number, row in enumerate(compare_all(draw(options.runs, options.seed), options.processes), 1):
        rows.append(row)
        if number % 20 == 0:
            print(f"{number} of {options.runs}", file=sys.stderr)  # noqa: T201
    print(table(rows))  # noqa: T201
    if options.write:
        REPORT.write_text(report(rows, options.seed), encoding="utf-8", newline="\n")
    for name, error, row in _apart(rows)[: options.worst]:
        print(f"{error:+.2%} {name} {row.run}")  # noqa: T201
    for row in rows:
        if not row.instants:
            print(f"not compared: {row.reason} {row.run}")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
