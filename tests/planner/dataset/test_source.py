"""Files that are no data files, or of which reading fails."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest

from planner.dataset import profile_dataset, source
from planner.errors import InputError
from tests.planner.dataset.files import file, lines, sentence

ROW = lines({"text": "12345678"})


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.jsonl", b"", "is empty"),
        ("a.jsonl", b" \n\n", "holds nothing but blanks"),
        ("a.jsonl", b"\xef\xbb\xbf\n", "holds nothing but blanks"),
        ("a.jsonl", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "is binary"),
        ("a.csv", b"text\nabc\0def\n", "is binary"),
        ("a.jsonl", ROW.encode("utf-16"), "is text in UTF-16"),
        ("a.jsonl", b"PK\x03\x04rest", "is a zip archive"),
        ("a.jsonl.zst", b"\x28\xb5\x2f\xfdrest", "is compressed with zstd"),
        ("a.txt", b"once upon a time", "is of no known kind"),
        ("a", b"text\nabc", "is of no known kind"),
        ("a.parquet", b"text\nabc\n", "does not begin as a Parquet file does"),
        ("a.jsonl.gz", gzip.compress(ROW.encode() * 999, mtime=0)[:-9], "is compressed with gzip and ends early"),
        ("a.jsonl.gz", b"\x1f\x8b\x08\x00rubbish that is no deflate stream", "is compressed with gzip and is damaged"),
        ("a.jsonl.gz", gzip.compress(b"", mtime=0), "holds nothing but blanks"),
        ("a.parquet.gz", gzip.compress(b"PAR1", mtime=0), "is a Parquet file within gzip"),
    ],
)
def test_what_is_no_data_file(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    assert sentence(file(tmp_path, name, content)).startswith(f"'FILE' {says}")


def test_what_is_no_file(tmp_path: Path) -> None:
    assert sentence(tmp_path).startswith("'FILE' is a folder")
    assert sentence(tmp_path / "none.jsonl").startswith("'FILE' does not exist")
    os.mkfifo(tmp_path / "pipe.jsonl")
    assert sentence(tmp_path / "pipe.jsonl").startswith("'FILE' is not a regular file")
    with pytest.raises(InputError, match="is not a path"):
        profile_dataset("a\0b.jsonl")


def test_a_name_longer_than_names_may_be(tmp_path: Path) -> None:
    assert "cannot be read (file name too long)" in sentence(tmp_path / ("x" * 300))


def test_names_say_the_format_in_any_case_and_json_needs_no_name(tmp_path: Path) -> None:
    for name in ("a.JSONL", "a.ndjson", "a.json", "a", "a.txt"):
        assert profile_dataset(file(tmp_path, name, ROW)).examples == 1


def test_compressed_files(tmp_path: Path) -> None:
    for name in ("a.jsonl.gz", "b.jsonl"):
        assert profile_dataset(file(tmp_path, name, gzip.compress(ROW.encode() * 3))).examples == 3
    assert profile_dataset(file(tmp_path, "a.csv.gz", gzip.compress(b"text\nabcd\n"))).tokens == 1


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    for name, content in (("a.jsonl", ROW), ("a.json", f"[{ROW}]"), ("a.csv", "text\n12345678\n")):
        assert profile_dataset(file(tmp_path, name, b"\xef\xbb\xbf" + content.encode())).tokens == 2


def test_a_row_that_is_too_long_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "LONGEST_ROW", 2**20)
    long = lines({"text": "x" * 3 * 2**20})
    profile = profile_dataset(file(tmp_path, "a.jsonl", ROW + long + ROW))
    assert profile.examples == 2
    assert [(skipped.reason, skipped.first) for skipped in profile.skipped] == [("more than 1 MiB long", (2,))]


def test_ten_gigabytes_on_one_line_are_not_read(tmp_path: Path) -> None:
    """In a process that may have no more than 1 GiB of memory."""
    path = file(tmp_path, "a.jsonl", '{"text": "' + "x" * 100_000)
    os.truncate(path, 10 * 10**9)
    script = (
        "import resource, sys\n"
        f"resource.setrlimit(resource.RLIMIT_AS, ({2**30}, {2**30}))\n"
        "from planner.dataset import profile_dataset\n"
        "profile_dataset(sys.argv[1])\n"
    )
    done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True)
    assert done.stderr.splitlines()[-1].startswith(
        f"planner.errors.InputError: '{path}' line 1 is more than 64 MiB long"
    )


@pytest.mark.parametrize(("characters", "rows", "held"), [(600, 20_000, 5e6), (10**6, 60, 45e6)])
def test_memory_does_not_grow_with_the_file(tmp_path: Path, characters: int, rows: int, held: float) -> None:
    """A thousand rows are held at a time, or 16 million characters of longer ones with the next."""
    path = file(tmp_path, "a.jsonl", lines({"text": "x" * characters}) * rows)
    tracemalloc.start()
    try:
        assert profile_dataset(path).tokens == rows * characters / 4
        assert tracemalloc.get_traced_memory()[1] < held
    finally:
        tracemalloc.stop()
