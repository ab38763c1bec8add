"""How long the batches are that a training has still before it, as far as its data say so."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MOST_SAMPLES = 4096
"""Samples of a dataset that are looked at."""

MOST_SECONDS = 2.0
"""The time spent on it: reading a sample may tokenize it."""

TOKENS = "input_ids"
_DRAWN = 0
"""The seed of which samples of a large dataset are looked at."""


@dataclass(frozen=True, slots=True)
class Lengths:
    """What is known of the lengths of a dataset's samples, in tokens."""

    longest: int | None
    """As the batches have it: truncated and padded as the collator does; None where it is not known."""
    exact: bool
    """Whether every sample was looked at."""
    batch: int | None
    """The batch that it is in, from 1, within an epoch; None where they are drawn at random."""
    basis: str
    """How it is known, or why it is not."""


def known_lengths(
    dataloader: Any, arguments: Any, *, most: int = MOST_SAMPLES, seconds: float = MOST_SECONDS
) -> Lengths:
    """The longest sample of what a dataloader reads.

    A `length` column says it at once; else at most `most` samples are read, for at most so many seconds. The states of
    the random generators are left as they were.
    """
    dataset = getattr(dataloader, "dataset", None)
    collate = getattr(dataloader, "collate_fn", None)
    collator = getattr(collate, "data_collator", collate)  # `Trainer` wraps it to drop columns
    longest, position, exact, basis = _longest(dataset, arguments, most, seconds)
    bound = _truncated_to(collator, arguments)
    if longest is None:
        return Lengths(bound, False, None, f"{basis}; max_length bounds it" if bound is not None else basis)
    # a sample that is cut off is as long as others that are: which is the first is not known
    cut = bound is not None and bound < longest
    longest = _padded(bound if bound is not None and cut else longest, collator)
    return Lengths(longest, exact, None if cut or position is None else _batch(dataloader, position), basis)


def is_flattened(dataloader: Any) -> bool:
    """Whether the samples of a batch are laid end to end in one row (TRL's `padding_free`)."""
    collate = getattr(dataloader, "collate_fn", None)
    return bool(getattr(getattr(collate, "data_collator", collate), "padding_free", False))


def _longest(dataset: Any, arguments: Any, most: int, seconds: float) -> tuple[int | None, int | None, bool, str]:
    """The longest of the samples, where it is, whether all were looked at, and how it is known."""
    try:
        count = len(dataset)
    except (TypeError, NotImplementedError):
        return None, None, False, "the dataset is a stream, whose lengths are not known beforehand"
    if not count:
        return None, None, False, "the dataset is empty"
    column = str(getattr(arguments, "length_column_name", None) or "length")
    if column in (getattr(dataset, "column_names", None) or ()):
        lengths = _whole_numbers(dataset[column])
        if lengths is not None:
            return max(lengths), lengths.index(max(lengths)), True, f"the column {column} of {count:,} samples"
    indices = list(range(count))
    if count > most:
        indices = random.Random(_DRAWN).sample(indices, most)
    try:
        read = _read(dataset, indices, seconds)
    except Exception as error:  # of the user's own code
        return None, None, False, f"the samples of the dataset could not be read beforehand ({type(error).__name__})"
    if not read:
        return None, None, False, f"the samples of the dataset have no {TOKENS}"
    index, longest = max(read.items(), key=lambda item: item[1])
    exact = len(read) == count
    samples = f"all {count:,}" if exact else f"{len(read):,} of {count:,}"
    return longest, index, exact, f"{samples} samples were read"


def _read(dataset: Any, indices: Sequence[int], seconds: float) -> dict[int, int]:
    """Index -> tokens, of as many samples as the time allows."""
    read: dict[int, int] = {}
    until = time.monotonic() + seconds
    with _random_states_kept():
        for index in indices:
            length = _length(dataset[index])
            if length is None:
                return {}
            read[index] = length
            if time.monotonic() > until:
                break
    return read


def _length(sample: Any) -> int | None:
    tokens = sample.get(TOKENS) if isinstance(sample, Mapping) else None
    if tokens is None:
        return None
    shape = getattr(tokens, "shape", None)
    return int(shape[-1]) if shape else len(tokens)


def _whole_numbers(column: Any) -> list[int] | None:
    values = list(column)
    return values if values and all(isinstance(value, int) for value in values) else None


def _truncated_to(collator: Any, arguments: Any) -> int | None:
    """The most tokens that a sample keeps: TRL cuts off what is beyond `max_length`, in its dataset or collator."""
    found = (getattr(collator, "max_length", None), getattr(arguments, "max_length", None))
    bounds = [value for value in found if isinstance(value, int) and value > 0]
    return min(bounds, default=None)


def _padded(length: int, collator: Any) -> int:
    if getattr(collator, "padding", None) == "max_length" and isinstance(getattr(collator, "max_length", None), int):
        return max(length, collator.max_length)
    multiple = getattr(collator, "pad_to_multiple_of", None) or 1
    return -(-length // multiple) * multiple


def _batch(dataloader: Any, position: int) -> int | None:
    from torch.utils.data import SequentialSampler

    batches = getattr(dataloader, "batch_sampler", None)
    if type(getattr(batches, "sampler", None)) is not SequentialSampler:
        return None
    return position // batches.batch_size + 1  # pyright: ignore[reportOptionalMemberAccess]


@contextlib.contextmanager
def _random_states_kept() -> Generator[None]:
    """A dataset may draw random numbers; the training is to draw the same as without us."""
    import numpy
    import torch

    of_python, of_numpy = random.getstate(), numpy.random.get_state()
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        random.setstate(of_python)
        numpy.random.set_state(of_numpy)
