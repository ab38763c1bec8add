"""`lora-plan records export FILE` and `lora-plan records import FILE`."""

from __future__ import annotations

import sys
from pathlib import Path

from lora_plan.errors import UsageError
from lora_plan.output import write, write_json
from planner.errors import InputError


def export_file(words: list[str], *, force: bool, as_json: bool) -> None:
    """Write all records, or those that hold the words after the file's name. Raises `InputError`."""
    if not words:
        raise UsageError("`records export` needs a file; name it, as in `records export records.csv`", field="file")
    from planner.catalogue.spelling import shown_path
    from planner.places import records_file
    from profiler.records.find import holding
    from profiler.records.sharing import write_export
    from profiler.records.store import read

    path, source = Path(words[0]), records_file()
    stored = read(source)
    if not stored.records:
        raise InputError(
            f"there are no records in {shown_path(source)}; `lora-plan verify` makes them", field="records"
        )
    records = holding(words[1:], stored.records)
    rows = write_export(path, records, force=force)
    if as_json:
        from reports.records_json import export_json

        write_json(export_json(path, records, rows, stored.unreadable))
    else:
        from reports.page import page_of
        from reports.records import export_text

        write(export_text(path, len(records), rows, page_of(sys.stdout), stored.unreadable))


def import_file(words: list[str], *, as_json: bool) -> None:
    """Add the records of a file that `export` wrote, all of them or none. Raises `InputError`."""
    if len(words) != 1:
        raise UsageError("`records import` takes one file; name it, as in `records import records.csv`", field="file")
    from planner.places import records_file
    from profiler.records.sharing import read_export
    from profiler.records.store import add

    source, path = Path(words[0]), records_file()
    records = read_export(source)
    new = add(records, path)
    if as_json:
        from reports.records_json import import_json

        write_json(import_json(path, records, new))
    else:
        from reports.page import page_of
        from reports.records import import_text

        write(import_text(path, len(records), new, page_of(sys.stdout)))
