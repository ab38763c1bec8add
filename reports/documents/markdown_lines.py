"""Lines of text in pieces, written as GitHub-flavoured Markdown."""

from __future__ import annotations

from reports.documents.blocks import Code, Link, Strong, Words
from reports.documents.github import BREAK, code_span, escaped, has_formula
from reports.documents.lines import Piece, pieces


def line(words: Words, *, in_table: bool = False) -> str:
    """The pieces one after the other, without space at either end."""
    parts = pieces(words)
    formula = has_formula("".join(f"`{part.text}`" if isinstance(part, Code) else _text(part) for part in parts))
    written = ""
    for place, part in enumerate(parts):
        after = parts[place + 1] if place + 1 < len(parts) else None
        match part:
            case str():
                written += escaped(part, formula=formula)
                if isinstance(after, Link) and written.endswith("!"):
                    written = f"{written[:-1]}\\!"  # or it would be an image
            case Code(text) if in_table and "|" in text:
                # GitHub and others disagree on backslashes before a bar of a code span in a table
                written += f"<code>{escaped(text, formula=formula)}</code>"
            case Code(text):
                written += code_span(text) + (BREAK if isinstance(after, Code) else "")
            case Strong(text):
                lead, inner, trail = _trimmed(text)
                marked = _strong(escaped(inner, formula=formula), written[-1:] + lead, trail, after) if inner else ""
                written += f"{lead}{marked}{trail}"
            case Link(text, url):
                lead, inner, trail = _trimmed(text)
                written += f"{lead}[{escaped(inner, formula=formula)}]({url}){trail}" if inner else lead
    return written.strip(" ")


def _trimmed(text: str) -> tuple[str, str, str]:
    """The space before, the text, and the space after it; the text is empty where there is but space."""
    inner = text.strip(" ")
    lead, _, trail = text.partition(inner) if inner else (text, "", "")
    return lead, inner, trail


def _strong(inner: str, before: str, trail: str, after: Piece | None) -> str:
    """With asterisks where they can mark it, which depends on what stands beside them; else as an element."""
    apart = before[-1:] in ("", " ") and (trail or after is None or _text(after)[:1] == " ")
    words = inner[0].isalnum() and inner[-1].isalnum()
    touching = before[-1:] == "*" or (not trail and isinstance(after, Strong))
    return f"**{inner}**" if (apart or words) and not touching else f"<strong>{inner}</strong>"


def _text(piece: Piece) -> str:
    return piece if isinstance(piece, str) else piece.text
