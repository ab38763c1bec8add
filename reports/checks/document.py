"""What was checked, as a comment on a pull request."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from reports.checks.checked import CheckedRun, LimitCheck
from reports.checks.text import result
from reports.comparison.details import uncounted
from reports.comparison.document import tables
from reports.comparison.sentence import sentence
from reports.comparison.sides import Planned, Unplanned
from reports.documents.blocks import Block, Code, Document, Folded, Paragraph, Strong, Table, Words
from reports.plan_words import card_name


def check_document(runs: Sequence[CheckedRun], *, most: int, with_tables: bool) -> Document:
    """Each run in one sentence, its limits, and how it compares with before.

    At most `most` runs are told of, those that are not within their limits first. with_tables: whether the
    tables are in it.
    """
    told = [run for run in runs if not run.ok] + [run for run in runs if run.ok]
    lead = [block for run in told[:most] for block in _run(run, with_tables)]
    if len(told) > most:
        lead.append(Paragraph(f"{len(told) - most:,} more runs are not listed."))
    return Document(f"lora-plan: {result(runs)}", tuple(lead), ())


def _run(run: CheckedRun, with_tables: bool) -> Iterable[Block]:
    yield Paragraph((*_title(run), ": ", *_words(run, with_tables)))
    if isinstance(run.side, Planned):
        warning = uncounted(run.side)
        if warning is not None:
            yield warning
    if not with_tables:
        return
    if isinstance(run.side, Planned):
        held = Table(("Limit", "Result", "Found"), tuple(_row(check) for check in run.limits), left=3)
        yield Folded("Each limit", (held,)) if run.ok else held
    if isinstance(run.base, Planned) and isinstance(run.side, Planned):
        yield from tables(run.base, run.side)


def _title(run: CheckedRun) -> Iterable[str | Code]:
    """The file, and the card that it is checked on."""
    yield Code(run.side.name)
    if isinstance(run.side, Planned) and run.side.plan.gpu is not None:
        yield f" on {card_name(run.side.plan.gpu)}"


def _words(run: CheckedRun, with_tables: bool) -> Iterable[str | Code | Strong]:
    """What the run breaks, and what changed. with_tables: whether a table below says by how much."""
    if isinstance(run.side, Unplanned):
        yield Strong("not planned")
        yield f": {run.side.reason}"
        return
    if run.ok:
        yield "within its limits"
    else:
        told = [check.name if with_tables else f"{check.name} ({check.text})" for check in run.limits if not check.ok]
        yield Strong(f"breaks {', '.join(told)}")
    if run.base is not None:
        yield "; compared with before: "
        yield Strong(sentence(run.base, run.side))
    elif run.compared:
        yield "; not there before"


def _row(check: LimitCheck) -> tuple[Words, ...]:
    return Code(check.name), "ok" if check.ok else Strong("broken"), check.text
