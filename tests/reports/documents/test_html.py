"""Documents as a page of HTML."""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

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
    Section,
    Strong,
    Table,
    Words,
)
from reports.documents.html import html
from reports.documents.lines import plain
from tests.reports.documents.pages import CHART_ELEMENTS, Page
from tests.reports.documents.samples import CHARTS, HOSTILE, MEMORY, document_of, report

OWN_ATTRIBUTES = {
    *("lang", "charset", "http-equiv", "content", "name", "class", "href", "rel", "id", "tabindex", "scope", "hidden"),
    *("role", "aria-label", "aria-hidden", "data-kind", "data-series", "data-place", "data-tip"),
}
CHART_ATTRIBUTES = {
    *("viewbox", "d", "x", "y", "width", "height", "transform", "clip-path", "patternunits", "fill", "opacity"),
    *("fill-opacity", "stroke", "stroke-width", "stroke-linejoin", "stroke-linecap", "stroke-opacity"),
    *("stroke-dasharray", "stroke-dashoffset", "font-size", "font-weight", "text-anchor"),
}
TEXT = st.text(st.sampled_from("<>&\"'/=! -#;ab\n\x00\u202e") | st.characters(), max_size=20)


@cache
def page() -> str:
    return html(report())


def read(*blocks: Block) -> Page:
    return Page(html(Document("", blocks, ())))


