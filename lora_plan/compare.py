"""`lora-plan report --compare A B ...`: what runs need more or less than the first of them."""

from __future__ import annotations

from pathlib import Path

from lora_plan.arguments import Arguments
from lora_plan.errors import UsageError
from lora_plan.output import write, write_error
from reports.comparison.sides import Planned, Side, Unplanned

REFUSED = 2
MARK = "<!-- lora-plan compare -->"
"""The first line of the Markdown, by which a file of ours is known."""

_NOT_WITH = {"run_file": "--run", "config": "--config", "simulate": "--simulate", "record": "--record", "png": "--png"}


def compare(files: list[str], arguments: Arguments, output: Path | None, *, as_html: bool) -> int:
    """Write the comparison that `report --compare` asks for; gives the exit status.

    files: run files or trainers' configs, told by what they hold; the other options apply to each. One that cannot be
    planned is a sentence of the comparison, and status 2. output: where it is written; None: to stdout.
    """
    if len(files) < 2:
        raise UsageError("--compare needs two files or more; name the run to compare with first", field="compare")
    for name, flag in _NOT_WITH.items():
        if arguments.get(name):
            raise UsageError(f"--compare names its runs itself; leave out {flag}", field=name)
    if output is not None:
        from lora_plan.own_files import check_own
        from lora_plan.report_files import HTML_MARK

        check_own(output, HTML_MARK if as_html else MARK, field="output", force=arguments.on("force"))
    base, *others = _sides(files, arguments)
    text = _text(base, others, as_html)
    if output is None:
        write(text)
    else:
        from lora_plan.own_files import write_own

        write_own(output, text, field="output")
    for side in (base, *others):
        if isinstance(side, Unplanned):
            write_error(side.sentence)
    return 0 if all(isinstance(side, Planned) for side in (base, *others)) else REFUSED


def _sides(files: list[str], arguments: Arguments) -> list[Side]:
    from lora_plan.card import check_card
    from lora_plan.sides import side_of
    from lora_plan.today import today
    from planner.trainer_configs.document import printable
    from pricing.sheets import offers

    check_card(Arguments({**arguments, "check": None}))
    day = today()
    sheet = offers(today=day)
    return [side_of(printable(file), arguments, sheet, day, file=file) for file in files]


def _text(base: Side, others: list[Side], as_html: bool) -> str:
    from reports.comparison import comparison_document

    document = comparison_document(base, others)
    if as_html:
        from reports.documents.html import html

        return html(document)
    from reports.documents.markdown import markdown

    return f"{MARK}\n\n{markdown(document, lambda _: None)}"
