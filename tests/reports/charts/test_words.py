"""What a picture or a page says, apart from how it is drawn."""

from __future__ import annotations

from reports.charts.draw import draw
from reports.charts.words import words_in
from tests.reports.documents.samples import MEMORY


def test_text_is_taken_in_order_and_styles_and_scripts_are_left_out() -> None:
    page = "<h1>A &amp; B</h1><style>h1 {color: red}</style><script>say('no')</script><p> one\n two </p>"
    assert words_in(page) == ["A & B", "one two"]


def test_a_picture_says_its_title_and_its_figures() -> None:
    words = words_in(draw(MEMORY, "svg").decode())
    assert MEMORY.title in words
    assert all(part.name in " ".join(words) for part in MEMORY.parts)
