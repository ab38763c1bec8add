"""From a data file to the lengths of its examples, in memory that does not grow with the file."""

from __future__ import annotations

import math
from pathlib import Path

from planner.catalogue.spelling import shown_path
from planner.dataset.counting import CharacterCounter, Counter
from planner.dataset.layouts import LAYOUTS, field_layout
from planner.dataset.lengths import LengthProfile
from planner.dataset.source import Rows, Source, opened
from planner.dataset.tally import Progress, Tally
from planner.errors import InputError


def profile(
    path: str | Path,
    characters_per_token: float | None,
    tokenizer: str | None,
    text_field: str | None,
    progress: Progress | None,
) -> LengthProfile:
    """`profile_dataset`, whose arguments it has."""
    counter = _counter(characters_per_token, tokenizer)
    layouts = LAYOUTS if text_field is None else (field_layout(text_field),)
    if "\0" in str(path):
        raise InputError(f"{shown_path(path)} is not a path; give the path of a data file", field="dataset")
    with opened(path) as source:
        rows = _rows(source, [name for layout in layouts for name in layout.fields])
        tally = Tally(source.name, rows.unit, layouts, counter)
        tally.read(rows, progress)
    return tally.profile(str(path))


def _counter(characters_per_token: float | None, tokenizer: str | None) -> Counter:
    if tokenizer is None:
        if characters_per_token is not None and not (
            math.isfinite(characters_per_token) and 0.1 <= characters_per_token <= 1000
        ):
            raise InputError(
                f"characters_per_token must be a number from 0.1 to 1000, not {characters_per_token}",
                field="characters_per_token",
            )
        return CharacterCounter(characters_per_token)
    if characters_per_token is not None:
        raise InputError(
            "a tokenizer counts tokens, so that characters_per_token says nothing; give one of them", field="tokenizer"
        )
    from planner.dataset.tokenizing import load_counter

    return load_counter(tokenizer)


def _rows(source: Source, fields: list[str]) -> Rows:
    if source.format == "parquet":
        from planner.dataset.parquet_rows import parquet_rows

        return parquet_rows(source, fields)
    if source.format == "csv":
        from planner.dataset.csv_rows import csv_rows

        return csv_rows(source)
    from planner.dataset.json_rows import json_rows

    return json_rows(source)
