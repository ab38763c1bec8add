"""Documents as Markdown, read back by another's parser."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.charts.text import visible, visible_lines
from reports.documents.blocks import (
    Block,
    Bullets,
    Code,
    CodeBlock,
    Document,
    Folded,
    Link,
    Paragraph,
    Picture,
    Section,
    Strong,
    Table,
    Words,
)
from reports.documents.lines import plain
from reports.documents.markdown import markdown
from tests.reports.documents.parsed import ACTIVE, inlines, said, texts, tokens
from tests.reports.documents.samples import CHARTS, HOSTILE, MEMORY, document_of, report

# what Markdown is made of, more often than chance would have it
TEXT = st.text(st.sampled_from("\\`*_[]()<>#+-.!|~&;:/@$=1 23ab\n\t\"'\u200b\x00é") | st.characters(), max_size=30)
PIECES = st.lists(
    st.one_of(TEXT, TEXT.map(Code), TEXT.map(Strong), TEXT.map(lambda text: Link(text, "https://example.com/a(b)?c=d")))
)


def written(*blocks: Block) -> str:
    """The blocks alone."""
    return markdown(Document("", blocks, ()), lambda _: "a.svg").partition("\n\n")[2]


def seen(words: Words) -> str:
    return plain(words).strip()


@given(PIECES)
def test_any_line_comes_back_as_it_was(words: list[str | Code | Strong | Link]) -> None:
    lines = inlines(written(Paragraph(words)))
    assert [said(line) for line in lines] == ([seen(words)] if seen(words) else [])


@given(PIECES)
def test_nothing_in_a_line_is_linked_by_github(words: list[str | Code | Strong | Link]) -> None:
    for line in inlines(written(Paragraph(words))):
        assert not [text for text in texts(line) if ACTIVE.search(text)]


@given(st.lists(PIECES, min_size=1, max_size=3), st.booleans())
def test_any_item_comes_back(items: list[list[str | Code | Strong | Link]], numbered: bool) -> None:
    found = tokens(written(Bullets(tuple(items), numbered)))
    assert {token.type for token in found if token.nesting == 1} <= {
        "ordered_list_open" if numbered else "bullet_list_open",
        "list_item_open",
        "paragraph_open",
    }
    assert [said(token) for token in found if token.type == "inline"] == [seen(item) for item in items if seen(item)]


@given(st.lists(st.tuples(PIECES, PIECES), max_size=3), TEXT, st.booleans())
def test_any_cell_comes_back(rows: list[tuple[Words, ...]], head: str, total: bool) -> None:
    lines = inlines(written(Table((head, "figure"), tuple(rows), total=total)))
    assert [said(line) for line in lines] == [seen(head), "figure", *(seen(cell) for row in rows for cell in row)]


@given(TEXT)
def test_any_heading_comes_back(text: str) -> None:
    found = tokens(markdown(Document(text, (), (Section(text, ()),)), lambda _: None))
    assert [token.tag for token in found if token.type == "heading_open"] == ["h1", "h2"]
    assert [said(token) for token in found if token.type == "inline"] == 2 * [seen(text)]


@given(TEXT)
def test_any_code_comes_back(text: str) -> None:
    (block,) = tokens(written(CodeBlock(text, "yaml")))
    assert (block.type, block.info) == ("fence", "yaml")
    assert block.content == visible_lines(text).removesuffix("\n") + "\n"


@given(TEXT)
def test_any_words_for_a_picture_come_back(text: str) -> None:
    (line,) = inlines(written(Picture(MEMORY, text)))
    (image,) = line.children or ()
    assert image.attrs["src"] == "a.svg"
    assert "".join(child.content for child in image.children or ()) == seen(text)


@given(TEXT)
def test_any_summary_is_text(text: str) -> None:
    opening = tokens(written(Folded(text, (Paragraph("inside"),))))[0]
    assert opening.type == "html_block"
    inside = opening.content.removeprefix("<details>\n<summary>").removesuffix("</summary>\n")
    for element in ("<!-- -->", "<span>", "</span>"):
        inside = inside.replace(element, "")
    assert "<" not in inside and inside.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&") == seen(text)


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_text_that_nobody_should_trust(number: int) -> None:
    text = HOSTILE[number]
    for path in ("a.svg", None):
        found = tokens(markdown(document_of(text), lambda _, path=path: path))
        assert not {"hr", "blockquote_open", "code_block"} & {token.type for token in found}
        blocks = {token.content.split("\n")[0] for token in found if token.type == "html_block"}
        assert blocks <= {"<!-- -->", "<details>", "</details>"}
        for line in (token for token in found if token.type == "inline"):
            assert not [text for text in texts(line) if ACTIVE.search(text)]
            links = [child.attrs["href"] for child in line.children or () if child.type == "link_open"]
            assert set(links) <= {"https://example.com/"}


@pytest.mark.parametrize(
    ("text", "raw"),
    [
        ("Llama-3.1-8B, paged_adamw_8bit: +$3.10 & 5 < 6", "Llama-3.1-8B, paged_adamw_8bit: +$3.10 & 5 \\< 6"),
        ("from $0.81 to $6.10", "from $0.81 to $6.10"),
        ("$x$", "<span>$</span>x<span>$</span>"),
        ("@octocat fixes #12", "@<!-- -->octocat fixes #<!-- -->12"),
        ("https://example.com", "https:<!-- -->//example.com"),
        ("1. first", "1\\. first"),
        ("-1.5 GiB", "-1.5 GiB"),
    ],
)
def test_plain_text_reads_well_raw(text: str, raw: str) -> None:
    assert written(Paragraph(text)) == raw + "\n"


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "data:text/html,x", "//example.com", "https://", "http://[", "x"]
)
def test_an_address_of_another_kind_is_no_link(url: str) -> None:
    assert written(Paragraph(Link("there", url))) == "there\n"


def test_strong_and_code_beside_letters_and_each_other() -> None:
    words = ("a", Strong("(b)"), "c ", Strong(" d "), Code("e`f"), Code("g"), Strong("h"), Strong("i"))
    (line,) = inlines(written(Paragraph(words)))
    assert said(line) == "a(b)c  d e`fghi"
    assert [child.content for child in line.children or () if child.type == "code_inline"] == ["e`f", "g"]
    assert "**d**" in written(Paragraph(words))


def test_columns_stand_under_each_other_while_they_fit() -> None:
    table = Table(("name", "GiB"), (("模型", "1.50"), ("all", "12.00")), total=True)
    assert written(table).splitlines() == [
        "| name    |       GiB |",
        "| ------- | --------: |",
        "| 模型    |      1.50 |",
        "| **all** | **12.00** |",
    ]
    wide = replace(table, rows=(("a" * 120, "1.50"),), total=False)
    assert written(wide).splitlines() == ["| name | GiB |", "| --- | --: |", f"| {'a' * 120} | 1.50 |"]


def test_two_lists_stay_two() -> None:
    found = tokens(written(Bullets(("a",)), Bullets(("b",))))
    assert [token.type for token in found].count("bullet_list_open") == 2


def test_a_chart_without_a_file_is_told_in_words_and_letters() -> None:
    text = markdown(report(), lambda picture: None if picture.chart is MEMORY else f"a b/{picture.chart.name}.svg")
    images = [child for line in inlines(text) for child in line.children or () if child.type == "image"]
    assert [image.attrs["src"] for image in images] == [f"a%20b/{name}.svg" for name in CHARTS if name != "memory"]
    (drawn,) = (token.content for token in tokens(text) if token.type == "fence" and not token.info)
    assert "first backward block" in drawn and "14.99" in drawn and "┊ usable on RTX-4090-24GB: 23.18 GiB" in drawn


def test_a_report_has_its_headings_lists_tables_and_folded_part() -> None:
    found = tokens(markdown(report(), lambda picture: f"{picture.chart.name}.svg"))
    types = [token.type for token in found]
    assert [types.count(kind) for kind in ("heading_open", "table_open", "fence", "bullet_list_open")] == [4, 2, 1, 1]
    assert [token.content.split(">")[0] for token in found if token.type == "html_block"] == ["<details", "</details"]


def test_invisible_characters_are_shown_to_be_there() -> None:
    assert visible("a\u202eb\u200b\x00c\ud800\n\u2028d") == "a\ufffdb\ufffd\ufffdc\ufffd d"
