"""What a picture or a page says, apart from how it is drawn."""

from __future__ import annotations

from html.parser import HTMLParser


class _Words(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.words: list[str] = []
        self._hidden = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._hidden = tag in ("style", "script")

    def handle_endtag(self, tag: str) -> None:
        self._hidden = False

    def handle_data(self, data: str) -> None:
        if data.strip() and not self._hidden:
            self.words.append(" ".join(data.split()))


def words_in(markup: str) -> list[str]:
    """All text of an SVG or an HTML page, in order; styles and scripts left out."""
    parser = _Words()
    parser.feed(markup)
    parser.close()
    return parser.words
