"""How long the examples of a data file are, and what batches and packed sequences of them come to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.dataset.lengths import LengthProfile, Skipped, Truncation

if TYPE_CHECKING:
    from pathlib import Path

    from planner.dataset.tally import Progress

__all__ = ["LengthProfile", "Skipped", "Truncation", "profile_dataset"]


def profile_dataset(
    path: str | Path,
    *,
    characters_per_token: float | None = None,
    tokenizer: str | None = None,
    text_field: str | None = None,
    progress: Progress | None = None,
) -> LengthProfile:
    """The lengths of the examples of a .jsonl, .json (lines or one list), .csv, .tsv or .parquet file, also with .gz.

    The text of a row is its field `text_field`, or the first of `planner.dataset.layouts.LAYOUTS` that it has. Tokens
    are counted by `tokenizer` (a folder, or a model of the local Hugging Face cache), or taken as
    `characters_per_token` characters each. Text fields are counted as they are: no end-of-text token, and no prompt
    template of a training script.

    Rows that are no examples are skipped and counted. Raises `InputError`, in one sentence, for a file that cannot be
    read or has no example at all.
    """
    # here, because a plan of a job without a file needs none of what reads one
    from planner.dataset.profile import profile

    return profile(path, characters_per_token, tokenizer, text_field, progress)
