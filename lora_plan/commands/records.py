"""`lora-plan records`: the measurements that `verify` stored. `show` prints one, `export` and `import` share them."""

from __future__ import annotations

import sys

import typer

from lora_plan.arguments import Arguments, Option
from lora_plan.commands.catalogue import helped
from lora_plan.errors import UsageError
from lora_plan.output import write, write_json

NAME = "records"
HELP = (
    "Lists what `lora-plan verify` measured and stored, the newest first; with words, the records whose model, method, "
    "card or date hold all of them, as `lora-plan records llama a100`. `records show ID` prints all that one says, "
    "`records export FILE` writes them, or those that hold further words, to a CSV file that others can import and "
    "`validate --corpus` scores, and `records import FILE` adds those of others. A plan of the same run on the same "
    "card uses the newest record as long as the libraries and the driver are the same."
)

LIST, SHOW, EXPORT, IMPORT = "list", "show", "export", "import"

OPTIONS = (
    Option("force", "--force", "With export", "", "Write the file even where there is such a file."),
    Option("json", "--json", "Output", "", "Print JSON; sizes are in bytes."),
    Option("help", "--help", "Output", "", "Print this."),
)


def run(ctx: typer.Context, arguments: Arguments) -> int:
    """List the records that are asked for, or show, export or import some; gives the exit status."""
    if helped(ctx, arguments):
        return 0
    words = arguments.words()
    if words[:1] != [EXPORT] and arguments.on("force"):
        raise UsageError("--force is for `lora-plan records export`; leave it out", field="force")
    as_json = arguments.on("json")
    if words[:1] == [SHOW]:
        _show(words[1:], as_json)
    elif words[:1] in ([EXPORT], [IMPORT]):
        from lora_plan.commands.records_files import export_file, import_file

        if words[0] == EXPORT:
            export_file(words[1:], force=arguments.on("force"), as_json=as_json)
        else:
            import_file(words[1:], as_json=as_json)
    else:
        _list(words[1:] if words[:1] == [LIST] else words, as_json)
    return 0


def _list(words: list[str], as_json: bool) -> None:
    from planner.places import records_file
    from profiler.records.find import holding
    from profiler.records.store import read

    path = records_file()
    stored = read(path)
    found = holding(words, stored.records) if stored.records else []
    if as_json:
        from reports.records_json import records_json

        write_json(records_json(found, path, stored.unreadable))
    else:
        from reports.page import page_of
        from reports.records import records_text

        write(records_text(found, path, page_of(sys.stdout), stored.unreadable))


def _show(words: list[str], as_json: bool) -> None:
    if len(words) != 1:
        raise UsageError(
            "`records show` takes the id of one record; give the beginning of one that `lora-plan records` lists",
            field="id",
        )
    from planner.places import records_file
    from profiler.records.find import named
    from profiler.records.store import read

    path = records_file()
    record = named(words[0], read(path).records, path)
    if as_json:
        from reports.records_json import record_json

        write_json(record_json(record))
    else:
        from reports.page import page_of
        from reports.record import record_text

        write(record_text(record, page_of(sys.stdout)))
