"""How fast a dataset is read: `python -m pytest benchmarks`. A million examples, of which a round reads all."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from planner.dataset import profile_dataset
from tests.planner.dataset.tokenizers_made import make_tokenizer

EXAMPLES = 1_000_000
SENTENCE = 'The quick brown fox jumps over the "lazy" dog.\n'


@pytest.fixture(scope="module")
def million(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Texts of 2 to 40 sentences, some 1,000 characters."""
    path, numbers = tmp_path_factory.mktemp("data") / "million.jsonl", random.Random(0)
    rows = [json.dumps({"id": count, "text": SENTENCE * count}) + "\n" for count in range(2, 41)]
    with path.open("w", encoding="utf-8") as file:
        file.writelines(numbers.choices(rows, k=EXAMPLES))
    return path


def test_json_lines_by_characters(benchmark: Any, million: Path) -> None:
    profile = benchmark.pedantic(lambda: profile_dataset(million, characters_per_token=4), rounds=2)
    assert profile.examples == EXAMPLES


def test_json_lines_by_a_tokenizer(benchmark: Any, tmp_path: Path) -> None:
    path = tmp_path / "some.jsonl"
    path.write_text((json.dumps({"text": SENTENCE * 20}) + "\n") * 10_000)
    folder = make_tokenizer(tmp_path / "tok")
    assert benchmark.pedantic(lambda: profile_dataset(path, tokenizer=str(folder)), rounds=2).examples == 10_000


def test_the_tokenizer_alone(benchmark: Any, tmp_path: Path) -> None:
    """What the one above cannot be faster than."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(make_tokenizer(tmp_path / "tok") / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    texts = [SENTENCE * 20] * 1000
    benchmark.pedantic(lambda: [tokenizer.encode_batch_fast(texts) for _ in range(10)], rounds=2)
