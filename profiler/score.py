"""Score the planner against published runs: `python -m profiler.score [CORPUS.csv]`.

Every row ends either as a signed error of the level it was measured at, or as an abstention with its reason.
"""

from __future__ import annotations

import csv
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from planner.errors import Abstention, InputError
from planner.methods import METHODS
from planner.optimizers import OPTIMIZERS
from planner.plan import plan
from planner.run import TrainingRun

CORPUS = Path(__file__).parent / "corpus" / "runs.csv"

ASSUMED_LENGTH = {"peft-metamathqa": 655}
"""Tokens of the longest sample where a source publishes none: one fitted unknown for the whole source.

655 is the length at which LoRA runs of that suite, traced on fake tensors and replayed through the
allocator, came within 1 % of their reserved peaks.
"""

Row = dict[str, str]


@dataclass(frozen=True, slots=True)
class Score:
    """One row of the corpus, scored or abstained from."""

    id: str
    source: str
    level: str
    measured: int
    predicted: int | None
    within: bool | None
    """Whether the measurement lies in the stated interval; None where the interval is of another level."""
    reason: str
    """Why there is no prediction."""

    @property
    def error(self) -> float | None:
        """Signed and relative: -0.05 is 5 % too low."""
        return None if self.predicted is None else self.predicted / self.measured - 1


def read_rows(path: Path) -> list[Row]:
    """The rows of a corpus file. Raises `InputError` where it cannot be read."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"the corpus {path} cannot be read ({error}); give a CSV file") from None


def run_of(row: Row) -> TrainingRun:
    """The `TrainingRun` of a corpus row.

    Raises `InputError` or `Abstention` where the row is of a method or a setting that the planner does not have.
    """
    length = row["seq_len"] or ASSUMED_LENGTH.get(row["source"])
    if not length:
        raise Abstention("the longest batch is not published")
    fields: dict[str, object] = {
        "model": row["model"],
        "method": _method(row),
        "base_dtype": row["base_dtype"],
        "mixed_precision": row["mixed_precision"] or "no",
        "optimizer": _optimizer(row),
        "micro_batch_size": int(row["micro_batch_size"]),
        "sequence_length": int(float(length)),
        "packing": "packed" in row["seq_note"],
        "gradient_checkpointing": row["gradient_checkpointing"] == "True",
        "attention": row["attention"],
    }
    if fields["method"] in ("lora", "qlora", "rslora"):
        fields |= {
            "rank": int(float(row["rank"])),
            "dropout": float(row["dropout"] or 0),
            "target_modules": tuple(row["target_modules"].split()),
            "adapter_dtype": row["adapter_dtype"],
        }
    if row["quantization"] != "none":
        fields["quantization"] = row["quantization"]
        if not row["quantization"].startswith("gptq"):
            fields["prepare_kbit"] = row["kbit_upcast"] == "True"
    return TrainingRun(**fields)


def _method(row: Row) -> str:
    method = {"lora (rslora)": "rslora"}.get(row["method"], row["method"])
    if method == "qlora" and row["quantization"].startswith("gptq"):
        return "lora"
    if method not in METHODS:
        raise Abstention("a PEFT method that the planner does not have")
    if method in ("p_tuning", "prompt_tuning", "trainable_tokens"):
        raise Abstention(f"the row does not state the settings of {method}")
    return method


def _optimizer(row: Row) -> str:
    # the PEFT suite names torch's own class, whose default on CUDA is what transformers calls adamw_torch
    name = {"AdamW": "adamw_torch"}.get(row["optimizer"], row["optimizer"])
    if name not in OPTIMIZERS:
        raise Abstention("an optimizer that the planner does not have")
    return name


def score(rows: Iterable[Row]) -> list[Score]:
    """Each row's score."""
    return [_score(row) for row in rows]


def _score(row: Row) -> Score:
    measured = int(float(row["peak_bytes"]))
    common = (row["id"], row["source"], row["level"], measured)
    try:
        planned = plan(run_of(row), row["gpu"])
    except (Abstention, InputError) as error:
        return Score(*common, None, None, getattr(error, "reason", str(error)))
    if row["level"] not in ("allocated", "reserved"):
        return Score(*common, None, None, f"the level {row['level']} is not planned")
    predicted = getattr(planned.memory.peak_bytes, row["level"])
    interval = planned.memory.interval_bytes
    within = interval.low <= measured <= interval.high if interval.level == row["level"] else None
    return Score(*common, predicted, within, "")


def summary(scores: Sequence[Score]) -> str:
    """The scores by source and level as a Markdown table, and what was abstained from."""
    import pandas as pd

    scored = [item for item in scores if item.error is not None]
    errors = pd.DataFrame(
        {
            "source": [f"{item.source}, {item.level}" for item in scored],
            "error": [item.error for item in scored],
        }
    )
    lines = [
        "| source, level | rows | median error | median abs. | 90th percentile | worst | > 5 % too low |",
        "|---|---|---|---|---|---|---|",
    ]
    for source, group in errors.groupby("source")["error"]:
        size = group.abs()
        worst = group.max() if group.max() > -group.min() else group.min()
        lines.append(
            f"| {source} | {len(group)} | {group.median():+.1%} | {size.median():.1%} | {size.quantile(0.9):.1%} "
            f"| {worst:+.1%} | {float((group < -0.05).mean()):.0%} |"
        )
    within = [item.within for item in scores if item.within is not None]
    reasons = Counter(item.reason for item in scores if item.predicted is None)
    lines.append("")
    lines.append(f"The stated interval held {sum(within)} of the {len(within)} rows measured at its level.")
    lines.append("")
    lines.append(f"{sum(reasons.values())} of {len(scores)} rows abstained from.")
    lines += [f"- {count}: {reason}" for reason, count in reasons.most_common()]
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    """Print the summary of one corpus file, the project's own by default."""
    path = Path(arguments[0]) if arguments else CORPUS
    try:
        print(summary(score(read_rows(path))))  # noqa: T201
    except InputError as error:
        print(f"score: {error}", file=sys.stderr)  # noqa: T201
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
