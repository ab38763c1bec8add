"""Files that appear whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from profiler.whole_file import whole_file


def half_written(path: Path, error: type[BaseException]) -> None:
    with whole_file(path) as file:
        file.write(b"half of the")
        raise error


def test_the_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(b"the old one")
    with whole_file(path) as file:
        file.write(b"the new one")
        assert path.read_bytes() == b"the old one"
    assert path.read_bytes() == b"the new one"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_what_is_interrupted_leaves_the_file_as_it_was(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(b"the old one")
    with pytest.raises(error):
        half_written(path, error)
    assert path.read_bytes() == b"the old one"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_is_written_through(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    link.symlink_to(target)
    with whole_file(link) as file:
        file.write(b"content")
    assert link.is_symlink()
    assert target.read_bytes() == b"content"
