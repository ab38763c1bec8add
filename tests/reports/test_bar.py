"""The stacked bar: cells in proportion, and parts that add up to the card."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reports.bar import bar_section, fill, parts_of
from reports.page import Page
from tests.reports.samples import full_that_does_not_fit, lora_without_a_card, qlora_that_fits


def test_cells_are_in_proportion() -> None:
    assert fill([50, 25, 25], 8) == [4, 2, 2]
    assert fill([99, 1], 10) == [10, 0]


@given(st.lists(st.integers(1, 2**45), min_size=1, max_size=10), st.integers(1, 200))
def test_every_edge_is_within_half_a_cell(sizes: list[int], cells: int) -> None:
    counts = fill(sizes, cells)
    assert sum(counts) == cells
    assert min(counts) >= 0
    for end in range(1, len(sizes) + 1):
        assert abs(sum(counts[:end]) - cells * sum(sizes[:end]) / sum(sizes)) <= 0.5 + 1e-9


def test_parts_add_up_to_what_is_usable_of_the_card() -> None:
    plan = qlora_that_fits()
    assert plan.gpu is not None
    assert sum(size for _, size in parts_of(plan)) == plan.gpu.usable_bytes


def test_parts_add_up_to_the_reserved_peak_where_nothing_is_free() -> None:
    for plan in (full_that_does_not_fit()[0], lora_without_a_card()):
        assert sum(size for _, size in parts_of(plan)) == plan.memory.peak_bytes.reserved


def test_the_mark_stands_at_the_end_of_what_is_usable() -> None:
    # 14.3 of 55.1 GiB: 19.7 of 76 cells
    bar, caption = bar_section(full_that_does_not_fit()[0], Page())[2:4]
    assert len(bar) == 80 - 2
    assert caption.index("▲") == 2 + 20 - 1
