"""CSV files, against what Python's csv module writes."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.dataset import csv_rows, profile_dataset
from planner.dataset.source import Unreadable, opened
from tests.planner.dataset.files import file, sentence

# a NUL makes a file binary; csv.writer ends lines with \r\n, which a reader cannot tell from a cell's own \r
CELL = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), min_size=1)


def read(path: Path) -> list[tuple[int, object]]:
    with opened(path) as source:
        return list(csv_rows.csv_rows(source).rows)


@given(cells=st.lists(st.tuples(CELL, CELL), min_size=1), delimiter=st.sampled_from(",;\t"))
def test_quotes_delimiters_and_newlines_in_cells(
    tmp_path_factory: pytest.TempPathFactory, cells: list[tuple[str, str]], delimiter: str
) -> None:
    written = io.StringIO()
    csv.writer(written, delimiter=delimiter).writerows([("text", "label"), *cells])
    path = file(tmp_path_factory.mktemp("csv"), "a.csv", written.getvalue())
    assert [row for _, row in read(path)] == [{"text": text, "label": label} for text, label in cells]


def test_rows_have_the_number_of_their_first_line(tmp_path: Path) -> None:
    path = file(tmp_path, "a.csv", 'id,text\n1,"a\nb ""quoted"", c"\n\n2,plain\n')
    assert read(path) == [(2, {"id": "1", "text": 'a\nb "quoted", c'}), (5, {"id": "2", "text": "plain"})]


def test_bad_rows(tmp_path: Path) -> None:
    content = "id,text\n1,a,b\n2\n" + '3,"a"b\n4,fine\n'
    rows = read(file(tmp_path, "a.csv", content.encode() + "5,déjà\n".encode("latin-1") + b'6,"never closed\n7,x\n'))
    assert rows == [
        (2, Unreadable("more cells than the header")),
        (3, Unreadable("fewer cells than the header")),
        (4, Unreadable("not CSV")),
        (5, {"id": "4", "text": "fine"}),
        (6, Unreadable("not text in UTF-8")),
        (7, Unreadable("a quote that is not closed")),
    ]


def test_a_cell_that_is_not_closed_for_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_rows, "LONGEST_ROW", 2**20)
    limit = csv.field_size_limit()
    says = sentence(file(tmp_path, "a.csv", 'text\nfine\n"' + "and so on\n" * 200_000))
    assert says == "'FILE' line 3 begins a cell of more than 1 MiB; close its quote"
    assert csv.field_size_limit() == limit


def test_prompt_and_completion_columns(tmp_path: Path) -> None:
    profile = profile_dataset(file(tmp_path, "a.tsv", "prompt\tcompletion\nabcd\tefgh\n"))
    assert profile.layouts == (("prompt and completion", 1),)
    assert profile.tokens == 2


def test_a_header_without_text(tmp_path: Path) -> None:
    says = sentence(file(tmp_path, "a.csv", "question,answer\na,b\nc,d\n"))
    assert "2 without text (line 2, 3); text is looked for in text, messages" in says
    assert says.endswith("its rows have 'question', 'answer': name one with --text-field")


def test_a_header_and_nothing_else(tmp_path: Path) -> None:
    assert sentence(file(tmp_path, "a.csv", "text\n")).startswith("'FILE' has no rows")


def test_a_broken_header(tmp_path: Path) -> None:
    assert sentence(file(tmp_path, "a.csv", '"text\nno end')).startswith("'FILE' line 1 is no header of a CSV file")