def test_the_page_asks_for_nothing_and_forbids_itself_to() -> None:
    parsed = Page(page())
    (policy,) = (meta["content"] for meta in parsed.of("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    for element in ("style", "script"):
        (written,) = re.findall(f"<{element}>(.*?)</{element}>", page(), re.DOTALL)
        assert (
            rules[f"{element}-src"]
            == f"'sha256-{base64.b64encode(hashlib.sha256(written.encode()).digest()).decode()}'"
        )
    assert not {"link", "img", "iframe", "object", "embed", "base", "form", "image"} & {
        tag for tag, _ in parsed.elements
    }
    assert not re.search(r"@import|url\(\s*['\"]?(?!#)|fetch\(|XMLHttp|WebSocket|eval\(|innerHTML", page())


def test_only_links_lead_elsewhere() -> None:
    parsed = Page(page())
    assert not parsed.values("src")
    outside = [link for link in parsed.of("a") if not link["href"].startswith("#")]
    assert outside == [{"href": "https://www.runpod.io/pricing", "rel": "noopener noreferrer"}]
    assert all(value.startswith("#") for value in parsed.values("href") if value != outside[0]["href"])


def test_a_page_of_four_charts_is_small() -> None:
    assert len(page().encode()) < 200_000


def test_headings_sections_and_the_skip_link_can_be_reached() -> None:
    parsed = Page(page())
    ids = parsed.values("id")
    assert len(ids) == len(set(ids))
    assert [heading["id"] for heading in parsed.of("h2")] == ["memory", "time-and-cost", "how-to-reproduce-it"]
    assert parsed.of("a")[0] == {"class": "skip", "href": "#report"} and "report" in ids
    assert parsed.of("html") == [{"lang": "en"}]
    assert parsed.inside["title"] == ["Llama-3.1-8B QLoRA on RTX-4090-24GB"]
    # what an svg points at is there
    targets = [value for value in parsed.values("href") if value.startswith("#")]
    targets += [f"#{name}" for name in re.findall(r"url\(#(.*?)\)", page())]
    assert {target[1:] for target in targets} <= set(ids)


def test_sections_of_one_name_have_ids_of_their_own() -> None:
    titles = ("Cost", "cost!", "report", "模型", "<b>", "chart_1-svg")
    parsed = Page(html(Document("", (), tuple(Section(title, ()) for title in titles))))
    found = [heading["id"] for heading in parsed.of("h2")]
    assert found == ["cost", "cost-2", "report-2", "section", "b", "chart-1-svg"]


def test_each_bar_says_what_it_shows_to_who_hears_and_to_the_script() -> None:
    marks = [attributes for _, attributes in Page(page()).elements if attributes.get("class") == "mark"]
    (loss,) = (mark for mark in marks if mark["id"] == "chart_1-part-5-2")
    assert loss["data-tip"] == loss["aria-label"] == "loss, logits and loss: 3.90 GiB"
    assert (loss["data-series"], loss["data-place"], loss["role"]) == ("5", "2", "img")
    kinds = [figure["data-kind"] for figure in Page(page()).of("figure")]
    assert kinds == [type(chart).__name__ for chart in CHARTS.values()]
    assert Page(page()).of("svg")[0]["aria-label"].startswith("Stacked bars: 5.9 GiB at load")


def test_each_chart_has_its_figures_in_a_folded_table() -> None:
    parsed = Page(page())
    assert parsed.inside["summary"].count("The figures of this chart") == 4
    assert {part.name for part in MEMORY.parts} <= set(parsed.inside["th"])


def test_a_sum_stays_below_sorted_rows() -> None:
    parsed = Page(page())
    assert len(parsed.of("tfoot")) == 1
    assert "17.42" in page().partition("<tfoot>")[2].partition("</tfoot>")[0]


@given(st.lists(st.one_of(TEXT, TEXT.map(Code), TEXT.map(Strong), TEXT.map(lambda text: Link(text, "http://a.b/c")))))
def test_any_text_comes_back(words: list[str | Code | Strong | Link]) -> None:
    parsed = read(Paragraph(words), Bullets((words,)), Table(("a",), ((words,),)))
    for tag in ("p", "li"):
        start, end = f"<{tag}>", f"</{tag}>"
        inner = html(Document("", (Bullets((words,)) if tag == "li" else Paragraph(words),), ()))
        text = "".join(Page(start + inner.partition(start)[2].partition(end)[0] + end).text)
        assert text.strip() == plain(words).strip()
    assert {tag for tag, _ in parsed.elements} <= {
        *("html", "head", "meta", "title", "style", "body", "a", "main", "h1", "p", "code", "strong", "ul", "li"),
        *("div", "table", "thead", "tbody", "tr", "th", "script"),
    }


@given(TEXT)
def test_any_code_block_and_summary_come_back(text: str) -> None:
    parsed = read(CodeBlock(text), Folded(text, ()))
    assert "".join(parsed.inside.get("code", [])) == visible_lines(text)
    assert "".join(parsed.inside.get("summary", [])) == visible(text).strip()


@pytest.mark.parametrize("number", [number for number, text in enumerate(HOSTILE) if text.strip()])
def test_text_that_nobody_should_trust_is_text(number: int) -> None:
    text = HOSTILE[number]
    hostile, plain_one = (Page(html(document_of(said, charts=False))) for said in (text, "plain"))
    assert hostile.shape() == plain_one.shape()
    assert visible(text).strip() in [said.strip() for said in hostile.inside["p"]]


@pytest.mark.parametrize("turn", range(4))
def test_charts_named_by_nobody_to_trust(turn: int) -> None:
    """A quarter of the hostile texts at a time: charts take long to draw."""
    text = " ".join(HOSTILE[turn::4])
    written = html(document_of(text))
    parsed = Page(written)
    assert parsed.shape() == Page(plain_document()).shape()
    for tag, attributes in parsed.elements:
        allowed = OWN_ATTRIBUTES | CHART_ATTRIBUTES if tag in CHART_ELEMENTS else OWN_ATTRIBUTES
        assert attributes.keys() <= allowed, tag
    assert f"{visible(text)}, {visible(text)}: 1.00 {visible(text)}" in parsed.values("data-tip")
    assert {link["href"] for link in parsed.of("a")} == {"#report", "https://example.com/"}


@cache
def plain_document() -> str:
    return html(document_of("plain"))


@pytest.mark.parametrize("words", ["", (), ("", Code(""), Strong(" "))])
def test_nothing_is_an_empty_paragraph(words: Words) -> None:
    assert read(Paragraph(words)).inside.get("p", []) == []


@pytest.mark.slow
def test_a_browser_lets_its_script_and_style_through(tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no chromium is installed")
    file = tmp_path / "report.html"
    file.write_text(page(), encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    options += ["--disable-component-update", "--disable-sync", f"--user-data-dir={tmp_path / 'user'}"]
    ran = subprocess.run(
        [browser, *options, "--enable-logging=stderr", "--v=0", "--dump-dom", file.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "CONSOLE" not in ran.stderr
    heads = [element for element in Page(page()).elements if element[1].get("scope") == "col"]
    # one head of the frontier's table is empty
    assert ran.stdout.count('<button type="button">') == len(heads) - 1
    assert 'aria-pressed="true"' in ran.stdout
