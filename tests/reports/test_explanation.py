"""The view of one component."""

from __future__ import annotations

from collections.abc import Callable

from planner.explain import Explanation, Line
from reports.explanation import explanation_text
from reports.page import Page

WEIGHTS = Explanation(
    component="base_weights",
    title="the base model on the device",
    lines=(
        Line("linear layers in NF4 with double quantization", "6,979,321,856 x 0.5159 B", 3_600_661_376),
        Line("embeddings, head and norms in float32", "1,050,939,392 x 4.0000 B", 4_203_757_568),
        Line("of these:", "", None),
        Line("embeddings", "128,256 x 4,096 x 4 B = 2,101,346,304 B", None),
        Line("a layer whose name is as long as names of layers get", "4,096 x 4 B = 16,384 B, twice", None),
    ),
    total_bytes=7_804_418_944,
    source="bitsandbytes.functional.QuantState (0.50); peft.utils.other.prepare_model_for_kbit_training",
)


def test_the_view_at_80_columns(golden: Callable[[str, str], None]) -> None:
    text = explanation_text(WEIGHTS, Page())
    assert max(map(len, text.splitlines())) <= 80
    golden(text, "explanation.txt")


def test_a_narrow_page_loses_nothing() -> None:
    text = explanation_text(WEIGHTS, Page(40))
    assert max(map(len, text.splitlines())) <= 40
    assert "".join(text.split()).count("7,804,418,944B") == 1
