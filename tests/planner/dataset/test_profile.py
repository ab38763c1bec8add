"""A whole file, from rows to a profile."""

from __future__ import annotations

import gzip
import io
import json
import statistics
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.dataset import profile_dataset, tally
from planner.errors import InputError
from tests.planner.dataset.files import file, lines, sentence


def test_a_file_with_good_and_bad_rows(tmp_path: Path) -> None:
    lengths = [1, 5, 5, 9, 12]
    good = [{"text": "x" * 4 * length} for length in lengths]
    content = "[1, 2]\n".join(lines(row) for row in good) + "nonsense\n" * 9 + lines({"text": ""})
    # a file that begins with a list would be one list
    profile = profile_dataset(file(tmp_path, "a.jsonl", content))
    assert profile.histogram == ((1, 1), (5, 2), (9, 1), (12, 1))
    assert (profile.examples, profile.tokens, profile.longest) == (5, 32, 12)
    assert profile.mean == statistics.mean(lengths)
    assert profile.percentile(50) == statistics.median(lengths)
    assert [(skipped.reason, skipped.rows, skipped.first) for skipped in profile.skipped] == [
        ("not JSON", 9, (10, 11, 12)),
        ("not a JSON object", 4, (2, 4, 6)),
        ("without text", 1, (19,)),
    ]
    assert (profile.rows_skipped, profile.unit) == (14, "line")


def test_a_file_without_an_example(tmp_path: Path) -> None:
    says = sentence(file(tmp_path, "a.jsonl", "x\n" * 4 + lines({"q": "?"})))
    assert says == (
        "'FILE' has no example that can be used: 4 not JSON (line 1, 2, 3, ...), 1 without text (line 5); text is "
        "looked for in text, messages, conversations, prompt and completion, instruction, input and output, and its "
        "rows have 'q': name one with --text-field"
    )


def test_a_large_file_without_an_example_is_not_read_to_its_end(tmp_path: Path) -> None:
    says = sentence(file(tmp_path, "a.jsonl", "x\n" * (tally.GIVE_UP + 5)))
    assert says.startswith("'FILE' has no example in its first 10,000 rows that can be used: 10,000 not JSON")


def test_progress_ends_at_the_end(tmp_path: Path) -> None:
    shares: list[float] = []
    profile_dataset(file(tmp_path, "a.jsonl", lines({"text": "x" * 2000}) * 4000), progress=shares.append)
    assert shares == sorted(shares)
    assert len(shares) == 4
    assert shares[-1] == 1


@pytest.mark.parametrize("name", ["\x1b[31mred.jsonl", "new\nline.jsonl"])
def test_names_of_files_are_shown_in_one_line(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError) as caught:
        profile_dataset(file(tmp_path, name, ""))
    assert str(caught.value).isprintable()


def test_names_of_fields_too(tmp_path: Path) -> None:
    assert sentence(file(tmp_path, "a.jsonl", lines({"\x1b[31m": 1}))).isprintable()


GOOD = lines(*({"text": f"row {number} é", "messages": [{"role": "user", "content": "a"}]} for number in range(40)))
PARQUET = io.BytesIO()
pd.DataFrame({"text": ["some text", "more"] * 50, "id": range(100)}).to_parquet(PARQUET)
SEEDS = {
    ".jsonl": GOOD.encode(),
    ".json": json.dumps([json.loads(line) for line in GOOD.splitlines()]).encode(),
    ".csv": b'id,text\n1,"a, ""b"""\n' * 40,
    ".jsonl.gz": gzip.compress(GOOD.encode()),
    ".parquet": PARQUET.getvalue(),
}


@given(
    name=st.sampled_from(list(SEEDS)),
    changes=st.lists(
        st.tuples(st.integers(0, 10**6), st.binary(max_size=4), st.integers(0, 40)), min_size=1, max_size=6
    ),
)
def test_files_that_were_damaged_anywhere(
    tmp_path_factory: pytest.TempPathFactory, name: str, changes: list[tuple[int, bytes, int]]
) -> None:
    """Bytes are put in and left out at random; the file is read, or there is one sentence."""
    content = SEEDS[name]
    for place, put_in, left_out in changes:
        start = place % (len(content) + 1)
        content = content[:start] + put_in + content[start + left_out :]
    path = file(tmp_path_factory.mktemp("damaged"), f"a{name}", content)
    try:
        assert profile_dataset(path).examples > 0
    except InputError as error:
        assert str(error).isprintable()
        assert str(path) in str(error)
