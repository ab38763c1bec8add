"""A comparison as a document."""

from __future__ import annotations

from collections.abc import Callable

from planner.trainer_configs import Setting
from reports.comparison import Unplanned, comparison_document
from reports.documents.blocks import Bullets, Code, Folded, Paragraph, Strong, Table
from reports.documents.markdown import markdown
from tests.reports.comparison.sides import planned, with_uncounted


def tables(folded: Folded) -> dict[str, dict[str, tuple[object, ...]]]:
    """Title of each table -> the first cell of each row -> the others."""
    made = [block for block in folded.blocks if isinstance(block, Table)]
    return {
        table.head[0]: {row[0].text if isinstance(row[0], Code) else str(row[0]): row[1:] for row in table.rows}
        for table in made
    }


def test_there_is_one_sentence_a_pair_and_its_tables_are_folded_where_anything_differs() -> None:
    document = comparison_document(planned("a.yaml"), [planned("b.yaml", method="lora"), planned("c.yaml")])
    base, first, tables, second = document.lead
    assert isinstance(base, Paragraph) and base.words[:2] == ("Base ", Code("a.yaml"))
    assert isinstance(first, Paragraph) and first.words[0] == Code("b.yaml")
    assert isinstance(second, Paragraph)
    assert second.words == (Code("c.yaml"), ": ", Strong("No change in memory, time or cost"))
    assert isinstance(tables, Folded)


def test_the_tables_hold_components_levels_time_cost_and_fields() -> None:
    base, other = planned(), planned("b.yaml", method="lora", quantization="none")
    folded = comparison_document(base, [other]).lead[-1]
    assert isinstance(folded, Folded)
    found = tables(folded)
    reserved = other.plan.memory.peak_bytes.reserved - base.plan.memory.peak_bytes.reserved
    assert found["GiB"]["reserved at the peak"][2] == f"{reserved / 1024**3:+.2f}"
    assert "base weights" in found["GiB"] and "logits and loss" in found["GiB"]
    assert base.cheapest is not None and other.cheapest is not None
    assert found["Time and cost"]["cost of the job"][:2] == (f"${base.cheapest.usd}", f"${other.cheapest.usd}")
    assert found["Field of the run"]["quantization"] == (Code("nf4"), Code("none"))
    assert found["Field of the run"]["double_quant"] == (Code("true"), "does not apply")


def test_what_no_figure_counts_is_a_warning_beside_the_sentence() -> None:
    other = with_uncounted(planned("b.yaml"), Setting("torch_compile", True, "compiled graphs keep other tensors"))
    _, _, warning = comparison_document(planned(), [other]).lead
    assert isinstance(warning, Bullets)
    assert warning.items == ((Strong("not counted"), ": torch_compile true (compiled graphs keep other tensors)"),)


def test_a_file_without_a_plan_does_not_end_it() -> None:
    refused = Unplanned("b.yaml", "the planner does not know mamba", refused=False)
    document = comparison_document(planned(), [refused, planned("c.yaml")])
    assert len(document.lead) == 3
    said = document.lead[1]
    assert isinstance(said, Paragraph)
    assert said.words == (Code("b.yaml"), ": ", Strong("not planned"), ": the planner does not know mamba")


def test_a_base_without_a_plan_leaves_the_others_as_they_are() -> None:
    document = comparison_document(Unplanned("a.yaml", "a.yaml is empty", refused=True), [planned("b.yaml")])
    assert [type(block) for block in document.lead] == [Paragraph, Paragraph]


def test_the_comment_reads_as_the_golden_file(golden: Callable[[str, str], None]) -> None:
    """A heavier run with a warning, an equal one, and one that is not there; offers of a fixed day."""
    base = planned("mistral.yaml", model="mistral-7b", method="lora", sequence_length=1024)
    heavier = planned("larger.yaml", model="mistral-7b", method="lora", sequence_length=1024, micro_batch_size=8)
    warned = with_uncounted(heavier, Setting("torch_compile", True, "compiled graphs keep other tensors"))
    refused = Unplanned("gone.yaml", "'gone.yaml' does not exist; check the path", refused=True)
    golden(markdown(comparison_document(base, [warned, base, refused]), lambda _: None), "comparison.md")
