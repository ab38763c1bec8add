"""Reading small files that may be anything."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.catalogue.files import DEEPEST, LARGEST_FILE, parse_mapping, read_bytes
from planner.errors import InputError


def parse(data: bytes) -> dict[str, object]:
    return parse_mapping(data, "'x.json'", field="model")


def test_a_regular_file_is_read(tmp_path: Path):
    (tmp_path / "a.json").write_bytes(b"{}")
    assert read_bytes(tmp_path / "a.json", field="model") == b"{}"


def test_a_byte_order_mark_is_skipped():
    assert parse(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "'x.json' is empty; it should hold a JSON object"),
        (b" \n", "'x.json' is empty; it should hold a JSON object"),
        (b"[1]", "'x.json' does not hold a JSON object at its top level; give a file that starts with '{'"),
        (
            b'"text"',
            "'x.json' does not hold a JSON object at its top level; give a file that starts with '{'",
        ),
        (
            b'{"hidden_size": 40',
            "'x.json' is not JSON (line 1, column 19: Expecting ',' delimiter); check that it is complete",
        ),
        (b"\x89PNG\r\n\x1a\n\x00", "'x.json' is not text in UTF-8; give a JSON file"),
        (b'{"a": 1, "b": 2, "a": 3}', "'x.json' has the key 'a' twice; remove one"),
        (b'{"a": {"b": 1, "b": 1}}', "'x.json' has the key 'b' twice; remove one"),
        (b'{"a": NaN}', "'x.json' holds NaN, which is not JSON; write a finite number"),
        (b'{"a": -Infinity}', "'x.json' holds -Infinity, which is not JSON; write a finite number"),
        (b'{"a": ' + b"9" * 5000 + b"}", "'x.json' holds a number of too many digits; write a smaller one"),
        (b'{"a":' * 100_000, "'x.json' nests more than 64 levels; give a plain config"),
        (b'{"a":' * 65 + b"1" + b"}" * 65, "'x.json' nests more than 64 levels; give a plain config"),
    ],
)
def test_what_is_not_a_json_object_is_refused(data: bytes, message: str):
    with pytest.raises(InputError) as caught:
        parse(data)
    assert str(caught.value) == message
    assert caught.value.field == "model"


def test_nesting_within_the_bound_is_read():
    assert parse(b'{"a":' * DEEPEST + b"1" + b"}" * DEEPEST)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_mapping_or_refused(data: bytes):
    try:
        assert isinstance(parse(data), dict)
    except InputError as error:
        assert str(error).isprintable()


def test_a_missing_file(tmp_path: Path):
    with pytest.raises(InputError, match=r"no\.json' does not exist; check the path"):
        read_bytes(tmp_path / "no.json", field="model")


def test_a_folder(tmp_path: Path):
    with pytest.raises(InputError, match="is a folder; give the path of a file"):
        read_bytes(tmp_path, field="model")


def test_a_broken_link(tmp_path: Path):
    (tmp_path / "link.json").symlink_to(tmp_path / "gone.json")
    with pytest.raises(InputError, match="links to a file that does not exist"):
        read_bytes(tmp_path / "link.json", field="model")


def test_links_in_a_ring(tmp_path: Path):
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(InputError, match="cannot be read"):
        read_bytes(tmp_path / "a", field="model")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_that_may_not_be_read(tmp_path: Path):
    (tmp_path / "a.json").write_bytes(b"{}")
    (tmp_path / "a.json").chmod(0)
    with pytest.raises(InputError, match="may not be read; check its permissions"):
        read_bytes(tmp_path / "a.json", field="model")


def test_permission_denied_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "a.json").write_bytes(b"{}")

    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("planner.catalogue.files.os.open", refuse)
    with pytest.raises(InputError, match="may not be read; check its permissions"):
        read_bytes(tmp_path / "a.json", field="model")


def test_a_pipe_is_refused_without_waiting(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(InputError, match="is not a regular file"):
        read_bytes(tmp_path / "pipe.json", field="model")


def test_a_device_is_refused():
    with pytest.raises(InputError, match="is not a regular file"):
        read_bytes(Path("/dev/zero"), field="model")


def test_200_mb_are_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with (tmp_path / "large.json").open("wb") as file:
        file.truncate(200 * 10**6)
    monkeypatch.setattr("planner.catalogue.files.os.open", None)  # reading it would fail differently
    with pytest.raises(InputError, match="has more than 4 MiB, which no config has"):
        read_bytes(tmp_path / "large.json", field="model")


def test_the_bound_is_inclusive(tmp_path: Path):
    (tmp_path / "a.json").write_bytes(b" " * LARGEST_FILE)
    assert len(read_bytes(tmp_path / "a.json", field="model")) == LARGEST_FILE


@pytest.mark.parametrize("name", ["a\x00b", "x" * 5000, "\udcff"])
def test_a_path_that_cannot_be(name: str):
    with pytest.raises(InputError) as caught:
        read_bytes(Path(name), field="model")
    assert str(caught.value).isprintable()
