"""Make the gallery, or say whether it is current: `python -m reports.gallery (--write | --check)`. About half a minute.

The simulator's scores are those committed in `profiler/corpus/scoreboard.json`: simulating every record takes minutes
(`reports.accuracy.REFRESH`).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from planner.errors import InputError
from profiler.whole_file import whole_file
from reports.accuracy import accuracy_files
from reports.charts.words import words_in
from reports.claims import claims_files
from reports.gallery import FOLDER, WRITE
from reports.gallery.index import INDEX, index_page
from reports.gallery.samples import sample_files

MADE = (".md", ".svg", ".html")
"""Endings of what is made; anything else in the folder was written by hand."""


def gallery_files() -> dict[str, bytes]:
    """Every file of the gallery, by its name. Raises `InputError`."""
    return {INDEX: index_page(), **sample_files(), **accuracy_files(), **claims_files()}


def stale(files: dict[str, bytes], folder: Path = FOLDER) -> list[str]:
    """The names of those that are missing, left over, or not what they would be now.

    Of a picture what it says counts: its bytes depend on matplotlib's version.
    """
    there = {path.name for path in folder.iterdir() if path.suffix in MADE}
    return sorted((files.keys() ^ there) | {name for name in files.keys() & there if _differs(folder / name, files)})


def _differs(path: Path, files: dict[str, bytes]) -> bool:
    made, found = files[path.name], path.read_bytes()
    if path.suffix == ".md":
        return made != found
    return words_in(made.decode()) != words_in(found.decode())


def write(files: dict[str, bytes], folder: Path = FOLDER) -> None:
    """Write them all, and remove what is left over. Raises `OSError`."""
    for name, content in files.items():
        with whole_file(folder / name) as file:
            file.write(content)
    for path in folder.iterdir():
        if path.suffix in MADE and path.name not in files:
            path.unlink()


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the gallery, or say whether it is current: 0, or 1 where it is not."""
    parser = argparse.ArgumentParser(prog="python -m reports.gallery", description="The gallery of reports.")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--write", action="store_true", help="make all of it anew")
    what.add_argument("--check", action="store_true", help="exit with 1 where it is not current")
    options = parser.parse_args(arguments)
    try:
        files = gallery_files()
        if options.write:
            write(files)
        old = [] if options.write else stale(files)
    except (InputError, OSError) as error:
        print(f"gallery: {error}", file=sys.stderr)  # noqa: T201
        return 2
    if old:
        print(f"not current: {', '.join(old)}; run `{WRITE}`", file=sys.stderr)  # noqa: T201
    return 1 if old else 0


if __name__ == "__main__":
    sys.exit(main())
