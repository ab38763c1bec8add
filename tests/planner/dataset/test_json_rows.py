"""JSON lines and JSON lists."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.dataset import json_rows, profile_dataset
from planner.dataset.source import Unreadable, opened
from tests.planner.dataset.files import file, lines, sentence

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
    max_leaves=8,
)


def read(path: Path) -> list[tuple[int, object]]:
    with opened(path) as source:
        return list(json_rows.json_rows(source).rows)


@given(rows=st.lists(JSON, min_size=1), indent=st.sampled_from([None, 1]), chunk=st.sampled_from([1, 7, 10**6]))
def test_a_list_is_read_piece_by_piece(
    tmp_path_factory: pytest.TempPathFactory, rows: list[object], indent: int | None, chunk: int
) -> None:
    path = file(tmp_path_factory.mktemp("list"), "a.json", json.dumps(rows, indent=indent, ensure_ascii=False))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_rows, "_READ", chunk)
        assert read(path) == list(enumerate(rows, 1))


def test_lines_are_numbered_with_the_blank_ones(tmp_path: Path) -> None:
    path = file(tmp_path, "a.jsonl", '{"text": "a"}\n\n{"text": "b"\r\n{"text": "c"}')
    assert read(path) == [(1, {"text": "a"}), (3, Unreadable("not JSON")), (4, {"text": "c"})]


def test_a_line_in_another_encoding(tmp_path: Path) -> None:
    path = file(tmp_path, "a.jsonl", '{"text": "déjà"}\n'.encode() + '{"text": "déjà"}\n'.encode("latin-1"))
    assert read(path)[1] == (2, Unreadable("not text in UTF-8"))


def test_a_file_that_was_cut_off_loses_its_last_row(tmp_path: Path) -> None:
    profile = profile_dataset(file(tmp_path, "a.jsonl", lines({"text": "abcd"}, {"text": "abcd"})[:-6]))
    assert (profile.examples, profile.rows_skipped) == (1, 1)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('[{"text": "a"}', "ends within its list"),
        ('[{"text": "a"},', "row 2 is not JSON, or has no end"),
        ('[{"text": "a"} {"text": "b"}]', "has '{' where ',' should be"),
        ('[{"text": "a"}] tail', "goes on behind the end of its list"),
        ('[{"text": "a"}, {"text": nonsense}]', "row 2 is not JSON, or has no end"),
        ("[" * 100_000, "row 1 nests too deeply"),
        ("[]", "has no rows"),
        ('[1, "text", [2]]', "has no example that can be used: 3 not a JSON object (row 1, 2, 3)"),
        ('["' + "9" * 5000 + '", ' + "9" * 5000 + "]", "row 2 is not JSON, or has no end"),
    ],
)
def test_lists_that_are_none(tmp_path: Path, content: str, says: str) -> None:
    assert sentence(file(tmp_path, "a.json", content)).startswith(f"'FILE' {says}")


def test_a_list_in_another_encoding(tmp_path: Path) -> None:
    assert "is not text in UTF-8" in sentence(file(tmp_path, "a.json", '[{"text": "déjà"}]'.encode("latin-1")))


def test_deep_nesting_on_a_line_is_a_bad_row(tmp_path: Path) -> None:
    deep = '{"text": ' + "[" * 100_000 + "]" * 100_000 + "}\n"
    assert profile_dataset(file(tmp_path, "a.jsonl", deep + lines({"text": "abcd"}))).rows_skipped == 1


def test_one_object_over_many_lines_is_no_data_file(tmp_path: Path) -> None:
    says = sentence(file(tmp_path, "a.json", json.dumps({"text": "a", "b": [1, 2]}, indent=2)))
    assert says.startswith("'FILE' has no example that can be used: ")
    assert "not JSON (line 1, 2, 3, ...)" in says
