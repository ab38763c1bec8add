"""The rows of the corpus of published measurements, and the runs that they state."""

from __future__ import annotations

import csv
from pathlib import Path

from planner.errors import Abstention, InputError
from planner.methods import METHODS
from planner.optimizers import OPTIMIZERS
from planner.run import TrainingRun

CORPUS = Path(__file__).parent / "corpus" / "runs.csv"

PEFT_SUITE = "peft-metamathqa"
SFT_TRAINER = "fms-acceleration"
"""Sources: see corpus/README.md."""

ASSUMED_LENGTH = {PEFT_SUITE: 655}
"""Tokens of the longest sample where a source publishes none: one fitted unknown for the whole source.

655 is the length at which LoRA runs of that suite, traced on fake tensors and replayed through the
allocator, came within 1 % of their reserved peaks.
"""

Row = dict[str, str]


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
    fields = setting_of(row) | {"method": _method(row), "optimizer": _optimizer(row)}
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


def setting_of(row: Row) -> dict[str, object]:
    """The fields of a row's `TrainingRun` that have nothing to do with its method.

    Raises `Abstention` where the longest batch is neither published nor assumed.
    """
    length = row["seq_len"] or ASSUMED_LENGTH.get(row["source"])
    if not length:
        raise Abstention("the longest batch is not published")
    return {
        "model": row["model"],
        "base_dtype": row["base_dtype"],
        "mixed_precision": row["mixed_precision"] or "no",
        "micro_batch_size": int(row["micro_batch_size"]),
        "sequence_length": int(float(length)),
        "packing": "packed" in row["seq_note"],
        "gradient_checkpointing": row["gradient_checkpointing"] == "True",
        "attention": row["attention"],
    }


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
