"""A page of HTML as Python's own parser reads it."""

from __future__ import annotations

from html.parser import HTMLParser


class Page(HTMLParser):
    """What a page holds: its elements with their attributes, and its text apart from style and script."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.inside: dict[str, list[str]] = {}
        self.feed(page)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"an attribute twice: {tag} {names}"
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in ("meta",):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert "svg" in self.open, f"only an svg has elements that end themselves: {tag}"
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open:
            self.inside.setdefault(self.open[-1], []).append(data)
            if self.open[-1] not in ("style", "script"):
                self.text.append(data)

    def of(self, tag: str) -> list[dict[str, str]]:
        """The attributes of each element of a kind."""
        return [attributes for name, attributes in self.elements if name == tag]

    def values(self, name: str) -> list[str]:
        """Of an attribute."""
        return [attributes[name] for _, attributes in self.elements if name in attributes]

    def shape(self) -> list[tuple[str, frozenset[str]]]:
        """Elements and the names of their attributes, in order, without those of charts."""
        kept = (element for element in self.elements if element[0] not in CHART_ELEMENTS - {"svg"})
        return [(tag, frozenset(attributes)) for tag, attributes in kept]


CHART_ELEMENTS = {"svg", "g", "defs", "path", "use", "text", "tspan", "clippath", "rect", "pattern"}
