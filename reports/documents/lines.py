"""A line of text in pieces, as both writers take it apart."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

from reports.charts.text import visible
from reports.documents.blocks import Code, Link, Strong, Words

Piece = str | Code | Strong | Link


def pieces(words: Words) -> list[Piece]:
    """The pieces in order, of visible text only: none is empty, and no two of plain text stand side by side.

    A link that does not lead to an http(s) address is plain text.
    """
    found: list[Piece] = []
    for piece in (words,) if isinstance(words, str | Code | Strong | Link) else words:
        match piece:
            case str():
                seen: Piece = visible(piece)
            case Code(text):
                seen = Code(visible_code(text))
            case Strong(text):
                seen = Strong(visible(text))
            case Link(text, url):
                seen = Link(visible(text), address) if (address := http(url)) else visible(text)
        if isinstance(seen, str) and found and isinstance(found[-1], str):
            found[-1] += seen
        elif seen if isinstance(seen, str) else seen.text:
            found.append(seen)
    return found


def visible_code(text: str) -> str:
    """Code in a line, with the spaces inside it as they are."""
    return "".join(" " if character.isspace() else visible(character) for character in text).strip(" ")


def plain(words: Words) -> str:
    """A line without its looks."""
    return "".join(piece if isinstance(piece, str) else piece.text for piece in pieces(words))


def http(url: str) -> str | None:
    """An http(s) address in which nothing can end or escape an attribute or a Markdown link; None for any other."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not parts.netloc or not url.isprintable():
        return None
    return quote(url, safe="/:?#@!&+,=%~-._")
