"""Score an engine against published runs: `python -m profiler.score [--engine plan|simulate] [CORPUS.csv]`.

Every row ends either as a signed error of the level it was measured at, or as an abstention with its reason.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from planner.errors import Abstention, InputError
from profiler.engines import ENGINES
from profiler.rows import CORPUS, Row, read_rows

PROCESSES = 2
"""A simulation takes seconds, most of them to import what it runs."""


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


def score(rows: Iterable[Row], engine: str = "plan") -> list[Score]:
    """Each row's score, of an engine by its name."""
    if engine == "plan":
        return [_score(engine, row) for row in rows]
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool:
        return list(pool.map(partial(_score, engine), rows))


def _score(engine: str, row: Row) -> Score:
    measured = int(float(row["peak_bytes"]))
    common = (row["id"], row["source"], row["level"], measured)
    try:
        levels, interval = ENGINES[engine](row)
    except (Abstention, InputError) as error:
        return Score(*common, None, None, getattr(error, "reason", str(error)))
    if row["level"] not in ("allocated", "reserved"):
        return Score(*common, None, None, f"the level {row['level']} is not predicted")
    within = interval.low <= measured <= interval.high if interval and interval.level == row["level"] else None
    return Score(*common, getattr(levels, row["level"]), within, "")


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
    if within:
        lines.append(f"The stated interval held {sum(within)} of the {len(within)} rows measured at its level.")
        lines.append("")
    lines.append(f"{sum(reasons.values())} of {len(scores)} rows abstained from.")
    lines += [f"- {count}: {reason}" for reason, count in reasons.most_common()]
    return "\n".join(lines)


def compared(simulated: Sequence[Score], planned: Sequence[Score]) -> str:
    """Both engines on each row that either predicts, as a Markdown table, and the simulation's errors by level."""
    lines: list[str] = []
    for level in sorted({item.level for item in simulated}):
        sizes = [abs(item.error) for item in simulated if item.level == level and item.error is not None]
        if sizes:
            mean = sum(sizes) / len(sizes)
            lines.append(f"{level}: {len(sizes)} rows, mean absolute error {mean:.2%}, worst {max(sizes):.2%}.")
    lines += ["", "| row | level | measured, bytes | simulated | planned |", "|---|---|---|---|---|"]
    for ours, theirs in zip(simulated, planned, strict=True):
        if ours.error is not None or theirs.error is not None:
            lines.append(f"| {ours.id} | {ours.level} | {ours.measured:,} | {_signed(ours)} | {_signed(theirs)} |")
    return "\n".join(lines)


def _signed(item: Score) -> str:
    return "" if item.error is None else f"{item.error:+.2%}"


def main(arguments: Sequence[str]) -> int:
    """Print the summary of one corpus file, the project's own by default."""
    parser = argparse.ArgumentParser(prog="score", description="Score an engine against published runs.")
    parser.add_argument("corpus", nargs="?", type=Path, default=CORPUS, metavar="CORPUS.csv")
    parser.add_argument("--engine", choices=tuple(ENGINES), default="plan", help="default: plan")
    options = parser.parse_args(arguments)
    try:
        rows = read_rows(options.corpus)
        scores = score(rows, options.engine)
        print(summary(scores))  # noqa: T201
        if options.engine == "simulate":
            print()  # noqa: T201
            print(compared(scores, score(rows)))  # noqa: T201
    except InputError as error:
        print(f"score: {error}", file=sys.stderr)  # noqa: T201
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
