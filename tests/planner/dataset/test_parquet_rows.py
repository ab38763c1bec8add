"""Parquet files, as pyarrow and pandas write them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from planner.dataset import profile_dataset
from tests.planner.dataset.files import sentence


def written(path: Path, columns: dict[str, Any], **options: Any) -> Path:
    parquet.write_table(pa.table(columns), path, **options)
    return path


def test_text_of_many_row_groups(tmp_path: Path) -> None:
    path = written(tmp_path / "a.parquet", {"id": range(5000), "text": ["abcde"] * 5000}, row_group_size=700)
    shares: list[float] = []
    profile = profile_dataset(path, progress=shares.append)
    assert (profile.examples, profile.tokens) == (5000, 10_000)
    assert shares == [0.2, 0.4, 0.6, 0.8, 1.0]


def test_chats_and_missing_values(tmp_path: Path) -> None:
    chat = [{"role": "user", "content": "abcd"}, {"role": "assistant", "content": "efgh", "name": "x"}]
    profile = profile_dataset(written(tmp_path / "a.parquet", {"messages": [chat, None, []]}))
    assert (profile.examples, profile.tokens) == (1, 2 + 2 * 5)
    assert [(skipped.reason, skipped.first) for skipped in profile.skipped] == [("without text", (2, 3))]
    assert profile.unit == "row"


def test_what_pandas_writes(tmp_path: Path) -> None:
    pd.DataFrame({"prompt": ["ab"], "completion": ["cd"]}, index=[7]).to_parquet(tmp_path / "a.pq")
    assert profile_dataset(tmp_path / "a.pq").layouts == (("prompt and completion", 1),)


def test_no_column_of_text(tmp_path: Path) -> None:
    path = written(tmp_path / "a.parquet", {"question": ["a"], "labels": [1]})
    assert sentence(path).endswith("name one of its own ('question', 'labels') with --text-field")
    assert profile_dataset(path, text_field="question").examples == 1
    assert "has no column answer" in sentence(path, text_field="answer")
    assert "1 without text (row 1)" in sentence(path, text_field="labels")


def test_no_rows(tmp_path: Path) -> None:
    path = written(tmp_path / "a.parquet", {"text": pa.array([], pa.string())})
    assert sentence(path).startswith("'FILE' has no rows")


@pytest.mark.parametrize("cut", [10, 300, 2000])
def test_a_file_that_was_cut_off(tmp_path: Path, cut: int) -> None:
    path = written(tmp_path / "a.parquet", {"text": [f"row {number}" for number in range(9999)]})
    path.write_bytes(path.read_bytes()[:-cut])
    assert sentence(path).startswith("'FILE' is a damaged Parquet file")


def test_damage_within(tmp_path: Path) -> None:
    path = written(tmp_path / "a.parquet", {"text": [f"row {number}" for number in range(9999)]}, compression="gzip")
    content = bytearray(path.read_bytes())
    content[1000:3000] = bytes(2000)
    path.write_bytes(content)
    assert sentence(path).startswith("'FILE' is a damaged Parquet file at row 1 (")


def test_bytes_that_are_not_utf_8(tmp_path: Path) -> None:
    path = written(tmp_path / "a.parquet", {"text": pa.array([b"\xff\xfe"]).view(pa.string())})
    assert "damaged Parquet file" in sentence(path)


def test_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "a.parquet", {"text": ["a"]})
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert "needs pyarrow; install it" in sentence(path)
