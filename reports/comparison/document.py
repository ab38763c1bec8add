"""`comparison_document`: files beside the first of them, made for a comment on a pull request."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from reports.comparison.comparison import compare_plans
from reports.comparison.details import details, uncounted
from reports.comparison.sentence import sentence, summary
from reports.comparison.sides import Planned, Side, Unplanned
from reports.documents.blocks import Block, Code, Document, Folded, Paragraph, Strong


def comparison_document(base: Side, others: Sequence[Side]) -> Document:
    """One sentence for each of `others` against `base`, each with its tables folded below it."""
    lead = [*_base(base), *(block for other in others for block in pair(base, other))]
    return Document("Runs compared", tuple(lead), ())


def pair(base: Side, other: Side) -> Iterable[Block]:
    """The sentence of one comparison, what no figure counts, and the folded tables."""
    if isinstance(other, Unplanned):
        yield Paragraph((Code(other.name), ": ", Strong("not planned"), f": {other.reason}"))
        return
    yield Paragraph((Code(other.name), ": ", Strong(sentence(base, other))))
    warning = uncounted(other)
    if warning is not None:
        yield warning
    if isinstance(base, Planned):
        yield from tables(base, other)


def tables(base: Planned, other: Planned) -> Iterable[Block]:
    """What is behind the sentence, folded; nothing where nothing differs."""
    comparison = compare_plans(base, other)
    if comparison.changed or comparison.fields:
        yield Folded("Memory, time and cost line by line, and what differs in the run", details(comparison))


def _base(base: Side) -> Iterable[Block]:
    words = summary(base) if isinstance(base, Planned) else f"not planned: {base.reason}"
    yield Paragraph(("Base ", Code(base.name), f": {words}"))
    if isinstance(base, Planned):
        warning = uncounted(base)
        if warning is not None:
            yield warning
