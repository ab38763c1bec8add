"""Plans side by side: what one change to a run does to its memory, time and cost."""

from reports.comparison.comparison import Change, Comparison, FieldChange, compare_plans
from reports.comparison.document import comparison_document
from reports.comparison.sides import Planned, Side, Unplanned

__all__ = [
    "Change",
    "Comparison",
    "FieldChange",
    "Planned",
    "Side",
    "Unplanned",
    "compare_plans",
    "comparison_document",
]
