"""What is known of a source besides its rows: whose loop ran, and the longest batch where it publishes none."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FILE = Path(__file__).parent / "sources.csv"


@dataclass(frozen=True, slots=True)
class Source:
    """One line of sources.csv."""

    name: str
    trainer: str | None
    """`TrainingRun.trainer`; None: a loop that is none of those."""
    empty_cache: bool
    """`TrainingRun.empty_cache`."""
    gptq_kernel: str | None
    """`TrainingRun.gptq_kernel` of its GPTQ runs."""
    longest_batch: int | None
    """Tokens of its longest batch, fitted: one unknown for all its rows that saw the same batches."""
    longest_batch_of: str
    """The `seq_note` of those rows."""
    url: str
    commit: str
    """Of the repository, where the evidence was read."""
    evidence: str
    mean_tokens: int | None = None
    """Tokens of a sample on average, where it publishes that instead of a length: what its speeds go by."""


@cache
def sources() -> Mapping[str, Source]:
    """Every source of the corpus by its name."""
    with FILE.open(encoding="utf-8", newline="") as file:
        return {row["source"]: _source(row) for row in csv.DictReader(file)}


def _source(row: dict[str, str]) -> Source:
    return Source(
        name=row["source"],
        trainer=row["trainer"] or None,
        empty_cache=row["empty_cache"] == "yes",
        gptq_kernel=row["gptq_kernel"] or None,
        longest_batch=int(row["longest_batch"]) if row["longest_batch"] else None,
        longest_batch_of=row["longest_batch_of"],
        mean_tokens=int(row["mean_tokens"]) if row["mean_tokens"] else None,
        url=row["url"],
        commit=row["commit"],
        evidence=row["evidence"],
    )


def longest_batch(source: Source | None, seq_note: str) -> int | None:
    """The fitted length of a row's longest batch, where one is."""
    return source.longest_batch if source is not None and seq_note == source.longest_batch_of else None
