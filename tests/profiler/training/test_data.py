"""The longest batch that is to come, of data as `Trainer` and TRL have them."""

from __future__ import annotations

import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset

from profiler.training.data import is_flattened, known_lengths
from tests.lora_plan.trainings import Samples, padded

ARGUMENTS = SimpleNamespace()


def loader(dataset: Any, collate: Any = padded, **options: Any) -> DataLoader[Any]:
    return DataLoader(dataset, collate_fn=collate, **({"batch_size": 2} | options))


class Collator(SimpleNamespace):
    """A collator with settings as TRL's and transformers' have them."""

    def __call__(self, samples: list[Any]) -> dict[str, Any]:
        return padded(samples)


def test_every_sample_of_a_small_dataset_is_read() -> None:
    samples = Samples(3, 9, 4, 7, 30, 2)
    found = known_lengths(loader(samples), ARGUMENTS)
    assert (found.longest, found.exact, found.basis) == (30, True, "all 6 samples were read")
    assert found.batch == 3  # the fifth sample, in order, two at a time
    assert sorted(samples.reads) == list(range(6))


def test_of_a_shuffled_one_the_batch_is_not_known() -> None:
    assert known_lengths(loader(Samples(3, 9), shuffle=True), ARGUMENTS).batch is None


def test_of_a_large_one_some_are() -> None:
    samples = Samples(*range(1, 1001))
    found = known_lengths(loader(samples), ARGUMENTS, most=50)
    assert len(set(samples.reads)) == 50
    assert not found.exact and found.longest == max(samples.reads) + 1
    assert found.basis == "50 of 1,000 samples were read"


def test_no_more_are_read_than_the_time_allows() -> None:
    samples = Samples(*range(1, 1001))
    assert known_lengths(loader(samples), ARGUMENTS, seconds=0).basis == "1 of 1,000 samples were read"


class Columns(Samples):
    column_names = ("input_ids", "length", "tokens")

    def __getitem__(self, index: Any) -> Any:
        return list(self.lengths) if index in ("length", "tokens") else super().__getitem__(index)


def test_a_column_of_lengths_says_it_at_once() -> None:
    samples = Columns(3, 9, 4)
    found = known_lengths(loader(samples), ARGUMENTS)
    assert (found.longest, found.exact, found.basis) == (9, True, "the column length of 3 samples")
    assert not samples.reads
    named = known_lengths(loader(samples), SimpleNamespace(length_column_name="tokens"))
    assert named.basis == "the column tokens of 3 samples"


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Any:
        yield from Samples(3, 4)


def test_a_stream_is_as_long_as_its_bound() -> None:
    found = known_lengths(loader(Stream()), ARGUMENTS)
    assert found.longest is None and "a stream" in found.basis
    assert known_lengths(loader(Stream()), SimpleNamespace(max_length=1024)).longest == 1024


class Broken(Samples):
    def __getitem__(self, index: int) -> Any:
        raise KeyError(index)


class Texts(Samples):
    def __getitem__(self, index: int) -> Any:
        return {"text": "x"}


@pytest.mark.parametrize(
    ("dataset", "basis"),
    [
        (Broken(3), "the samples of the dataset could not be read beforehand (KeyError)"),
        (Texts(3), "the samples of the dataset have no input_ids"),
        ([(1, 2)], "the samples of the dataset have no input_ids"),
        ([], "the dataset is empty"),
        (None, "the dataset is a stream, whose lengths are not known beforehand"),
    ],
)
def test_what_is_not_known_is_said(dataset: Any, basis: str) -> None:
    assert known_lengths(SimpleNamespace(dataset=dataset), ARGUMENTS).basis == basis


def test_collators_cut_off_and_pad() -> None:
    samples = Samples(3, 9, 30, 40)
    # TRL's DataCollatorForLanguageModeling: max_length and pad_to_multiple_of
    cut = known_lengths(loader(samples, Collator(max_length=20, pad_to_multiple_of=8)), ARGUMENTS)
    assert (cut.longest, cut.batch) == (24, None)
    # transformers' DataCollatorWithPadding(padding="max_length")
    assert known_lengths(loader(samples, Collator(max_length=64, padding="max_length")), ARGUMENTS).longest == 64
    # Trainer wraps a collator to drop columns
    wrapped = Collator(data_collator=Collator(max_length=None, pad_to_multiple_of=32, padding_free=True))
    assert known_lengths(loader(samples, wrapped), ARGUMENTS).longest == 64
    assert is_flattened(loader(samples, wrapped)) and not is_flattened(loader(samples))


class Random(Samples):
    def __getitem__(self, index: int) -> Any:
        random.random()
        torch.rand(1)
        return super().__getitem__(index)


def test_random_states_are_left_as_they_were() -> None:
    random.seed(1)
    torch.manual_seed(1)
    expected = (random.Random(1).random(), torch.rand(1, generator=torch.Generator().manual_seed(1)))
    known_lengths(loader(Random(3, 4)), ARGUMENTS)
    assert (random.random(), torch.rand(1)) == expected


def test_a_file_handle_is_not_opened(tmp_path: Path) -> None:
    """Nothing of a dataset is touched but its length and samples."""
    samples = Samples(3, 4)
    known_lengths(loader(samples), ARGUMENTS)
    assert vars(samples).keys() == {"lengths", "reads"}
